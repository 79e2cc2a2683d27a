package supervise

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const fine = 0
const broken = 3 << 8

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

func TestStartingWorkerGoneWhenStopping(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.stop()
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		w.exit(w.worker(1, 0), fine)
		assert.Empty(t, seen[AttemptFailed](w))
		assert.True(t, seen[Died](w)[0].Stop)
		require.NoError(t, <-w.result)
		w.result <- nil
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
		w.blockOn = 2 * time.Second // the loop is kept busy past the end of the interval,
		w.sup.Restart(w.t.Context(), "test")
		w.exit(w.worker(2, 0), broken) // in which the worker dies
		w.sleep(3 * time.Second)
		assert.Len(t, seen[AttemptFailed](w), 1)
		assert.Equal(t, 3, seen[WentLive](w)[1].Generation)
	})
}

func TestKillOldDelay(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, WentLive{Generation: 2, Asked: true, Old: []Worker{{1, 0, 100}}, Signal: retireSignal, Delay: 5 * time.Second}, seen[WentLive](w)[1])
		w.sleep(5*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
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

func TestOldWorkersAreNotToldWhenANewOneHasEnded(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.exitLate(w.worker(2, 1), broken, 10*time.Second)
		w.sleep(9 * time.Second)
		assert.Empty(t, w.worker(1, 1).signals, "nobody serves in its place")
		w.sleep(3 * time.Second)
		assert.Equal(t, told, w.worker(1, 1).signals, "when it was replaced")
	})
}

func TestLoneLiveWorkerDies(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 0), 9)
		assert.Equal(t, []string{"2.0"}, w.lives(), "at once")
		assert.Equal(t, []Died{{Worker: Worker{1, 0, 100}, Status: 9, Lived: 10 * time.Second, Replaced: true}}, seen[Died](w))
		w.sleep(time.Second)
		assert.False(t, seen[WentLive](w)[1].Asked)
	})
}

func TestLiveWorkerDiesDuringKillOldDelay(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(3 * time.Second) // 2 is live for two seconds
		w.exit(w.worker(2, 0), 9)
		assert.Equal(t, []string{"1.0", "3.0"}, w.lives())
		w.exit(w.worker(3, 0), broken)
		w.sleep(2 * time.Second)
		require.Equal(t, 4, w.liveGen, "spawned after a second, proven after another")
		w.sleep(5*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "once generation 4 was live for five seconds")
		retired := seen[Retiring](w)
		assert.Len(t, retired, 1)
	})
}

func TestOneOfManyLiveWorkersDies(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 1), 9)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "its slot is refilled")
		assert.Equal(t, 1, w.generation)

		w.exit(w.worker(1, 1), broken)
		assert.Equal(t, []string{"1.0"}, w.lives(), "but not faster than the interval")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		w.exit(w.worker(1, 1), broken)
		w.sleep(2*time.Second - 1)
		assert.Equal(t, []string{"1.0"}, w.lives(), "and slower under repeated failure")
		w.sleep(1)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestRefillThatCannotStart(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.failSpawn = errors.New("no such program")
		w.exit(w.worker(1, 1), 9)
		assert.Len(t, seen[RefillFailed](w), 1)
		w.failSpawn = nil
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestAllOfManyLiveWorkersDie(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.failSpawn = errors.New("no such program")
		w.exit(w.worker(1, 1), 9)
		w.failSpawn = nil
		w.exit(w.worker(1, 0), 9)
		w.sleep(time.Second)
		assert.Equal(t, []string{"2.0", "2.1"}, w.lives())
	})
}

func TestRetireWaitsForARefill(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(5500 * time.Millisecond) // half a second before the old ones are told to go
		w.exit(w.worker(2, 0), 9)
		w.sleep(999 * time.Millisecond)
		assert.Empty(t, seen[Retiring](w), "not while the refill of slot 0 proves itself")
		w.sleep(time.Millisecond)
		assert.Len(t, seen[Retiring](w), 1)
	})
}

func TestARefillThatIsProvenIsBackToTheFirstPace(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		for range 3 {
			w.exit(w.worker(1, 1), broken)
			w.sleep(4 * time.Second)
		}
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 1), 9)
		w.exit(w.worker(1, 1), broken)
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestRestartsDoNotPutOffTheOldOnesEnd(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(3 * time.Second)
		w.restart()
		w.sleep(3*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "five seconds after generation 2 was live, not 3")
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestAStopDoesNotPutOffTheKill(t *testing.T) {
	simulate(t, Config{KillTimeout: 10 * time.Second}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(10 * time.Second) // generation 1 was told nine seconds ago
		w.stop()
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{retireSignal, stopSignal, os.Kill}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(2, 0).signals)
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

func TestAFailedAttemptDoesNotForgetThatItWasAskedFor(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(2, 0), broken)
		w.sleep(2 * time.Second)
		assert.True(t, seen[WentLive](w)[1].Asked)
	})
}

func TestLiveWorkerDiesWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(1, 0), 9)
		assert.Equal(t, []string{"2.0"}, w.lives(), "no second one is begun")
		w.sleep(time.Hour)
		assert.Equal(t, 2, w.generation)
	})
}

