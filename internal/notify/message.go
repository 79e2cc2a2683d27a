// Package notify receives what workers say of themselves (sd_notify(3)): datagrams of
// NAME=VALUE lines, on the socket that the variable NOTIFY_SOCKET names.
package notify

import (
	"context"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// maxStatus is how many bytes of a STATUS line are kept.
const maxStatus = 256

// Handler handles a message. An error says that it did not take the message: ctx has ended, or
// nothing is there to hear of it.
type Handler func(ctx context.Context, m supervise.Notice) error

// parse finds what a datagram says. Lines of other names are ignored.
func parse(datagram string) supervise.Notice {
	var m supervise.Notice
	for line := range strings.Lines(datagram) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch name {
		case "READY":
			m.Ready = m.Ready || value == "1"
		case "STOPPING":
			m.Stopping = m.Stopping || value == "1"
		case "WATCHDOG":
			m.Alive = m.Alive || value == "1"
		case "ABORT":
			m.Abort = m.Abort || value == "1"
		case "STATUS":
			status := text.Line(value[:min(len(value), maxStatus)]) // or it could forge a log line
			m.Status = &status
		}
	}
	return m
}
