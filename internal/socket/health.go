package socket

import (
	"errors"
	"fmt"
	"slices"
)

// Queue is the connections that a socket has and no worker has accepted.
type Queue struct {
	Name    string // of the socket
	FD      int    // where the worker finds it
	Waiting int    // how many, for TCP on Linux; otherwise 1 if there are any
}

// Queues are the queues of all sockets, in the order of Sockets. A socket for datagrams has
// nothing waiting. It does not block.
func (s *Set) Queues() []Queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	queues := make([]Queue, len(s.Sockets))
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		queues[i] = Queue{Name: socket.Name, FD: socket.FD}
		if s.closed || !socket.Accepts() {
			continue
		}
		for _, fd := range socket.files() {
			n, err := socket.queued(fd)
			if err != nil {
				n, _ = waiting(fd) // it is no TCP socket
			}
			queues[i].Waiting += n
		}
	}
	return queues
}

// Revive has sockets listen again that a worker has shut down: shutdown(2) ends listening for
// all processes that share a socket, and every connection is refused then. lost are the unix and
// datagram sockets, which cannot be revived. For each port with several sockets it may block for
// 0.2 s, and so may the other methods that are called meanwhile (see learn). The error names the
// sockets that could not listen again.
func (s *Set) Revive() (revived, lost []string, err error) {
	var faults []error
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		deaf, err := s.revive(socket)
		switch {
		case err == errLost:
			lost = append(lost, socket.Name)
		case err != nil:
			faults = append(faults, fmt.Errorf("port %q does not listen any more: %w", socket.Text, err))
		case deaf:
			revived = append(revived, socket.Name)
		}
	}
	return revived, lost, errors.Join(faults...)
}

// errLost says that the system has no way to revive such a socket.
var errLost = errors.New("it cannot be revived")

// revive has one socket listen again. deaf tells whether it was shut down. The lock is held for
// one socket at a time: with many ports the other methods would wait too long.
func (s *Set) revive(socket *Socket) (deaf bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false, nil
	}
	shut := slices.DeleteFunc(socket.files(), func(fd int) bool { return !socket.isDeaf(fd) })
	switch {
	case len(shut) == 0:
		return false, nil
	case socket.Addr.Network() != "tcp":
		return true, errLost
	}
	return true, socket.revive(shut, s.steeredOf(socket), s.options)
}

// isDeaf tells whether this descriptor of the socket was shut down.
func (s *Socket) isDeaf(fd int) bool {
	if s.Accepts() {
		return isDeaf(fd)
	}
	return hangsUp(fd)
}

// Accepts tells whether the socket is for connections, and not for datagrams.
func (s *Socket) Accepts() bool {
	network := s.Addr.Network()
	return network == "tcp" || network == "unix"
}

// files are its descriptors, those of slots included.
func (s *Socket) files() []int { return append([]int{s.fd}, *s.others...) }
