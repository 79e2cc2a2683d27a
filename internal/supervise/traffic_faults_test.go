package supervise

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// There is nothing to go back to when the first generation never serves.
func TestFirstGenerationOfASideIsGivenUp(t *testing.T) {
	t.Parallel()
	simulate(t, Config{FirstAttempts: 2}, func(w *world) { w.traffic = &traffic{} }, func(w *world) {
		w.exit(w.worker(1, 0), broken)
		w.sleep(1200 * time.Millisecond)
		w.exit(w.worker(2, 0), broken)
		require.Len(t, seen[GaveUp](w), 1)
		assert.False(t, seen[GaveUp](w)[0].Serving)
		assert.True(t, w.over())
	})
}

// Old workers for which connections wait get all connections again when they are live again.
func TestOldWorkersOfASideAreLiveAgain(t *testing.T) {
	apart(t, Config{Attempts: 1}, func(w *world, x *traffic) {
		w.locked(func() { x.slow = 20 * time.Second })
		w.restart()
		w.sleep(2 * time.Second)
		require.Equal(t, [2]int{0, All}, x.shares())
		w.restart() // waits for the sockets of generation 1
		w.sleep(time.Second)
		w.exit(w.worker(2, 0), broken)
		w.sleep(100 * time.Millisecond)
		w.exit(w.worker(3, 0), broken)
		require.Len(t, seen[GaveUp](w), 1)
		require.True(t, seen[GaveUp](w)[0].Serving)
		assert.Equal(t, []string{"1.0"}, w.served())
		assert.Equal(t, [2]int{All, 0}, x.shares())
		assert.False(t, w.worker(1, 0).told())
	})
}

// A generation that stands by is of no use if it cannot be given the connections when the live
// one has gone. Another one is started.
func TestLiveGenerationThatEndsAndNoWayBack(t *testing.T) {
	apart(t, Config{KeepOld: time.Hour}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(2 * time.Second)
		w.locked(func() { x.failSplit = errUnfit })
		w.exit(w.worker(2, 0), broken)
		w.sleep(500 * time.Millisecond)
		assert.Empty(t, seen[RolledBack](w))
		assert.Equal(t, 3, w.generation)
		w.locked(func() { x.failSplit = nil })
	})
}

// A side is free again when nothing was left behind on it, when what was left behind has gone,
// and when that is not waited for.
func TestSideIsFreeAgainAfterWhatWasLeftBehind(t *testing.T) {
	for _, kill := range []time.Duration{10 * time.Second, 0} {
		t.Run(kill.String(), func(t *testing.T) {
			t.Parallel()
			simulate(t, Config{KillTimeout: kill}, func(w *world) { w.traffic, w.leaves = &traffic{}, true }, func(w *world) {
				for want := 2; want <= 8; want++ {
					w.sleep(20 * time.Second)
					w.goes()
					w.sleep(20 * time.Second)
					w.restart()
					w.sleep(time.Second)
					assert.Equal(t, want, w.generation)
				}
			})
		})
	}
}

// The next image knows which side has leftovers.
func TestSideIsNotFreeInTheNextImageBeforeWhatIsLeftBehindHasGone(t *testing.T) {
	t.Parallel()
	simulate(t, Config{KillTimeout: 10 * time.Second}, func(w *world) { w.traffic, w.leaves = &traffic{}, true }, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.exit(w.worker(1, 0), 0)
		w.sleep(100 * time.Millisecond)
		require.Len(t, w.groups, 1, "which goes in a second")
		require.NoError(t, w.replaced())
		w.restart()
		w.sleep(500 * time.Millisecond)
		assert.Equal(t, 2, w.generation)
		w.sleep(time.Second)
		assert.Equal(t, 3, w.generation)
	})
}

// A worker whose successor has ended stays until another one serves in its slot, also while a
// restart waits for the sockets of workers that have no connections.
func TestWorkerWhoseSuccessorEndsStays(t *testing.T) {
	t.Parallel()
	c := Config{Workers: 2, Renewal: Renewal{MaxAge: 10 * time.Second}}
	simulate(t, c, func(w *world) { w.traffic, w.settings.KillOldDelay = &traffic{}, 2*time.Second }, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.sleep(5 * time.Second)
		require.True(t, w.worker(1, 0).told(), "it has the sockets of the next generation")
		for len(seen[Renewed](w)) == 0 {
			w.sleep(100 * time.Millisecond)
		}
		renewed := seen[Renewed](w)[0]
		old, successor := w.process(renewed.Old.Pid), w.process(renewed.Pid)
		w.restart()
		w.sleep(1500 * time.Millisecond)
		require.Len(t, seen[SideBusy](w), 1)
		w.exit(successor, broken)
		w.sleep(900 * time.Millisecond)
		assert.False(t, old.told(), "nobody else serves in its slot")
		w.sleep(200 * time.Millisecond)
		assert.True(t, old.told())
	})
}

