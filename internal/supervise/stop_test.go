package supervise

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// Workers may ignore the signal that was asked for first.
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
