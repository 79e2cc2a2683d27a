package socket

import "fmt"

// Grow makes the missing sockets with Reuseport for the slots up to n-1. On Linux they get
// no connections until Steer is called; on other systems the kernel spreads connections
// over all sockets at once. After an error the sockets that were made stay, and Grow may
// be called again. It does not block.
func (s *Set) Grow(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if err := socket.fill(n, s.options); err != nil {
			return fmt.Errorf("port %q: cannot make a socket for slot %d: %w", socket.Text, socket.slots(), err)
		}
	}
	return s.watch()
}

// Steer sends new connections and packets to the slots 0 to n-1 only, for sockets with
// Reuseport. The client's address and port choose the slot, so all packets of a flow go to
// one socket. When n changes flows of datagrams may move; connections stay. The error
// wraps errors.ErrUnsupported if the system cannot steer. It is also an error if there are
// fewer than n slots. Steer does not block.
func (s *Set) Steer(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if !socket.Reuseport {
			continue
		}
		if n < 1 || n > socket.slots() {
			return fmt.Errorf("port %q: cannot steer to %d slots: there are %d", socket.Text, n, socket.slots())
		}
		if len(*socket.others) == 0 {
			continue // it gets everything
		}
		if err := socket.steer(n); err != nil {
			return fmt.Errorf("port %q: cannot steer to %d slots: %w", socket.Text, n, err)
		}
	}
	for _, g := range s.gone {
		if g.socket != nil {
			_ = g.socket.steer(min(n, g.socket.slots())) // until Relinquish closes it
		}
	}
	s.options.steered = n
	return nil
}

// Queued is how many connections wait to be accepted in the slots from that one on. On
// Linux every connection counts. On other systems, and for datagrams, a socket counts as
// one if anything waits there. Queued does not block.
//
// A connection does not count before the handshake is complete (SYN-RECV), nor while
// defer-accept waits for its data. It comes into the queue of the socket that its first
// packet went to, even if Steer was called since. So after Steer wait until Queued is 0,
// and then for one round trip of a client, before the slot's worker is told to go. A
// connection that comes later waits for the next worker of the slot. With SYN cookies this
// does not happen: the last packet of the handshake is steered like a first one.
func (s *Set) Queued(from int) (int, error) {
	return s.waitingIn(func(socket *Socket) []int {
		switch {
		case !socket.Reuseport:
			return nil
		case socket.Sided:
			return append(socket.from(from, 0), socket.from(from, 1)...)
		}
		return socket.from(from, 0)
	})
}
