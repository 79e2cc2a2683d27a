package supervise

import (
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// All tests of the loop run by a wall clock that jumps by years whenever it is read.
// Code that does not measure by the monotonic clock fails in some of them.
func init() { clock = jumping }

var (
	reads atomic.Int64
	birth = time.Now()
)

// jumping is time.Now, with a wall clock that is wrong by up to five years, each time by
// something else. The clock of a bubble has no monotonic reading: it gets one here.
func jumping() time.Time {
	const years5 = 5 * 365 * 24 * 3600
	passed := time.Since(birth.Round(0))
	return shifted(birth.Add(passed), reads.Add(1)*7919*86400%(2*years5)-years5)
}

// shifted is t with a wall clock that has jumped by seconds, and a monotonic clock that has
// not. If a time has a monotonic reading, package time keeps the seconds of the wall clock
// above 30 bits of nanoseconds.
func shifted(t time.Time, seconds int64) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall = uint64(int64(*wall) + seconds<<30)
	return t
}

func TestTheClockOfTheseTestsJumps(t *testing.T) {
	t.Parallel()
	before, now := time.Now(), jumping()
	assert.Less(t, now.Sub(before).Abs(), time.Minute, "it measures as the real one does")
	assert.Greater(t, now.Round(0).Sub(jumping().Round(0)).Abs(), time.Hour, "and shows something else")
}

// inBubble is a time of the loop by the clock of the test's bubble, which does not jump.
func inBubble(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Now().Add(t.Sub(clock()))
}

func (s *Status) inBubble() {
	s.Began, s.Now, s.StopAt = inBubble(s.Began), inBubble(s.Now), inBubble(s.StopAt)
	if s.Failure != nil {
		failure := *s.Failure
		failure.At = inBubble(failure.At)
		s.Failure = &failure
	}
	for i := range s.Shares {
		s.Shares[i].Until = inBubble(s.Shares[i].Until)
	}
	for i := range s.Workers {
		w := &s.Workers[i]
		w.Began, w.Next = inBubble(w.Began), inBubble(w.Next)
		if w.Ended != nil {
			ended := *w.Ended
			ended.At = inBubble(ended.At)
			w.Ended = &ended
		}
	}
}
