package starter

import (
	"errors"
	"time"

	"github.com/lestrrat/go-server-starter/internal/socket"
)

// files are the descriptors that the worker in a slot gets, by its own numbers.
// Where slots have sockets of their own, they are made here for a new slot.
func (s *Starter) files(slot int) ([]int, error) {
	stdout, stderr := s.out.Descriptors()
	s.slots.Lock()
	defer s.slots.Unlock()
	if err := s.sockets.Grow(slot + 1); err != nil {
		return nil, err
	}
	return s.sockets.Table(slot, 0, stdout, stderr), nil
}

// locked does something to the sockets, if they are still open.
func (s *Starter) locked(what func(*socket.Set) error) error {
	s.slots.Lock()
	defer s.slots.Unlock()
	if s.sockets == nil {
		return nil
	}
	return what(s.sockets)
}

const (
	// roundTrip is how long a client may take to complete a connection that a
	// slot was chosen for before it was to get no more.
	roundTrip = 500 * time.Millisecond
	// drainTimeout is how long a slot may take to accept what waits for it.
	drainTimeout = 10 * time.Second
	drainPoll    = 10 * time.Millisecond
)

// steer has new connections go to the first slots only, and returns when the
// others have accepted what waits for them.
func (s *Starter) steer(slots int) {
	err := s.locked(func(sockets *socket.Set) error { return sockets.Steer(slots) })
	if errors.Is(err, errors.ErrUnsupported) {
		s.steerless.Do(func() { s.out.Printf("%v: what waits for a worker in excess waits until there are more again", err) })
		return
	}
	if err != nil {
		s.out.Printf("%v", err)
		return
	}
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	empty := time.Now()
	for end := empty.Add(drainTimeout); time.Since(empty) < roundTrip; <-tick.C {
		var waiting int
		err := s.locked(func(sockets *socket.Set) (err error) {
			waiting, err = sockets.Queued(slots)
			return err
		})
		switch {
		case err != nil:
			s.out.Printf("%v", err)
			return
		case waiting > 0 && time.Now().After(end):
			s.out.Printf("%s still not accepted by workers in excess after %s secs: left in the queue until there are more workers again",
				count(waiting, "connection"), seconds(drainTimeout))
			return
		case waiting > 0:
			empty = time.Now()
		}
	}
}
