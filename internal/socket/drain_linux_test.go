package socket

import (
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The sockets are real here, but time is that of a bubble: a call to the kernel takes no time.

// draining is a Drain to one slot that is under way, and when it began.
type draining struct {
	set   *Set
	began time.Time
	over  chan error
}

func drain(set *Set) *draining {
	d := &draining{set: set, began: time.Now(), over: make(chan error, 1)}
	go func() { d.over <- set.Drain(1) }()
	return d
}

// ends waits for the end, which has to come at that time.
func (d *draining) ends(t *testing.T, at time.Duration) error {
	t.Helper()
	err := <-d.over
	assert.Equal(t, at, time.Since(d.began))
	return err
}

// until waits for that time. The drain must still be under way then.
func (d *draining) until(t *testing.T, at time.Duration) {
	t.Helper()
	time.Sleep(time.Until(d.began.Add(at)))
	synctest.Wait()
	select {
	case err := <-d.over:
		require.Fail(t, "it is over", "after %v: %v", at, err)
	default:
	}
}

// queuedIn is how many wait in one slot.
func queuedIn(t *testing.T, set *Set, slot int) int {
	t.Helper()
	from, err := set.Queued(slot)
	require.NoError(t, err)
	behind, err := set.Queued(slot + 1)
	require.NoError(t, err)
	return from - behind
}

// acceptAll accepts until that many are left in the queue, and says how many it has accepted.
func acceptAll(t *testing.T, set *Set, slot, but int) (n int) {
	t.Helper()
	for ; queuedIn(t, set, slot) > but; n++ {
		conn, _, err := unix.Accept(slots(set.Sockets[0])[slot])
		require.NoError(t, err)
		unix.Close(conn)
	}
	return n
}

// twoSlots is a port with two sockets, and connections in the queue of each.
func twoSlots(t *testing.T) *Set {
	t.Helper()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport", "127.0.0.1:0"}, nil)
	connectMany(t, set.Sockets[0].Addr, 60)
	require.Eventually(t, func() bool { return queuedIn(t, set, 0)+queuedIn(t, set, 1) == 60 }, 10*time.Second, time.Millisecond)
	require.Positive(t, queuedIn(t, set, 0))
	require.Positive(t, queuedIn(t, set, 1))
	return set
}

func TestDrainWaitsUntilTheQueuesAreEmptyAndForARoundTrip(t *testing.T) {
	t.Parallel()
	set := twoSlots(t)
	synctest.Test(t, func(t *testing.T) {
		d := drain(set)
		d.until(t, 3*time.Second+5*time.Millisecond)
		assert.Positive(t, acceptAll(t, set, 1, 0))
		assert.NoError(t, d.ends(t, 3500*time.Millisecond))
		assert.Positive(t, queuedIn(t, set, 0), "the slot that stays is not looked at")
	})
	connectMany(t, set.Sockets[0].Addr, 60)
	assert.Zero(t, queuedIn(t, set, 1), "new ones go to the other slot")
}

func TestDrainOfEmptyQueuesTakesARoundTrip(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	synctest.Test(t, func(t *testing.T) {
		assert.NoError(t, drain(set).ends(t, roundTrip))
	})
}

// A connection whose slot was chosen before Steer comes to the queue there when the client has
// done its part. A round trip later none comes any more.
func TestDrainWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport,defer-accept"}, nil)
	write := func(text string) {}
	for range 60 {
		client, before := dial(t, "tcp", set.Sockets[0].Addr.String()), write
		write = func(text string) {
			before(text)
			_, err := client.Write([]byte(text))
			require.NoError(t, err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		d := drain(set)
		d.until(t, 405*time.Millisecond)
		write("hello")
		for queuedIn(t, set, 1) == 0 { // the kernel brings it there
			runtime.Gosched()
		}
		d.until(t, 2005*time.Millisecond)
		for total := 0; total < 60; runtime.Gosched() {
			total += acceptAll(t, set, 0, 0) + acceptAll(t, set, 1, 0)
		}
		assert.NoError(t, d.ends(t, 2500*time.Millisecond))
	})
}

func TestDrainGivesUpWhatNobodyAccepts(t *testing.T) {
	t.Parallel()
	set := twoSlots(t)
	for _, left := range []string{"2 connections", "1 connection"} {
		acceptAll(t, set, 1, int(left[0]-'0'))
		synctest.Test(t, func(t *testing.T) {
			assert.EqualError(t, drain(set).ends(t, drainTimeout+drainPoll),
				left+" still not accepted by workers in excess after 10 secs: left in the queue until there are more workers again")
		})
	}
	assert.Equal(t, 1, acceptAll(t, set, 1, 0), "it is alive")
}

func TestDrainThatIsDoneInTheEndIsNoFailure(t *testing.T) {
	t.Parallel()
	set := twoSlots(t)
	synctest.Test(t, func(t *testing.T) {
		d := drain(set)
		d.until(t, drainTimeout-5*time.Millisecond)
		acceptAll(t, set, 1, 0)
		assert.NoError(t, d.ends(t, drainTimeout-drainPoll+roundTrip))
	})
}

func TestDrainEndsWithTheSet(t *testing.T) {
	t.Parallel()
	set := twoSlots(t)
	synctest.Test(t, func(t *testing.T) {
		d := drain(set)
		d.until(t, 15*time.Millisecond)
		require.NoError(t, set.Close())
		assert.NoError(t, d.ends(t, 20*time.Millisecond))
		assert.NoError(t, drain(set).ends(t, 0), "nothing is left to drain")
	})
}

func TestDrainThatCannotBeSaysWhy(t *testing.T) {
	t.Parallel()
	set := twoSlots(t)
	s := &set.Sockets[0]
	synctest.Test(t, func(t *testing.T) {
		assert.ErrorContains(t, set.Drain(3), "cannot steer to 3 slots: there are 2")

		first, second := s.fd, (*s.others)[0]
		defer func() { s.fd, (*s.others)[0] = first, second }()
		(*s.others)[0] = -1 // as if it were no longer open
		began := time.Now()
		err := set.Drain(1)
		assert.ErrorContains(t, err, "length of a queue: getsockopt(TCP_INFO): ")
		assert.ErrorIs(t, err, unix.EBADF)
		s.fd = -1
		err = set.Drain(1)
		assert.ErrorContains(t, err, "cannot steer to 1 slots: setsockopt(SO_ATTACH_REUSEPORT_CBPF): ")
		assert.False(t, errors.Is(err, errors.ErrUnsupported))
		assert.Zero(t, time.Since(began))
	})
}
