package supervise

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStartingWorkerFails(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(300 * time.Millisecond)
		w.exit(w.worker(2, 0), broken)

		var failure *Failure
		require.ErrorAs(t, answered(reply), &failure)
		assert.Equal(t, Failure{Worker: Worker{2, 0, 101}, Status: broken, Lived: 300 * time.Millisecond}, *failure)
		assert.EqualError(t, failure, "new worker 101 of generation 2 failed after 300ms: exit code 3")
		assert.Equal(t, []string{"1.0"}, w.lives(), "the old one serves on")
		w.sleep(700*time.Millisecond - 1)
		assert.Equal(t, 2, w.generation)
		w.sleep(1)
		assert.Equal(t, 3, w.generation, "the interval after the last attempt")
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
	})
}

func TestFailureEndsTheSiblings(t *testing.T) {
	simulate(t, Config{Workers: 3}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(2, 1), broken)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 0).signals)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 2).signals)
		assert.Empty(t, w.worker(1, 0).signals)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served(), "failed workers are not listed")
		w.exit(w.worker(2, 2), broken)
		assert.Len(t, seen[AttemptFailed](w), 1, "an attempt fails once")
	})
}

func TestPausesGrowAndStartAgain(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		var pauses []time.Duration
		for range 7 {
			w.exit(w.worker(w.generation, 0), broken)
			pauses = append(pauses, w.pauseUntilNext())
			w.sleep(pauses[len(pauses)-1])
		}
		s := time.Second
		assert.Equal(t, []time.Duration{s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s, 10 * s}, pauses)

		w.sleep(time.Second)
		require.Equal(t, []string{"8.0"}, w.served())
		w.restart()
		w.exit(w.worker(9, 0), broken)
		assert.Equal(t, time.Second, w.pauseUntilNext(), "back to the first pace after a success")
	})
}

func TestOutOfAttemptsKeepsTheLiveGeneration(t *testing.T) {
	simulate(t, Config{Attempts: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.exit(w.worker(2, 0), broken)
		assert.ErrorIs(t, answered(reply), errSilence, "an attempt is left")
		w.sleep(time.Second)
		w.exit(w.worker(3, 0), broken)
		assert.ErrorContains(t, answered(reply), "generation 3")
		assert.Equal(t, []GaveUp{{Failure{Worker: w.worker(3, 0).id, Status: broken}, 2, true, 0}}, seen[GaveUp](w))
		w.sleep(time.Hour)
		assert.Equal(t, 3, w.generation)
		assert.Equal(t, []string{"1.0"}, w.served())

		reply = w.restart()
		w.sleep(time.Second)
		assert.NoError(t, answered(reply), "the next one has its own attempts")
	})
}

func TestOutOfAttemptsWithNothingLiveIsAnError(t *testing.T) {
	simulate(t, Config{Attempts: 2}, nil, func(w *world) {
		w.exit(w.worker(1, 0), broken)
		w.sleep(time.Second)
		w.exit(w.worker(2, 0), broken)
		err := <-w.result
		assert.ErrorContains(t, err, "new worker 101 of generation 2 failed after 0s: exit code 3")
		w.result <- err
	})
}

func TestFirstSpawnThatCannotStartIsAnError(t *testing.T) {
	missing := errors.New("no such program")
	simulate(t, Config{}, func(w *world) { w.failSpawn = missing }, func(w *world) {
		err := <-w.result
		assert.ErrorIs(t, err, missing)
		w.result <- err
	})
}

func TestLaterSpawnThatCannotStartLeavesTheOldOne(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.failSpawn = errors.New("no such program")
		reply := w.restart()
		assert.ErrorContains(t, answered(reply), "generation 2 could not be started: no such program")
		assert.Equal(t, []string{"1.0"}, w.served())
		w.failSpawn = nil
		w.sleep(2 * time.Second)
		assert.Contains(t, w.served(), "3.0")
	})
}

func TestAllWorkersMustBeProven(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		assert.Equal(t, []string{"1.0", "1.1", "2.0", "2.1"}, w.lives())
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 1).signals)
	})
}

func TestAKnownDeathBeatsTheClock(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.blockOn = 2 * time.Second // the loop is busy until after the end of the interval
		w.sup.Restart(w.t.Context(), "test")
		w.exit(w.worker(2, 0), broken) // the worker dies while it is
		w.sleep(3 * time.Second)
		assert.Len(t, seen[AttemptFailed](w), 1)
		assert.Equal(t, 3, seen[WentLive](w)[1].Generation)
	})
}

// The superdaemon was paused: the worker's end and the end of its time are seen at once,
// the end of the time first.
func TestWorkerThatHasEndedIsNotProvenByTheClock(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(500 * time.Millisecond)
		w.exitLate(w.worker(2, 0), broken, 2*time.Second)
		w.sleep(time.Second)
		assert.Len(t, seen[Proven](w), 1)
		w.sleep(time.Second)
		assert.Len(t, seen[AttemptFailed](w), 1)
		assert.Empty(t, w.worker(1, 0).signals)
	})
}

func TestAFailedAttemptDoesNotForgetThatItWasAskedFor(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(2, 0), broken)
		w.sleep(2 * time.Second)
		assert.True(t, seen[WentLive](w)[1].Asked)
	})
}

func TestGivingUpSparesWhoeverServes(t *testing.T) {
	simulate(t, Config{Attempts: 1}, func(w *world) { w.settings.KillOldDelay = time.Hour }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		w.exit(w.worker(2, 0), 9)
		w.exit(w.worker(3, 0), broken)
		assert.Equal(t, []GaveUp{{Failure{Worker: w.worker(3, 0).id, Status: broken}, 1, true, 0}}, seen[GaveUp](w))
		assert.Equal(t, []string{"1.0"}, w.served(), "generation 1 was not told to go yet, and stays")
		w.sleep(time.Second)
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, []string{"4.0"}, w.lives(), "without it anything is better than nothing")
	})
}

// The worker that was started beside it is told to go at once.
func TestSiblingOfAWorkerThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2, Attempts: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.locked(func() { w.failsIn = 1 })
		w.restart()
		w.sleep(time.Second)
		require.Len(t, seen[AttemptFailed](w), 1)
		assert.ErrorContains(t, &seen[AttemptFailed](w)[0].Failure, "no such program")
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 0).signals)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
	})
}
