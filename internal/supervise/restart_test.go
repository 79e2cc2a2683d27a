package supervise

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests stand in the order of the table in loop.go: event by event, and
// each event in each of its three states.

func TestRestartWithNoneStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0"}, w.served())

		reply := w.restart()
		assert.Equal(t, []string{"1.0", "2.0"}, w.lives(), "beside the running one")
		assert.Equal(t, []string{"1.0"}, w.served(), "an unproven worker is not listed")
		w.sleep(time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals, "the interval is not over")
		assert.ErrorIs(t, answered(reply), errSilence)

		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		assert.NoError(t, answered(reply))
		assert.Equal(t, []string{"1.0", "2.0"}, w.served())

		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, []string{"2.0"}, w.served())
	})
}

func TestRestartWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		first := w.restart()
		w.sleep(100 * time.Millisecond)
		second, third := w.restart(), w.restart()
		w.sleep(900 * time.Millisecond)

		assert.NoError(t, answered(first))
		assert.ErrorIs(t, answered(second), errSilence)
		assert.Equal(t, []string{"1.0", "2.0", "3.0"}, w.lives(), "both are remembered as one, begun when generation 2 is live")
		w.sleep(time.Second)
		assert.NoError(t, answered(second))
		assert.NoError(t, answered(third))
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "told once")
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(2, 0).signals)
		w.sleep(time.Hour)
		assert.Equal(t, 3, w.generation)
	})
}

func TestRestartCutsAGrownPauseShort(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		for range 4 { // failures at 0, 1, 3, 7 s; the next attempt is due at 15 s
			w.exit(w.worker(w.generation, 0), broken)
			w.sleep(w.pauseUntilNext())
		}
		w.exit(w.worker(6, 0), broken)
		w.sleep(2 * time.Second)
		require.Equal(t, 6, w.generation, "in its pause")
		reply := w.restart()
		assert.Equal(t, 7, w.generation, "at once")
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
	})
}

// Among many workers there may always be one that has just ended, for example because workers
// end after a number of requests.
func TestRestartBeginsThoughWorkersEndAllTheTime(t *testing.T) {
	simulate(t, Config{Workers: 20}, nil, func(w *world) {
		w.sleep(time.Minute)
		slot := 0
		oneEnds := func() { // each after two seconds
			w.exit(w.worker(1, slot), fine)
			slot = (slot + 1) % 20
			w.sleep(100 * time.Millisecond)
		}
		for range 40 {
			oneEnds()
		}
		reply := w.restart()
		for range 20 {
			oneEnds()
		}
		assert.Equal(t, 2, w.generation)
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
	})
}

// pauseUntilNext is the pause that the last failed attempt announced.
func (w *world) pauseUntilNext() time.Duration {
	failed := seen[AttemptFailed](w)
	return failed[len(failed)-1].Pause
}

func TestRestartWhenStoppingIsRefused(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.stop()
		assert.ErrorIs(t, answered(w.restart()), ErrStopping)
		assert.Len(t, seen[Refused](w), 1)
		w.sleep(time.Hour)
		assert.Equal(t, 1, w.generation)
	})
}

func TestAWaitingRestartHearsOfAStop(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		running := w.restart()
		pending := w.restart()
		w.stop()
		assert.ErrorIs(t, answered(running), ErrStopping)
		assert.ErrorIs(t, answered(pending), ErrStopping)
	})
}

func TestAPendingRestartOutlivesTheLastAttempt(t *testing.T) {
	simulate(t, Config{Attempts: 1}, nil, func(w *world) {
		w.sleep(time.Second)
		first := w.restart()
		second := w.restart()
		w.exit(w.worker(2, 0), broken)
		assert.ErrorIs(t, answered(second), errSilence)
		assert.Empty(t, seen[GaveUp](w))
		assert.False(t, seen[AttemptFailed](w)[0].Decided)
		w.sleep(2 * time.Second)
		assert.NoError(t, answered(first))
		assert.NoError(t, answered(second))
	})
}

func TestAfterGivingUpTheClockStartsAnew(t *testing.T) {
	simulate(t, Config{Attempts: 1}, func(w *world) { w.settings.AutoRestart = time.Minute }, func(w *world) {
		w.sleep(61 * time.Second)
		w.exit(w.worker(2, 0), broken)
		w.sleep(time.Minute - 1)
		assert.Equal(t, 2, w.generation)
		w.sleep(1)
		assert.Equal(t, 3, w.generation)
	})
}

func TestAutoRestart(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.AutoRestart = time.Minute }, func(w *world) {
		w.sleep(61*time.Second - 1)
		assert.Equal(t, 1, w.generation)
		w.sleep(1)
		assert.Equal(t, 2, w.generation, "the interval after the last success")
		assert.Equal(t, []AutoRestart{{time.Minute, false}}, seen[AutoRestart](w))

		w.sleep(time.Second + 2*time.Minute - 1) // generation 1 has not gone
		assert.Equal(t, 2, w.generation, "not while an old worker is left")
		w.sleep(1)
		assert.Equal(t, 3, w.generation, "but after twice the time")
		assert.True(t, seen[AutoRestart](w)[1].Forced)
	})
}

func TestAutoRestartWhenTheOldWorkerGoes(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.AutoRestart = time.Minute }, func(w *world) {
		w.sleep(62 * time.Second)
		w.sleep(90 * time.Second)
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, 3, w.generation, "overdue, and now nothing holds it up")
	})
}
