package socket

import (
	"fmt"
	"net"
)

// Inherited is the specification of a socket that we were started with at
// descriptor fd, as by LISTEN_FDS (sd_listen_fds(3)): the same as
// [LABEL@]fd://FD. An empty label is none.
func Inherited(fd int, label string) Spec {
	return Spec{Text: fmt.Sprintf("fd://%d", fd), Label: label, Pin: -1, Taken: true, Source: fd}
}

// inherited is what is found at a descriptor.
type inherited struct {
	name   string // of the socket, as SERVER_STARTER_PORT has it
	addr   net.Addr
	stream bool // it listens; otherwise it is for datagrams
	tcp    bool
}

// fits says what the options ask for that the socket does not have.
func (s *Spec) fits(found inherited) []error {
	var faults []error
	refuse := func(asked bool, option, what string) {
		if asked {
			faults = append(faults, fmt.Errorf("socket %q: option %q is for %s only, and this is %s", s.Text, option, what, found.addr.Network()))
		}
	}
	refuse(s.Backlog > 0 && !found.stream, "backlog", "stream sockets")
	refuse(s.NoDelay && !found.tcp, "nodelay", "TCP")
	refuse(s.DeferAccept && !found.tcp, "defer-accept", "TCP")
	refuse(s.FastOpen > 0 && !found.tcp, "fastopen", "TCP")
	return faults
}
