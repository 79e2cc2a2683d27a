// Package fdenv tells a worker, in its environment, which sockets it has
// inherited and at which descriptors.
package fdenv

import (
	"strconv"
	"strings"
)

// Socket is a socket as a worker sees it.
type Socket struct {
	Name string // as the superdaemon was given it: PORT, HOST:PORT, [ADDR]:PORT or a path
	FD   int
}

// ServerStarter is how Server::Starter tells of sockets: NAME=FD joined by
// semicolons, set and empty when there are none. The generation counts every
// attempt (Server::Starter's documentation, "ENVIRONMENT VARIABLES").
func ServerStarter(sockets []Socket, generation int) []string {
	pairs := make([]string, len(sockets))
	for i, s := range sockets {
		pairs[i] = s.Name + "=" + strconv.Itoa(s.FD)
	}
	return []string{
		"SERVER_STARTER_PORT=" + strings.Join(pairs, ";"),
		"SERVER_STARTER_GENERATION=" + strconv.Itoa(generation),
	}
}

// EinhornAck tells a worker where to say that it is ready, as einhorn does: its
// library for Ruby says it only to its parent (einhorn, lib/einhorn/worker.rb).
func EinhornAck(master int, controlSocket string) []string {
	return []string{"EINHORN_MASTER_PID=" + strconv.Itoa(master), "EINHORN_SOCK_PATH=" + controlSocket}
}

// Slot tells a worker which of several it is, from 0: in our own variable, and
// in einhorn's.
func Slot(slot int) []string {
	n := strconv.Itoa(slot)
	return []string{"SERVER_STARTER_WORKER=" + n, "EINHORN_CHILD_INDEX=" + n}
}
