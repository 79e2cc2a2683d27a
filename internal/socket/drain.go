package socket

import (
	"fmt"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

const (
	// roundTrip is how long a client may take to complete a connection that it began
	// before Steer.
	roundTrip = 500 * time.Millisecond
	// drainTimeout is how long workers may take to accept what waits for them.
	drainTimeout = 10 * time.Second
	drainPoll    = 10 * time.Millisecond
)

// Drain steers new connections to the slots 0 to n-1, as Steer does, and blocks until none
// waits in another slot: for 10 s at most, or until the Set is closed. The error says what
// has failed, or how many connections still wait. It wraps errors.ErrUnsupported where the
// system cannot steer.
func (s *Set) Drain(n int) error {
	if err := s.Steer(n); err != nil {
		return err
	}
	left, err := s.drain(func() (int, error) { return s.Queued(n) })
	if err == nil && left > 0 {
		err = fmt.Errorf("%s still not accepted by workers in excess after %s secs: left in the queue until there are more workers again",
			text.Count(left, "connection"), text.Seconds(drainTimeout))
	}
	return err
}

func (s *Set) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
