//go:build unix

package probe

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asking is an Asker of workers that can be connected to only after the time from, and then accept
// at once. It is for a bubble of synctest. tried gets the time of each try.
func asking(t *testing.T, from time.Duration, tried *[]time.Duration) *Asker {
	t.Helper()
	start := time.Now()
	return &Asker{
		New: func() *Checker {
			c := accepting(t, func() (bool, error) { return true, nil }, "web")
			c.Sockets = nil
			return c
		},
		Sockets: func() []fdenv.Socket { return sockets },
		Connect: func(_ context.Context, place, slot, side int) (int, error) {
			assert.Equal(t, []int{0, 3, 1}, []int{place, slot, side})
			*tried = append(*tried, time.Since(start))
			if time.Since(start) < from {
				return -1, errors.New("it is down")
			}
			return open()
		},
		Rivals: func(context.Context, supervise.Worker) []int { return nil },
	}
}

func TestAnAskerAsksAsTheLoopWants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Duration
		a := asking(t, 250*time.Millisecond, &tried)
		require.NoError(t, a.Open())
		w := supervise.Worker{Pid: 4711, Generation: 2, Slot: 3}

		assert.EqualError(t, a.Ask(t.Context(), w, 1, true), "tcp://web: it is down")
		assert.Equal(t, []time.Duration{0, 0}, tried, "twice at once, as it is proven")

		tried = nil
		assert.NoError(t, a.Ask(t.Context(), w, 1, false))
		assert.Equal(t, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}, tried, "until it passes")
		require.NoError(t, a.Close())
	})
}

func TestAnAskerThatIsHandedOverSaysNothingOfAWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tried []time.Duration
		a := asking(t, 0, &tried)
		require.NoError(t, a.Open())
		again := a.Hand()
		w := supervise.Worker{Slot: 3}
		assert.Equal(t, supervise.ErrNotAsked, a.Ask(t.Context(), w, 1, true))
		assert.Empty(t, tried)

		again()
		assert.NoError(t, a.Ask(t.Context(), w, 1, true), "the image goes on after all")
		assert.Len(t, tried, 1)

		require.NoError(t, a.Close())
		assert.Equal(t, supervise.ErrNotAsked, a.Ask(t.Context(), w, 1, true))
	})
}

func TestAnAskerThatCannotAskIsNotOpened(t *testing.T) {
	t.Parallel()
	a := &Asker{New: func() *Checker {
		return &Checker{Probes: []Probe{{kind: "exec"}}, Command: "/there/is/none"}
	}}
	assert.Error(t, a.Try())
	assert.Equal(t, a.Try(), a.Open())
	a.Hand()() // nothing is begun
	assert.Nil(t, a.checker())
	assert.NoError(t, a.Close())
}

func TestWithoutProbesThereIsNothingToOpen(t *testing.T) {
	t.Parallel()
	var a *Asker
	assert.NoError(t, a.Try())
	assert.NoError(t, a.Open())
	a.Hand()()
	assert.NoError(t, a.Close())
}
