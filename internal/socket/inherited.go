package socket

import (
	"fmt"
	"net"
)

// Inherited is the specification [LABEL@]fd://FD, for a socket that we were started with.
// An empty label is none.
func Inherited(fd int, label string) Spec {
	return Spec{Text: fmt.Sprintf("fd://%d", fd), Label: label, Pin: -1, Taken: true, Source: fd}
}

// IsTCP tells whether it is, or will be, a TCP socket.
func (s *Spec) IsTCP() bool {
	if s.Taken {
		found, err := inspect(s.Source)
		return err == nil && found.tcp
	}
	return !s.UDP && s.Path == ""
}

// inherited describes the socket at a descriptor.
type inherited struct {
	name   string // of the socket, as SERVER_STARTER_PORT has it
	addr   net.Addr
	stream bool // a listening stream socket; otherwise for datagrams
	tcp    bool
}

// fits says which options the socket cannot have.
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
