package supervise

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told is the signal by which a worker leaves at a restart, once.
var told = []os.Signal{retireSignal}

func TestGrowWithNoneStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.resize(2)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.lives(), "at once, in the same generation")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
		assert.Equal(t, []Resized{{"test", 3}}, seen[Resized](w))
		w.restart()
		assert.Equal(t, 3, len(w.alive())-3, "the next generation has as many")
	})
}

func TestShrinkWithNoneStarting(t *testing.T) {
	simulate(t, Config{Workers: 3}, nil, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		assert.Equal(t, told, w.worker(1, 2).signals)
		assert.Empty(t, w.worker(1, 0).signals)
		assert.Empty(t, w.worker(1, 1).signals)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served(), "it serves what it has")
		w.exit(w.worker(1, 2), fine)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
		assert.Equal(t, []Died{{Worker: w.worker(1, 2).id, Lived: time.Second, Old: true, Signal: retireSignal}}, seen[Died](w))
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "not refilled")
		assert.Equal(t, 1, w.generation)
	})
}

func TestShrinkStaysAtOne(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.exit(w.worker(1, 1), fine)
		w.resize(-1)
		assert.Empty(t, w.worker(1, 0).signals)
		assert.Equal(t, []Resized{{"test", 1}}, seen[Resized](w))
		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "2.0"}, w.lives())
	})
}

func TestGrowWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(600 * time.Millisecond)
		w.resize(1)
		assert.Equal(t, []string{"1.0", "2.0", "2.1"}, w.lives(), "first of all the one that is to serve")
		w.sleep(600 * time.Millisecond)
		assert.ErrorIs(t, answered(reply), errSilence, "2.1 has not proved itself")
		w.sleep(400 * time.Millisecond)
		assert.NoError(t, answered(reply))
		assert.Equal(t, told, w.worker(1, 0).signals)
	})
}

func TestShrinkWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.resize(-1)
		assert.Equal(t, told, w.worker(1, 1).signals)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 1).signals)
		w.exit(w.worker(2, 1), broken)
		assert.Empty(t, seen[AttemptFailed](w), "it was told to go")
		w.exit(w.worker(1, 1), broken)
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		assert.Equal(t, []string{"1.0", "2.0"}, w.lives())
		assert.Equal(t, told, w.worker(1, 0).signals)
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestAWorkerInExcessIsNotToldAgainAtARestart(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, told, w.worker(1, 0).signals)
		assert.Equal(t, told, w.worker(1, 1).signals, "a second TERM is less graceful to many a server")
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "1.1", "2.0"}, w.served())
		assert.Len(t, seen[WentLive](w)[1].Old, 1)
	})
}

func TestShrinkWhileAWorkerIsMissing(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.exit(w.worker(1, 0), broken)
		w.resize(-1)
		assert.Empty(t, w.worker(1, 1).signals, "it is all that serves")
		w.sleep(time.Second - 1)
		assert.Empty(t, w.worker(1, 1).signals)
		w.sleep(1)
		assert.Equal(t, told, w.worker(1, 1).signals, "the refill of the other slot has proved itself")
	})
}

func TestAWorkerInExcessThatDiesBeforeItIsTold(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.exit(w.worker(1, 0), broken)
		w.resize(-1)
		w.exit(w.worker(1, 1), broken)
		w.sleep(10 * time.Second)
		assert.Equal(t, []string{"1.0"}, w.served(), "only what is wanted comes again")
	})
}

func TestGrowAgainWhileAWorkerInExcessIsLeaving(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(5 * time.Second)
		w.resize(-1)
		leaving := w.worker(1, 1)
		w.resize(1)
		successor := w.worker(1, 1)
		require.NotSame(t, leaving, successor, "its slot is filled without waiting for it")
		w.restart()
		w.sleep(2 * time.Second)
		assert.Equal(t, told, leaving.signals)
		assert.Equal(t, told, successor.signals)
		assert.Equal(t, []string{"1.0", "1.1", "1.1", "2.0", "2.1"}, w.served())
		w.exit(leaving, fine)
		assert.Equal(t, []string{"1.0", "1.1", "2.0", "2.1"}, w.served())
	})
}

func TestAWorkerThatIsLeavingDoesNotMakeAGenerationWhole(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = 2 * time.Second }, func(w *world) {
		w.sleep(5 * time.Second)
		w.restart()
		w.sleep(time.Second)
		w.resize(-1)
		w.sleep(500 * time.Millisecond)
		w.resize(1)
		w.sleep(1500*time.Millisecond - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(time.Second)
		assert.Equal(t, told, w.worker(1, 0).signals)
	})
}