// A worker that has a successor, and was not told to go when its generation is replaced, stays
// for what waits on its side.
func TestReplacedWorkerWaitsForItsSide(t *testing.T) {
	t.Parallel()
	prepare := func(w *world) { w.traffic, w.settings.KillOldDelay = &traffic{slow: 10 * time.Second}, 3*time.Second }
	simulate(t, Config{Renewal: Renewal{MaxAge: 10 * time.Second}}, prepare, func(w *world) {
		for len(seen[Renewed](w)) == 0 {
			w.sleep(100 * time.Millisecond)
		}
		old := w.process(seen[Renewed](w)[0].Old.Pid)
		w.restart()
		w.sleep(5 * time.Second)
		require.Equal(t, 2, w.status().Generation)
		assert.False(t, old.told())
		w.sleep(7 * time.Second)
		assert.True(t, old.told())
	})
}

// A generation that only waits for KillOldDelay does not stand by, so StandbyOver is not told.
func TestDelayIsNoStandby(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Minute} {
		t.Run(keep.String(), func(t *testing.T) {
			t.Parallel()
			prepare := func(w *world) { w.traffic, w.settings.KillOldDelay = &traffic{}, 10*time.Second }
			simulate(t, Config{KeepOld: keep}, prepare, func(w *world) {
				w.sleep(2 * time.Second)
				w.restart()
				w.sleep(2 * time.Second)
				require.False(t, w.worker(1, 0).told())
				w.restart()
				w.sleep(time.Second)
				assert.True(t, w.worker(1, 0).told(), "the next one is to have its sockets")
				assert.Len(t, seen[StandbyOver](w), min(1, int(keep)))
			})
		})
	}
}

// When nothing is live a generation has the side to which clients go, and so has the next one.
// If a worker of it cannot be started, its other workers do not wait until that side is empty.
func TestWorkerOfAGenerationThatCouldNotBeStartedGoesWhenNothingIsLive(t *testing.T) {
	apart(t, Config{Workers: 2}, func(w *world, x *traffic) {
		w.locked(func() { w.failsIn = 1 })
		w.exit(w.worker(1, 0), broken)
		w.exit(w.worker(1, 1), broken)
		w.exit(w.worker(1, 0), broken)
		w.sleep(time.Second)
		require.Equal(t, 2, w.generation)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 0).signals)
		w.locked(func() { w.failsIn = 0 })
		w.goes()
		w.sleep(10 * time.Second)
		w.goes()
		assert.Equal(t, []string{fmt.Sprint(w.liveGen, ".0"), fmt.Sprint(w.liveGen, ".1")}, w.lives())
	})
}

// A restart is asked for. The only proven worker of the live generation has just ended, and the
// loop has not heard of that: what stands by is all that serves, and must stay.
func TestStandbyStaysWhenTheLiveOneHasJustEnded(t *testing.T) {
	apart(t, Config{Workers: 2, KeepOld: time.Minute}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(5 * time.Second)
		require.Equal(t, 2, w.liveGen)
		w.exitLate(w.worker(2, 0), broken, 100*time.Millisecond)
		w.exit(w.worker(2, 1), broken)
		w.restart()
		assert.False(t, w.worker(1, 0).told())
		w.sleep(200 * time.Millisecond)
		assert.Equal(t, []RolledBack{{"generation 2 is gone", 2, 1}}, seen[RolledBack](w))
	})
}

// A canary fails in an image whose Config has no canary. It has had connections all the same.
func TestCanaryThatFailsInAnImageWithoutOne(t *testing.T) {
	apart(t, Config{Workers: 2, Canary: steps}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(2 * time.Second)
		require.Len(t, seen[Canary](w), 1)
		w.exitLate(w.worker(2, 1), broken, time.Second)
		c := w.sup.config
		c.Canary = nil
		require.NoError(t, w.handOver(c))
		assert.Equal(t, [2]int{All, 0}, x.shares())
		w.sleep(time.Second)
		require.Len(t, seen[AttemptFailed](w), 1)
		assert.False(t, w.worker(2, 0).told(), "connections wait for it")
		w.sleep(500 * time.Millisecond)
		assert.True(t, w.worker(2, 0).told())
	})
}

// A worker whose successor has ended when the next generation is live also waits for its side: it
// is all that is left of its generation, and accepts what waits.
func TestReplacedWorkerWaitsForItsSideThoughItsSuccessorHasEnded(t *testing.T) {
	t.Parallel()
	prepare := func(w *world) { w.traffic, w.settings.KillOldDelay = &traffic{slow: 10 * time.Second}, 3*time.Second }
	simulate(t, Config{Renewal: Renewal{MaxAge: 10 * time.Second}}, prepare, func(w *world) {
		for len(seen[Renewed](w)) == 0 {
			w.sleep(100 * time.Millisecond)
		}
		renewed := seen[Renewed](w)[0]
		old := w.process(renewed.Old.Pid)
		w.restart()
		w.sleep(500 * time.Millisecond)
		w.traffic.connect()
		w.exit(w.process(renewed.Pid), broken)
		w.sleep(5 * time.Second)
		require.Equal(t, 2, w.status().Generation)
		assert.False(t, old.told())
		w.sleep(7 * time.Second)
		assert.True(t, old.told())
		w.goes()
		w.sleep(time.Second)
		assert.Empty(t, seen[Cleared](w))
	})
}