func TestLiveWorkerGoneWhenStopping(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stop()
		w.exit(w.worker(1, 0), 15)
		require.NoError(t, <-w.result)
		w.result <- nil
		assert.Equal(t, 1, w.generation)
	})
}

func TestRetiredWorkersAreDropped(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		w.restart() // 1 still drains
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, []string{"2.0", "3.0"}, w.lives())
		w.sleep(time.Second)
		w.stop()
		w.exit(w.worker(2, 0), fine)
		assert.Equal(t, []string{"3.0"}, w.served())
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

func TestKillTimeout(t *testing.T) {
	simulate(t, Config{KillTimeout: 10 * time.Second}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(11*time.Second - 1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		w.restart() // one starting
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill}, w.worker(1, 0).signals)
		assert.Equal(t, []Killed{{Worker{1, 0, 100}, 10 * time.Second}}, seen[Killed](w))
		w.stop()
		w.sleep(10 * time.Second)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill, stopSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{stopSignal, os.Kill}, w.worker(3, 0).signals)
	})
}

func TestStopWithNoneStarting(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = time.Minute }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.stop()
		assert.Equal(t, []Worker{{1, 0, 100}, {2, 0, 101}}, seen[StopAsked](w)[0].Workers)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals, "heard during the delay")
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(2, 0).signals)
		w.sleep(time.Hour)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals, "the delay is off")
	})
}

func TestStopWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.stop()
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(2, 0).signals)
		w.sleep(time.Hour)
		assert.Len(t, seen[WentLive](w), 1, "a stop does not make the unproven one live")
	})
}

func TestStopInThePauseBetweenAttempts(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.exit(w.worker(1, 0), broken)
		w.stop()
		require.NoError(t, <-w.result)
		w.result <- nil
	})
}

func TestStopReachesAWorkerBeingSpawned(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.slowSpawn = time.Second }, func(w *world) {
		w.stop()
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
	})
}

func TestSecondStopIsOnlyLogged(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.stop()
		w.stop()
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		asked := seen[StopAsked](w)
		assert.False(t, asked[0].Repeated)
		assert.True(t, asked[1].Repeated)
	})
}

// Workers may not heed the signal that was asked for first.
func TestStopByAnotherSignalIsPassedOn(t *testing.T) {
	simulate(t, Config{KillTimeout: time.Minute}, nil, func(w *world) {
		w.sleep(time.Second)
		again := func(sig os.Signal) {
			w.sup.Stop(w.t.Context(), "test", sig, 0)
			synctest.Wait()
		}
		w.stop()
		again(otherStop)
		again(stopSignal)
		again(otherStop)
		assert.Equal(t, []os.Signal{stopSignal, otherStop}, w.worker(1, 0).signals)
		var repeated []bool
		for _, asked := range seen[StopAsked](w) {
			repeated = append(repeated, asked.Repeated)
		}
		assert.Equal(t, []bool{false, false, true, true}, repeated)
		again(os.Kill)
		w.sleep(2 * time.Minute)
		assert.Equal(t, []os.Signal{stopSignal, otherStop, os.Kill}, w.worker(1, 0).signals, "and not again by the clock")
		assert.Empty(t, seen[Killed](w))
	})
}

func TestContextEnds(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.cancel()
		w.sleep(1)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		assert.Equal(t, "context canceled", seen[StopAsked](w)[0].Cause)
	})
}

func TestContextThatHasEndedStartsNothing(t *testing.T) {
	for range 20 {
		simulate(t, Config{}, func(w *world) { w.cancelled = true }, func(w *world) {
			require.NoError(t, <-w.result)
			w.result <- nil
			assert.Empty(t, w.procs)
		})
	}
}

func TestAutoRestart(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.AutoRestart = time.Minute }, func(w *world) {
		w.sleep(61*time.Second - 1)
		assert.Equal(t, 1, w.generation)
		w.sleep(1)
		assert.Equal(t, 2, w.generation, "the interval after the last success")
		assert.Equal(t, []AutoRestart{{time.Minute, false}}, seen[AutoRestart](w))

		w.sleep(time.Second + 2*time.Minute - 1) // 1 has not gone
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

func TestSettingsAreReadAtEverySpawn(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.settings.AutoRestart = time.Minute
		w.restart()
		w.sleep(61 * time.Second)
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, 3, w.generation)
		w.settings.AutoRestart = 0
		w.restart()
		w.sleep(2 * time.Second)
		w.sleep(time.Hour)
		assert.Equal(t, 4, w.generation)
	})
}

func TestIntervalHasALowerBound(t *testing.T) {
	simulate(t, Config{Interval: 1}, nil, func(w *world) {
		w.sleep(MinInterval - 1)
		assert.Empty(t, w.served())
		w.sleep(1)
		assert.Equal(t, []string{"1.0"}, w.served())
	})
}

func TestNothingOfTheOperatingSystemIsImported(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{join .Imports \"\\n\"}}", ".").Output()
	require.NoError(t, err)
	for _, forbidden := range []string{"os/exec", "os/signal", "syscall", "net"} {
		assert.NotContains(t, strings.Fields(string(out)), forbidden)
	}
}