func TestAWorkerInExcessThatGoesAfterItsSlotWasFilledAgain(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(5 * time.Second)
		leaving := w.worker(1, 1)
		w.resize(-1)
		w.resize(1)
		w.exit(leaving, broken)
		assert.True(t, seen[Died](w)[0].Old, "that was to be")
		assert.False(t, seen[Died](w)[0].Replaced)
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served(), "the one that came in its place is no other's")
		assert.Len(t, w.procs, 3)
	})
}

func TestAWorkerInExcessOfAStartingGenerationIsNotAFailure(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(5 * time.Second)
		w.restart()
		leaving := w.worker(2, 1)
		w.resize(-1)
		w.resize(1)
		w.exit(leaving, broken)
		assert.Empty(t, seen[AttemptFailed](w))
		w.sleep(time.Second)
		require.NotSame(t, leaving, w.worker(2, 1), "the pace of the slot is kept")
		w.sleep(time.Second)
		assert.Equal(t, told, w.worker(1, 0).signals)
	})
}

func TestShrinkWhileTheWorkerIsBeingSpawned(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(5 * time.Second)
		w.locked(func() { w.slowSpawn = time.Second })
		w.resize(1)
		w.resize(-1)
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(1, 1).signals)
		w.exit(w.worker(1, 1), fine)

		w.locked(func() { w.failSpawn = errors.New("cannot start") })
		w.resize(1)
		w.resize(-1)
		w.sleep(time.Hour)
		assert.Empty(t, seen[RefillFailed](w), "of no concern")
		assert.Equal(t, []string{"1.0"}, w.lives())
	})
}

func TestAWorkerInExcessThatStays(t *testing.T) {
	simulate(t, Config{Workers: 2, KillTimeout: 3 * time.Second}, nil, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.sleep(3 * time.Second)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill}, w.worker(1, 1).signals)
	})
}

func TestResizeWhenStoppingIsRefused(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stop()
		w.resize(1)
		assert.Len(t, seen[Refused](w), 1)
		assert.Empty(t, seen[Resized](w))
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0"}, w.lives())
	})
}

func TestStopWithADelay(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stopAfter(5 * time.Second)
		assert.Equal(t, []StopDelayed{{"test", 5 * time.Second, false}}, seen[StopDelayed](w))
		assert.ErrorIs(t, answered(w.restart()), ErrStopping)
		w.exit(w.worker(1, 0), broken)
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served(), "crashed workers are replaced meanwhile")
		w.sleep(4*time.Second - 1)
		assert.Empty(t, seen[StopAsked](w))
		assert.Empty(t, w.worker(1, 1).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 1).signals)
		assert.Len(t, seen[StopAsked](w), 1)
	})
}

func TestStopWithADelayAgainIsOnlyLogged(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stopAfter(5 * time.Second)
		w.sleep(3 * time.Second)
		w.stopAfter(5 * time.Second)
		assert.Equal(t, []StopDelayed{{"test", 5 * time.Second, false}, {"test", 2 * time.Second, true}}, seen[StopDelayed](w))
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(2 * time.Second)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals, "by the first one's clock")
	})
}

func TestStopWithoutADelayEndsTheDelay(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.stopAfter(time.Hour)
		w.sleep(time.Second)
		w.stop()
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
		w.exit(w.worker(1, 0), 15)
		err := <-w.result
		assert.NoError(t, err)
		w.result <- err
	})
}

func TestStopWithADelayWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		running := w.restart()
		w.stopAfter(5 * time.Second)
		w.sleep(time.Second)
		assert.NoError(t, answered(running), "what was asked for before is carried out")
		assert.Equal(t, told, w.worker(1, 0).signals)
	})
}

func TestNoAutoRestartDuringTheStopDelay(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.AutoRestart = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.stopAfter(time.Minute)
		w.sleep(59 * time.Second)
		assert.Equal(t, []string{"1.0"}, w.lives())
	})
}

func TestStrangeNoticesDoNotFloodTheLog(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		for range 100_000 {
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001}, Ready: true})
		}
		w.ready(w.worker(1, 0))
		assert.Equal(t, []string{"1.0"}, w.served())
		assert.Equal(t, []StrangeNotice{{Pid: 7001}}, seen[StrangeNotice](w))
		w.sleep(time.Minute)
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7002}})
		w.sleep(0)
		assert.Equal(t, []StrangeNotice{{7001, 0}, {7002, 99_999}}, seen[StrangeNotice](w))
	})
}

func TestReadyComesTooLateForOneThatIsTold(t *testing.T) {
	simulate(t, Config{Workers: 2, Proof: Notified(10 * time.Second)}, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.ready(w.worker(1, 1))
		w.sleep(time.Second)
		w.exit(w.worker(1, 1), 9)
		w.sleep(10 * time.Second)
		w.ready(w.worker(1, 1))
		assert.Len(t, seen[Proven](w), 2, "it is about to go, and no generation is whole by it")
	})
}
