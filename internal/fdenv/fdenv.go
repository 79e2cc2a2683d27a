// Package fdenv tells a worker in its environment and its arguments which sockets it has
// inherited, and at which descriptors. It also reads what a service manager tells us.
package fdenv

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Socket is a socket as a worker sees it.
type Socket struct {
	Name  string   // PORT, HOST:PORT, [ADDR]:PORT or a path; "": not known yet
	Label string   // given by the operator; "": none
	Addr  net.Addr // *net.TCPAddr, *net.UDPAddr or *net.UnixAddr; nil while it is not bound
	FD    int
}

// called is the socket in messages for the operator.
func (s Socket) called() string { return cmp.Or(s.Label, s.Name, "port 0") }

// Worker is what else a worker may be told.
type Worker struct {
	Master  int    // the superdaemon's pid
	Control string // the path of the control socket; "": there is none
	Slot    int    // the worker's, from 0
}

// labels is our own variable: LABEL=FD joined by semicolons, of the sockets that have a label.
const labels = "SERVER_STARTER_LABELS"

// ServerStarter is the variables of Server::Starter (its documentation, "ENVIRONMENT
// VARIABLES"). The sockets are NAME=FD joined by semicolons; the variable is set even if
// there are none. The generation counts every attempt. The labels are told if there are any.
func ServerStarter(sockets []Socket, generation int) []string {
	told := []string{
		"SERVER_STARTER_PORT=" + join(sockets, ";", named),
		"SERVER_STARTER_GENERATION=" + strconv.Itoa(generation),
	}
	labelled := slices.DeleteFunc(slices.Clone(sockets), func(s Socket) bool { return s.Label == "" })
	if len(labelled) > 0 {
		told = append(told, labels+"="+join(labelled, ";", func(s Socket) string { return s.Label + "=" + descriptor(s) }))
	}
	return told
}

// Slot tells a worker its slot, from 0, in our own variable and in einhorn's.
func Slot(slot int) []string {
	n := strconv.Itoa(slot)
	return []string{"SERVER_STARTER_WORKER=" + n, einhornChildIndex + n}
}

// named is NAME=FD.
func named(s Socket) string { return s.Name + "=" + descriptor(s) }

// join joins what call returns for each socket.
func join(sockets []Socket, separator string, call func(Socket) string) string {
	words := make([]string, len(sockets))
	for i, s := range sockets {
		words[i] = call(s)
	}
	return strings.Join(words, separator)
}

// Probe tells a command that probes a worker which connections to that worker it has, in the
// form of SERVER_STARTER_PORT.
func Probe(connections []Socket) string {
	return "SERVER_STARTER_PROBE=" + join(connections, ";", named)
}
