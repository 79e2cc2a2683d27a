//go:build unix

package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// open is some descriptor.
func open() (int, error) {
	n, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return n, err
}

// accepting is a Checker of tcp: probes. accepted tells whether their connections are accepted.
// It is for a bubble of synctest.
func accepting(t *testing.T, accepted func() (bool, error), names ...string) *Checker {
	t.Helper()
	c := &Checker{Accepted: func(int) (bool, error) { return accepted() }, Sockets: sockets}
	for _, name := range names {
		probes, err := Parse([]string{"tcp://" + name}, sockets, true)
		require.NoError(t, err)
		c.Probes = append(c.Probes, probes...)
	}
	return c
}

// worker is a target that takes some time to connect to. began gets the time of each try.
func worker(began *[]time.Duration, takes time.Duration, fault error) Target {
	var mu sync.Mutex
	start := time.Now()
	return Target{Connect: func(ctx context.Context, _ int) (int, error) {
		mu.Lock()
		*began = append(*began, time.Since(start))
		mu.Unlock()
		if pause(ctx, takes); ctx.Err() != nil {
			return -1, context.Cause(ctx)
		}
		if fault != nil {
			return -1, fault
		}
		return open()
	}}
}

func TestPassTriesUntilItIsAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := accepting(t, func() (bool, error) { return time.Since(start) > 2500*time.Millisecond, nil }, "web")
		var began []time.Duration
		require.NoError(t, c.Pass(t.Context(), worker(&began, 0, nil)))
		assert.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, began, "each takes its time, and no pause more")
		assert.Less(t, time.Since(start), 2600*time.Millisecond)
		c.Close()
	})
}

func TestPassPausesWhenTriesFailAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := accepting(t, nil, "web")
		ctx, done := context.WithTimeout(t.Context(), 350*time.Millisecond)
		defer done()
		var began []time.Duration
		err := c.Pass(ctx, worker(&began, 0, fmt.Errorf("connect: %w", syscall.ECONNREFUSED)))
		assert.EqualError(t, err, "tcp://web: refused")
		assert.Equal(t, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}, began)
	})
}

func TestPassSaysWhyTheLastTryFailed(t *testing.T) {
	t.Parallel()
	never := func() (bool, error) { return false, nil }
	for want, c := range map[string]struct {
		accepted func() (bool, error)
		takes    time.Duration
		fault    error
		limit    time.Duration
	}{
		"tcp://web: it was not accepted within 1s":   {never, 0, nil, 1500 * time.Millisecond},
		"tcp://web: it was not accepted within 0.3s": {never, 0, nil, 300 * time.Millisecond},
		"tcp://web: it was not accepted within 1s ":  {nil, time.Hour, nil, 1500 * time.Millisecond},
		"tcp://web: the connection was closed":       {func() (bool, error) { return false, syscall.ECONNRESET }, 0, nil, time.Second},
		"tcp://web: the connection was closed ":      {nil, 0, syscall.EPIPE, time.Second},
		"tcp://web: no descriptors":                  {nil, 0, errors.New("no descriptors"), time.Second},
		"tcp://web: refused; tcp://free: refused":    {nil, 0, syscall.ECONNREFUSED, time.Second},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				checker := accepting(t, c.accepted, "web")
				if c.fault == syscall.ECONNREFUSED {
					checker = accepting(t, c.accepted, "web", "free")
				}
				ctx, done := context.WithTimeout(t.Context(), c.limit)
				defer done()
				start := time.Now()
				var began []time.Duration
				err := checker.Pass(ctx, worker(&began, c.takes, c.fault))
				require.Error(t, err)
				assert.Equal(t, want[:len(err.Error())], err.Error())
				assert.Equal(t, c.limit, time.Since(start))
			})
		})
	}
}

// TestPassAfterASleep: if this process was stopped, a worker that answers still passes.
func TestPassAfterASleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries, asleep := 0, time.Hour
		c := accepting(t, func() (bool, error) { return tries == 2, nil }, "web")
		target := Target{Connect: func(context.Context, int) (int, error) {
			tries++
			time.Sleep(asleep) // ctx or not
			asleep = 0
			return open()
		}}
		ctx, done := context.WithTimeout(t.Context(), time.Minute)
		defer done()
		assert.NoError(t, c.Pass(ctx, target))
		assert.Equal(t, 2, tries)

		tries, asleep = 2, time.Hour
		assert.EqualError(t, c.Pass(ctx, target), "tcp://web: it was not accepted within 1s")
		assert.Equal(t, 3, tries, "one more, and not two")

		tries, asleep = 0, 0
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.EqualError(t, c.Pass(ctx, target), "tcp://web: it was not tried: context canceled")
		assert.Zero(t, tries)
	})
}

func TestStillTriesTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := accepting(t, func() (bool, error) {
			if calls++; calls < 2 {
				return false, syscall.ECONNRESET
			}
			return true, nil
		}, "web")
		var began []time.Duration
		assert.NoError(t, c.Still(t.Context(), worker(&began, 0, nil)))
		assert.Equal(t, []time.Duration{0, 0}, began, "at once")

		began = nil
		err := c.Still(t.Context(), worker(&began, 0, syscall.ECONNREFUSED))
		assert.EqualError(t, err, "tcp://web: refused")
		assert.Len(t, began, 2)

		stop := errors.New("a stop came")
		ctx, cancel := context.WithCancelCause(t.Context())
		began = nil
		time.AfterFunc(500*time.Millisecond, func() { cancel(stop) })
		err = c.Still(ctx, worker(&began, time.Hour, nil))
		assert.ErrorIs(t, err, stop)
		assert.Len(t, began, 1)
	})
}

// TestStillAfterASleep: if this process was stopped, a worker that answers is still fit.
func TestStillAfterASleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries, passes := 0, true
		c := accepting(t, func() (bool, error) { return passes && tries == 2, nil }, "web")
		target := Target{Connect: func(context.Context, int) (int, error) {
			if tries++; tries == 1 {
				time.Sleep(time.Hour) // ctx or not
			}
			return open()
		}}
		still := func() error {
			tries = 0
			ctx, done := context.WithTimeout(t.Context(), time.Minute)
			defer done()
			return c.Still(ctx, target)
		}
		assert.NoError(t, still())
		passes = false
		assert.EqualError(t, still(), "tcp://web: it was not accepted within 1s")
		assert.Equal(t, 2, tries, "one more, and not two")
	})
}

func TestTriesWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	const atOnce = 16
	synctest.Test(t, func(t *testing.T) {
		c := accepting(t, func() (bool, error) { return true, nil }, "web")
		var began []time.Duration
		target := worker(&began, 500*time.Millisecond, nil)
		var all sync.WaitGroup
		for range 2*atOnce + 1 {
			all.Go(func() { assert.NoError(t, c.Still(t.Context(), target)) })
		}
		all.Wait()
		want := slices.Concat(slices.Repeat([]time.Duration{0}, atOnce), slices.Repeat([]time.Duration{500 * time.Millisecond}, atOnce), []time.Duration{time.Second})
		assert.Equal(t, want, began)
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := accepting(t, nil, "web")
		c.Timeout = time.Hour
		var began []time.Duration
		time.AfterFunc(time.Second, c.Close)
		start := time.Now()
		assert.Equal(t, ErrClosed, c.Pass(t.Context(), worker(&began, time.Hour, nil)))
		assert.Equal(t, time.Second, time.Since(start))
		assert.Equal(t, ErrClosed, c.Still(t.Context(), worker(&began, time.Hour, nil)))
		c.Close()
		assert.Len(t, began, 1)
	})
}

// What is read for a start may be on a file system that hangs. A stop must not wait for that.
func TestCloseDoesNotWaitForAStartThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hanging := make(chan struct{})
		c := &Checker{Command: "/bin/true", Env: func() ([]string, error) { <-hanging; return nil, nil }}
		var err error
		c.Probes, err = Parse([]string{"exec:true"}, nil, false)
		require.NoError(t, err)
		result := make(chan error, 2)
		for range cap(result) {
			go func() { result <- c.Pass(t.Context(), Target{}) }()
		}
		synctest.Wait()
		start := time.Now()
		c.Close()
		assert.Equal(t, endTime, time.Since(start))
		assert.Equal(t, ErrClosed, <-result, "one waits for the start of another")
		close(hanging)
		assert.Equal(t, ErrClosed, <-result)
	})
}
