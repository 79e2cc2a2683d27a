package supervise

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// rolling is three workers, replaced one by one.
var rolling = Config{Workers: 3, Replace: Rolling(1)}

// goes ends the workers that were told to go, and waits for what follows.
func (w *world) goes() {
	for _, p := range w.alive() {
		if p.told() {
			w.exit(p, fine)
		}
	}
}

func TestRollingFirstStartIsAllAtOnce(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.lives())
		assert.Empty(t, w.served())
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
		assert.False(t, seen[WentLive](w)[0].Rolled)
	})
}

func TestRollingReplacesSlotBySlot(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0"}, w.lives())
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "the new one has proved itself")
		assert.Empty(t, w.worker(1, 1).signals)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0"}, w.served())
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0"}, w.lives(), "the old one is still one process too many")
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, []string{"1.1", "1.2", "2.0", "2.1"}, w.lives())
		w.sleep(time.Second)
		w.goes()
		assert.Equal(t, PhaseRestarting, w.status().Phase)
		assert.ErrorIs(t, answered(reply), errSilence)
		w.sleep(time.Second)
		assert.NoError(t, answered(reply), "all slots are taken over")
		assert.Equal(t, []string{"1.2", "2.0", "2.1", "2.2"}, w.served())
		assert.Equal(t, PhaseDraining, w.status().Phase)
		w.goes()
		assert.Equal(t, []string{"2.0", "2.1", "2.2"}, w.lives())
		assert.Equal(t, WentLive{Generation: 2, Asked: true, Rolled: true, Old: []Worker{w.worker(1, 2).id}, Signal: retireSignal}, seen[WentLive](w)[1])
		s := w.status()
		assert.Equal(t, PhaseServing, s.Phase)
		assert.Equal(t, 1, s.Restarts)
		assert.Equal(t, 2, s.Workers[0].Starts)
		assert.Equal(t, w.worker(1, 0).id.Pid, s.Workers[0].Ended.Pid)
	})
}

func TestRollingBySurge(t *testing.T) {
	simulate(t, Config{Workers: 4, Replace: Rolling(3)}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "1.3", "2.0", "2.1", "2.2"}, w.lives())
		w.sleep(time.Second)
		w.exit(w.worker(1, 1), fine)
		assert.Equal(t, []string{"1.0", "1.2", "1.3", "2.0", "2.1", "2.2", "2.3"}, w.lives(), "a place is free at once")
	})
}

func TestRollingWaitsForTheKillOldDelay(t *testing.T) {
	simulate(t, rolling, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(6*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		assert.Equal(t, 5*time.Second, seen[TookOver](w)[0].Delay)
	})
}

func TestRollingFailureAtOnceLeavesAllOldWorkers(t *testing.T) {
	c := rolling
	c.Attempts = 2
	simulate(t, c, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.exit(w.worker(2, 0), broken)
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "3.0"}, w.lives())
		w.exit(w.worker(3, 0), broken)
		assert.ErrorContains(t, answered(reply), "generation 3")
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
		assert.True(t, w.status().Failure.GivenUp)
		w.restart()
		for range 3 {
			w.sleep(time.Second)
			w.goes()
		}
		assert.Equal(t, []string{"4.0", "4.1", "4.2"}, w.served())
		assert.Nil(t, w.status().Failure, "it is no news any more")
	})
}

func TestRollingFailureInTheMiddleLeavesOldSlotsServing(t *testing.T) {
	c := rolling
	c.Attempts = 1
	simulate(t, c, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(time.Second)
		w.goes()
		w.exit(w.worker(2, 1), broken)
		assert.ErrorContains(t, answered(reply), "generation 2")
		assert.Equal(t, 1, seen[GaveUp](w)[0].Replaced)
		w.sleep(time.Hour)
		assert.Equal(t, []string{"1.1", "1.2", "2.0"}, w.served(), "what was replaced is, what was not serves on")
		w.exit(w.worker(2, 0), broken)
		assert.Equal(t, []string{"1.1", "1.2", "2.0"}, w.lives(), "refilled")
		w.sleep(time.Second)

		reply = w.restart()
		for range 3 {
			w.sleep(time.Second)
			w.goes()
		}
		assert.NoError(t, answered(reply))
		assert.Equal(t, []string{"3.0", "3.1", "3.2"}, w.served(), "the next one replaces both")
	})
}

// A worker that an attempt has replaced is not replaced again before the next attempt has
// succeeded in the slot where the last one failed.
func TestRollingBeginsAgainWhereItHasFailed(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		w.goes()
		w.exit(w.worker(2, 1), broken)
		for number := range 5 {
			for w.generation < number+3 {
				w.sleep(100 * time.Millisecond)
			}
			assert.Equal(t, []string{"1.1", "1.2", "2.0", fmt.Sprintf("%d.1", number+3)}, w.lives())
			w.exit(w.worker(number+3, 1), broken)
		}
		w.sleep(11 * time.Second)
		for range 3 {
			w.goes()
			w.sleep(time.Second)
		}
		w.goes()
		assert.Equal(t, []string{"8.0", "8.1", "8.2"}, w.served())
	})
}

func TestRollingOneThatCannotBeStarted(t *testing.T) {
	c := rolling
	c.Attempts = 1
	simulate(t, c, nil, func(w *world) {
		w.sleep(time.Second)
		w.locked(func() { w.failSpawn = errors.New("no such file") })
		reply := w.restart()
		assert.ErrorContains(t, answered(reply), "no such file")
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
	})
}

