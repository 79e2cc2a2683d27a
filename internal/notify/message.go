// Package notify receives what workers say of themselves by the protocol of
// sd_notify(3): a datagram of NAME=VALUE lines on the socket that the variable
// NOTIFY_SOCKET names.
package notify

import (
	"strings"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Message is one datagram. Other lines than these are passed over.
type Message struct {
	Pids     []int   // the sender, its parent and so on, up to our own children
	Ready    bool    // READY=1
	Stopping bool    // STOPPING=1
	Status   *string // STATUS=..., in one line of printable text; nil: not said
}

// maxStatus is how much of a STATUS line is kept, in bytes. What is kept is made one
// printable line: a worker must not be able to forge a log line.
const maxStatus = 256

// parse reads the lines of a datagram.
func parse(datagram string) Message {
	var m Message
	for line := range strings.Lines(datagram) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "READY":
			m.Ready = m.Ready || value == "1"
		case "STOPPING":
			m.Stopping = m.Stopping || value == "1"
		case "STATUS":
			status := text.Line(value[:min(len(value), maxStatus)])
			m.Status = &status
		}
	}
	return m
}
