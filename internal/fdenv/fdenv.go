// Package fdenv tells a worker, in its environment and its arguments, which
// sockets it has inherited and at which descriptors.
package fdenv

import (
	"cmp"
	"net"
	"strconv"
	"strings"
)

// Socket is a socket as a worker sees it.
type Socket struct {
	Name  string   // as the superdaemon was given it: PORT, HOST:PORT, [ADDR]:PORT or a path; "": not known yet
	Label string   // what the operator calls it; "": nothing
	Addr  net.Addr // *net.TCPAddr, *net.UDPAddr or *net.UnixAddr; nil while it is not bound
	FD    int
}

// called is how to speak of the socket to the operator.
func (s Socket) called() string { return cmp.Or(s.Label, s.Name, "port 0") }

// Worker is what else a worker may be told.
type Worker struct {
	Master  int    // the superdaemon's pid
	Control string // the path of its control socket; "": there is none
	Slot    int    // which of several workers it is, from 0
}

// ServerStarter is how Server::Starter tells of sockets: NAME=FD joined by
// semicolons, set and empty when there are none. The generation counts every
// attempt (Server::Starter's documentation, "ENVIRONMENT VARIABLES").
func ServerStarter(sockets []Socket, generation int) []string {
	return []string{
		"SERVER_STARTER_PORT=" + join(sockets, ";", func(s Socket) string { return s.Name + "=" + strconv.Itoa(s.FD) }),
		"SERVER_STARTER_GENERATION=" + strconv.Itoa(generation),
	}
}

// Slot tells a worker which of several it is, from 0: in our own variable, and
// in einhorn's.
func Slot(slot int) []string {
	n := strconv.Itoa(slot)
	return []string{"SERVER_STARTER_WORKER=" + n, einhornChildIndex + n}
}

// join puts what each of the sockets is called between separators.
func join(sockets []Socket, separator string, call func(Socket) string) string {
	words := make([]string, len(sockets))
	for i, s := range sockets {
		words[i] = call(s)
	}
	return strings.Join(words, separator)
}
