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
	for _, o := range []struct {
		refused      bool
		option, what string
	}{
		{s.Backlog > 0 && !found.stream, "backlog", "stream sockets"},
		{s.NoDelay && !found.tcp, "nodelay", "TCP"},
		{s.DeferAccept && !found.tcp, "defer-accept", "TCP"},
		{s.FastOpen > 0 && !found.tcp, "fastopen", "TCP"},
	} {
		if o.refused {
			faults = append(faults, fmt.Errorf("socket %q: option %q is for %s only, and this is %s", s.Text, o.option, o.what, found.addr.Network()))
		}
	}
	return faults
}
