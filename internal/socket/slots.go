package socket

import "fmt"

// Grow makes sockets for the slots up to n-1, where Reuseport is asked for and
// they are missing. On Linux they get no connections until Steer says so; on other
// systems the kernel spreads connections over all sockets from then on. After an
// error some have been made, which stay; it may be called again. It does not
// block.
func (s *Set) Grow(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if err := socket.fill(n, s.options); err != nil {
			return fmt.Errorf("port %q: cannot make a socket for slot %d: %w", socket.Text, len(*socket.others)+1, err)
		}
	}
	return nil
}

// Steer has new connections and packets go to the slots 0 to n-1 only, where
// Reuseport is asked for. A slot is chosen by the client's address and port, so
// the packets of one flow all go to one socket, until n changes: flows of
// datagrams are then spread anew, connections stay where they are. An error says
// that the system has no such thing (it wraps errors.ErrUnsupported), that Grow
// has not been called, or what failed. It does not block.
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
		if n < 1 || n > 1+len(*socket.others) {
			return fmt.Errorf("port %q: cannot steer to %d slots: there are %d", socket.Text, n, 1+len(*socket.others))
		}
		if len(*socket.others) == 0 {
			continue // it gets everything
		}
		if err := socket.steer(n); err != nil {
			return fmt.Errorf("port %q: cannot steer to %d slots: %w", socket.Text, n, err)
		}
	}
	s.options.steered = n
	return nil
}

// Queued is how many connections wait to be accepted in the slots from that one
// on. On Linux all are counted; on other systems, and for datagrams, a socket
// where any wait counts as one. It does not block.
//
// A connection whose client has not acknowledged ours (SYN-RECV) does not count,
// nor one that defer-accept holds back until its data is there: neither is in a
// queue, but each will be in that of the socket that its first packet went to,
// even if Steer has been called meanwhile. So whoever empties a slot, after Steer,
// waits for 0, and for as long as a client may take for one round trip, before it
// ends the worker. What comes later still waits, for the next worker of the slot.
// With SYN cookies there is no such wait: the client's acknowledgement is steered
// as a first packet is.
func (s *Set) Queued(from int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, nil
	}
	total := 0
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if !socket.Reuseport {
			continue
		}
		fds := append([]int{socket.fd}, *socket.others...)
		for slot := max(from, 0); slot < len(fds); slot++ {
			n, err := socket.queued(fds[slot])
			if err != nil {
				return total, fmt.Errorf("port %q: queue of slot %d: %w", socket.Text, slot, err)
			}
			total += n
		}
	}
	return total, nil
}
