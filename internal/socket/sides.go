package socket

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Sides is how many sets of sockets a port has with Tuning.Sided. One generation of workers
// accepts from one set, and the next generation from the other. The group of a port has, in
// this order: the socket of slot 0 on side 0, one that we alone have (see fill), the socket of
// slot 0 on side 1, and then both sockets of each slot from 1 on.
const Sides = 2

// All is the share that stands for all connections.
const All = 10000

// split says which side new connections go to.
type split struct {
	Having
	gone        bool // the port is not asked for any more: a generation that begins lacks it
	side, share int  // share of All go to side, the others to the other one
	private     []private
	// order is the kernel's order of the group, by the numbers of its sockets (see nth); nil:
	// each is at its number. It changes when a process calls shutdown(2) on one of them.
	order   []int
	changes int // how often order has changed
}

// place is where the group has the socket of that number.
func (p *split) place(number int) int {
	if place := slices.Index(p.order, number); place >= 0 {
		return place
	}
	return number
}

// private is a connection of ours that is being made to one socket.
type private struct {
	port  uint16 // it comes from this port, and from the address that it goes to
	place int    // in the group, where it goes to
	fd    int    // our end
}

// count is how many sockets the group has for so many slots.
func (s *Socket) count(slots int) int {
	if s.Sided {
		return Sides*slots + 1
	}
	return slots
}

// nth is the number of the socket of a slot and side. The sockets of a port are numbered from
// 0, in the order in which they were made.
func (s *Socket) nth(slot, side int) int {
	if !s.Sided {
		return slot
	}
	return nth(slot, s.split.set(side))
}

// nth is the number of the socket of a slot in a set.
func nth(slot, set int) int {
	if n := Sides*slot + set; n > 0 {
		return n + 1
	}
	return 0
}

// slots is how many slots have a socket of their own.
func (s *Socket) slots() int {
	if s.Sided {
		return len(*s.others) / Sides
	}
	return 1 + len(*s.others)
}

// at is our descriptor for a slot and side: that of slot 0 if the slot has none.
func (s *Socket) at(slot, side int) int {
	if !s.Reuseport || slot >= s.slots() {
		slot = 0
	}
	if n := s.nth(slot, side); n > 0 && n <= len(*s.others) && s.Reuseport {
		return (*s.others)[n-1]
	}
	return s.fd
}

// from are our descriptors for a side, from a slot on.
func (s *Socket) from(slot, side int) (fds []int) {
	for slot = max(slot, 0); slot < s.slots(); slot++ {
		fds = append(fds, s.at(slot, side))
	}
	return fds
}

// Split sends share of All new connections to a side, and the others to the other side, on
// all ports with Tuning.Sided. At first all go to side 0. Connections that wait stay where they
// are. If a generation lacks a port the clients of that go elsewhere, see Take. Split does not
// block. After an error some ports may have changed.
func (s *Set) Split(side, share int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for socket := range s.sided() {
		socket.split.aim(side, share)
		if err := socket.steer(s.steeredOf(socket)); err != nil {
			return fmt.Errorf("port %q: cannot send connections to another generation: %w", socket.Text, err)
		}
	}
	return nil
}

// leaving are the sockets of a side, if that gets no connections.
func (s *Socket) leaving(side int) []int {
	if !s.Sided || s.split.feeds(side) {
		return nil
	}
	return s.from(0, side)
}

// steeredOf is how many slots of a port get connections.
func (s *Set) steeredOf(socket *Socket) int {
	if !socket.Reuseport {
		return 1
	}
	return min(s.options.steered, socket.slots())
}

// Waiting is how many connections wait on a side. It does not block.
func (s *Set) Waiting(side int) (int, error) {
	return s.waitingIn(func(socket *Socket) []int {
		if !socket.Sided {
			return nil
		}
		return socket.from(0, side)
	})
}

// waitingIn is how many connections wait in the sockets that which returns.
func (s *Set) waitingIn(which func(*Socket) []int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, nil
	}
	total := 0
	for socket := range s.steerable() {
		for _, fd := range which(socket) {
			n, err := socket.queued(fd)
			if err != nil {
				return total, fmt.Errorf("port %q: length of a queue: %w", socket.Text, err)
			}
			total += n
		}
	}
	return total, nil
}

// DrainSide blocks until none waits on a side that gets no connections any more: for 10 s
// at most, or until the Set is closed. The error says what has failed, or how many still
// wait.
func (s *Set) DrainSide(side int) error {
	left, err := s.drain(func() (int, error) { return s.waitingIn(func(socket *Socket) []int { return socket.leaving(side) }) })
	if err == nil && left > 0 {
		err = fmt.Errorf("%s still not accepted by the workers that are to go, after %s secs",
			text.Count(left, "connection"), text.Seconds(drainTimeout))
	}
	return err
}

// drain blocks until waiting has been 0 for a round trip of a client. left is how many
// still wait after 10 s.
func (s *Set) drain(waiting func() (int, error)) (left int, err error) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	empty := time.Now()
	for end := empty.Add(drainTimeout); time.Since(empty) < roundTrip; <-tick.C {
		if s.isClosed() {
			return 0, nil
		}
		left, err = waiting()
		switch {
		case err != nil:
			return left, err
		case left > 0 && time.Now().After(end):
			return left, nil
		case left > 0:
			empty = time.Now()
		}
	}
	return 0, nil
}

// GiveSides gives each TCP port two sides. All generations share the other sockets. The error
// names the TCP sockets that cannot have two sides, or says that there is no TCP port.
func GiveSides(specs []Spec) error {
	var faults []error
	sided := false
	for i := range specs {
		s := &specs[i]
		if !s.Taken && !s.UDP && s.Path == "" {
			s.Reuseport, s.Sided = true, true
		}
		sided = sided || s.IsTCP()
		if s.Taken && s.IsTCP() {
			faults = append(faults, fmt.Errorf("socket %q: blue/green needs a second set of it, which cannot be made for a TCP socket that was passed to us", s.Text))
		}
	}
	if !sided && len(specs) > 0 {
		faults = append(faults, errors.New("blue/green needs a TCP port: paths and UDP ports are shared by all generations"))
	}
	return errors.Join(faults...)
}