func TestRollingLiveWorkerDiesBeforeItsTurn(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(1, 2), broken)
		assert.False(t, w.status().Workers[0].State == StateMissing, "it is being replaced")
		assert.Equal(t, []string{"1.0", "1.1", "2.0", "2.2"}, w.lives(), "the new generation fills the slot")
		w.sleep(time.Second)
		assert.Equal(t, TookOver{Worker: w.worker(2, 2).id, Signal: retireSignal}, seen[TookOver](w)[1], "of nobody")
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
	})
}

func TestRollingNewWorkerDiesAfterItTookOver(t *testing.T) {
	simulate(t, rolling, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.exit(w.worker(2, 0), broken)
		w.sleep(time.Second - 1)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0"}, w.lives(), "tried again in the same generation")
		w.sleep(4 * time.Second)
		require.Len(t, seen[TookOver](w), 2)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "it served as long as its slot was empty")
		w.exit(w.worker(1, 0), fine)
		w.exit(w.worker(2, 0), broken)
		w.exit(w.worker(2, 0), broken)
		assert.Len(t, seen[AttemptFailed](w), 1, "a worker of it that never proved itself")
	})
}

func TestRollingAllLiveWorkersDie(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		for slot := range 3 {
			w.exit(w.worker(1, slot), 9)
		}
		assert.Equal(t, []string{"2.0", "2.1", "2.2"}, w.lives(), "at once")
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		assert.Equal(t, []string{"2.0", "2.1", "2.2"}, w.served())
	})
}

func TestRollingRestartAskedMeanwhile(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		first := w.restart()
		w.sleep(time.Second)
		second := w.restart()
		assert.True(t, seen[RestartAsked](w)[1].Pending)
		for range 2 {
			w.goes()
			w.sleep(time.Second)
		}
		assert.NoError(t, answered(first))
		assert.ErrorIs(t, answered(second), errSilence)
		for range 4 {
			w.goes()
			w.sleep(time.Second)
		}
		assert.NoError(t, answered(second))
		assert.Equal(t, 3, w.generation)
	})
}

func TestRollingGrows(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.resize(2)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0", "2.3", "2.4"}, w.lives(), "the new slots by the new generation")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0", "2.3", "2.4"}, w.served())
		for range 2 {
			w.goes()
			w.sleep(time.Second)
		}
		assert.NoError(t, answered(reply))
		w.goes()
		assert.Equal(t, []string{"2.0", "2.1", "2.2", "2.3", "2.4"}, w.served())
	})
}

func TestRollingShrinks(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(time.Second)
		w.resize(-1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 2).signals)
		assert.Equal(t, []string{"1.0", "1.1", "1.2", "2.0"}, w.lives(), "two too many already")
		w.goes()
		assert.Equal(t, []string{"1.1", "2.0", "2.1"}, w.lives())
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		w.goes()
		assert.Equal(t, []string{"2.0", "2.1"}, w.served())
	})
}

func TestRollingShrinksToTheSlotsThatAreNew(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(time.Second)
		w.goes()
		assert.Equal(t, []string{"1.1", "1.2", "2.0", "2.1"}, w.lives())
		w.resize(-2)
		assert.NoError(t, answered(reply), "the one slot there is to be is new")
		w.goes()
		assert.Equal(t, []string{"2.0"}, w.lives(), "the one that was starting in a slot too many goes too")
		w.sleep(time.Hour)
		assert.Equal(t, []string{"2.0"}, w.served())
	})
}

func TestRollingStops(t *testing.T) {
	simulate(t, rolling, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(time.Second)
		w.goes()
		w.stop()
		assert.ErrorIs(t, answered(reply), ErrStopping)
		for _, p := range w.alive() {
			assert.Equal(t, []os.Signal{stopSignal}, p.signals, p.id)
		}
	})
}

func TestRollingByReadiness(t *testing.T) {
	c := rolling
	c.Proof = Notified(3 * time.Second)
	simulate(t, c, nil, func(w *world) {
		for _, p := range w.alive() {
			w.ready(p)
		}
		w.sleep(time.Second)
		reply := w.restart()
		for slot := range 3 {
			w.ready(w.worker(2, slot))
			w.goes()
		}
		assert.NoError(t, answered(reply), "without any waiting")
		w.sleep(time.Second)
		reply = w.restart()
		w.ready(w.worker(3, 0))
		w.goes()
		w.sleep(3 * time.Second)
		assert.ErrorContains(t, answered(reply), "not ready")
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(3, 1).signals)
		assert.Equal(t, []string{"2.1", "2.2", "3.0"}, w.served())
	})
}

// A worker that proves itself when its slot is not wanted any more does not take over.
func TestSlotThatIsGivenUpInARollingRestart(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2, Replace: Rolling(2)}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.sleep(900 * time.Millisecond)
		require.Len(t, w.procs, 4)
		w.locked(func() { w.blockOn = 200 * time.Millisecond }) // both are proven meanwhile
		w.resize(-1)
		w.sleep(time.Second)
		require.Len(t, seen[TookOver](w), 1)
		assert.Equal(t, w.worker(2, 0).id, seen[TookOver](w)[0].Worker)
		w.goes()
		assert.Equal(t, []string{"2.0"}, w.lives())
	})
}
