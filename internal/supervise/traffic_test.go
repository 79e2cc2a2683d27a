package supervise

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// apart runs a world whose generations have their own sockets.
func apart(t *testing.T, c Config, what func(*world, *traffic)) {
	t.Helper()
	t.Parallel()
	simulate(t, c, func(w *world) { w.traffic = &traffic{slow: 500 * time.Millisecond} }, func(w *world) {
		w.sleep(2 * time.Second)
		what(w, w.traffic)
	})
}

var steps = []Step{{All / 20, 10 * time.Second}, {All / 4, 20 * time.Second}}

// shares are the shares of the two sides.
func (x *traffic) shares() [2]int { return [2]int{x.of(0), x.of(1)} }

func TestNewGenerationGetsNoConnectionUntilItIsProven(t *testing.T) {
	apart(t, Config{}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(999 * time.Millisecond)
		assert.Equal(t, [2]int{All, 0}, x.shares())
		assert.Equal(t, 1, w.worker(2, 0).side)
		w.sleep(time.Millisecond)
		assert.Equal(t, [2]int{0, All}, x.shares())
		w.sleep(499 * time.Millisecond)
		assert.False(t, w.worker(1, 0).told(), "connections wait for it")
		w.sleep(time.Millisecond)
		assert.True(t, w.worker(1, 0).told())
		w.goes()
		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, [2]int{All, 0}, x.shares(), "and back")
		assert.Empty(t, seen[Cleared](w), "nothing has waited")
	})
}

// WentLive tells for how long the old generation stands by.
func TestOldGenerationStandsByIsTold(t *testing.T) {
	for _, keep := range []time.Duration{0, time.Minute} {
		t.Run(keep.String(), func(t *testing.T) {
			apart(t, Config{KeepOld: keep}, func(w *world, x *traffic) {
				w.restart()
				w.sleep(2 * time.Second)
				went := seen[WentLive](w)
				require.Len(t, went, 2)
				for i, e := range went {
					assert.Equal(t, i > 0 && keep > 0, e.Standby)
					assert.Equal(t, time.Duration(i)*keep, e.Delay)
				}
			})
		})
	}
}

func TestCanary(t *testing.T) {
	apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
		assert.Empty(t, seen[Canary](w), "the first one gets all")
		reply := w.restart()
		w.sleep(time.Second)
		assert.Equal(t, [2]int{All - All/20, All / 20}, x.shares())
		s := w.status()
		assert.Equal(t, PhaseCanary, s.Phase)
		assert.Equal(t, 10*time.Second, s.Shares[1].Until.Sub(s.Now))
		s.Shares[1].Until = time.Time{}
		assert.Equal(t, []Share{{Generation: 1, Share: All - All/20}, {Generation: 2, Side: 1, Share: All / 20}}, s.Shares)
		assert.Equal(t, StateCanary, s.Workers[1].State)
		w.sleep(10 * time.Second)
		assert.Equal(t, [2]int{All - All/4, All / 4}, x.shares())
		w.sleep(20*time.Second - 1)
		assert.ErrorIs(t, answered(reply), errSilence)
		w.sleep(1)
		assert.Equal(t, [2]int{0, All}, x.shares())
		assert.NoError(t, answered(reply))
		assert.Equal(t, []Canary{{2, All / 20, 10 * time.Second}, {2, All / 4, 20 * time.Second}}, seen[Canary](w))
	})
}

func TestCanaryThatDiesSendsItsClientsBack(t *testing.T) {
	apart(t, Config{Workers: 2, Canary: steps}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(3 * time.Second)
		gone := w.worker(2, 1)
		w.exit(gone, broken)
		assert.Equal(t, [2]int{All, 0}, x.shares())
		assert.EqualError(t, answered(reply), fmt.Sprintf("generation 2 failed with 5 %% of the connections, 0 so far: worker %d ended after 3s: exit code 3", gone.Pid()))
		assert.Len(t, seen[GaveUp](w), 1, "clients are not tried on again")
		assert.False(t, w.worker(2, 0).told(), "connections wait for it")
		w.sleep(500 * time.Millisecond)
		assert.Equal(t, retireSignal, w.worker(2, 0).signals[0])
		w.sleep(time.Hour)
		assert.Equal(t, 2, w.generation)
	})
}

func TestProbesDecide(t *testing.T) {
	apart(t, Config{Proof: Probed(5 * time.Second), Attempts: 1}, func(w *world, x *traffic) {
		w.locked(func() { x.unfit = true })
		reply := w.restart()
		w.sleep(5 * time.Second)
		assert.EqualError(t, answered(reply), "new worker 101 of generation 2 has not passed its probe within 5s: status 500")
		assert.Equal(t, [2]int{All, 0}, x.shares())
		w.goes()
		w.locked(func() { x.unfit = false })
		reply = w.restart()
		w.sleep(999 * time.Millisecond)
		assert.ErrorIs(t, answered(reply), errSilence, "it has to live for the interval, too")
		w.sleep(time.Millisecond)
		assert.ErrorIs(t, answered(reply), errSilence, "and is asked once more then")
		w.sleep(200 * time.Millisecond)
		assert.NoError(t, answered(reply))
	})
}

func TestReleaseThatIsNotFitAnyMoreWhenItsIntervalIsOver(t *testing.T) {
	apart(t, Config{Proof: Probed(5 * time.Second), Attempts: 1}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(500 * time.Millisecond)
		w.locked(func() { x.unfit = true })
		w.sleep(6 * time.Second)
		assert.ErrorContains(t, answered(reply), "has not passed its probe")
		assert.Equal(t, [2]int{All, 0}, x.shares())
	})
}

// A program that says READY=1, as many do if there is a NOTIFY_SOCKET, is probed all the same.
func TestProbesDecideWhateverAWorkerSays(t *testing.T) {
	apart(t, Config{Proof: Probed(5 * time.Second), Canary: steps, Attempts: 1}, func(w *world, x *traffic) {
		w.locked(func() { x.unfit = true })
		reply := w.restart()
		w.sleep(500 * time.Millisecond)
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{w.worker(2, 0).Pid()}, Ready: true})
		w.sleep(4 * time.Second)
		assert.Equal(t, [2]int{All, 0}, x.shares())
		w.sleep(time.Second)
		assert.ErrorContains(t, answered(reply), "has not passed its probe")
	})
}

func TestCanaryIsAskedAgain(t *testing.T) {
	apart(t, Config{Proof: Probed(5 * time.Second), Canary: steps, ProbeInterval: 2 * time.Second}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(7 * time.Second)
		assert.ErrorIs(t, answered(reply), errSilence)
		w.locked(func() { x.unfit = true })
		w.sleep(2300 * time.Millisecond)
		assert.EqualError(t, answered(reply), "generation 2 failed with 5 % of the connections, 0 so far: worker 101 did not pass its probe again: status 500")
		assert.Equal(t, [2]int{All, 0}, x.shares())
	})
}

func TestWorkerThatSaysItIsNotFit(t *testing.T) {
	apart(t, Config{Canary: steps, Attempts: 1}, func(w *world, x *traffic) {
		for _, after := range []time.Duration{500 * time.Millisecond, 2 * time.Second} {
			reply := w.restart()
			w.sleep(after)
			newest := w.procs[len(w.procs)-1]
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{newest.Pid()}, Abort: true})
			w.sleep(time.Second)
			assert.ErrorContains(t, answered(reply), "not fit to serve")
			assert.Equal(t, [2]int{All, 0}, x.shares())
			w.goes()
		}
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{100}, Abort: true})
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0"}, w.served(), "the live one cannot have a release fail")
	})
}

func TestRollback(t *testing.T) {
	apart(t, Config{Workers: 2, KeepOld: time.Minute}, func(w *world, x *traffic) {
		assert.EqualError(t, w.sup.Rollback(w.t.Context(), "test").Err, "there is no generation to go back to: generation 1 serves, and none stands by")
		w.restart()
		w.sleep(31 * time.Second)
		assert.False(t, w.worker(1, 0).told())
		shares := w.status().Shares
		assert.Equal(t, []bool{true, false}, []bool{shares[0].CanGoBack, shares[1].CanGoBack})
		assert.Equal(t, Outcome{Generation: 1}, w.sup.Rollback(w.t.Context(), "test"))
		assert.Equal(t, [2]int{All, 0}, x.shares(), "at once")
		assert.Equal(t, 1, w.status().Generation)
		w.sleep(499 * time.Millisecond)
		assert.False(t, w.worker(2, 0).told(), "connections wait for it")
		w.sleep(time.Millisecond)
		assert.True(t, w.worker(2, 0).told())
		assert.False(t, w.worker(1, 0).told())
		w.goes()
		reply := w.restart()
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		w.sleep(time.Minute - 1)
		assert.False(t, w.worker(1, 0).told())
		w.sleep(1)
		assert.True(t, w.worker(1, 0).told(), "its time is over")
		assert.Error(t, w.sup.Rollback(w.t.Context(), "test").Err)
	})
}

func TestRollbackEndsACanary(t *testing.T) {
	apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(500 * time.Millisecond)
		assert.EqualError(t, w.sup.Rollback(w.t.Context(), "test").Err, "there is no generation to go back to: generation 1 serves, and generation 2 has had no connection yet")
		w.sleep(time.Second)
		assert.Equal(t, Outcome{Generation: 1}, w.sup.Rollback(w.t.Context(), "rollback asked for"))
		assert.Equal(t, [2]int{All, 0}, x.shares())
		w.sleep(1)
		assert.EqualError(t, answered(reply), "generation 2 failed with 5 % of the connections, 0 so far: rollback asked for")
	})
}

func TestPromote(t *testing.T) {
	apart(t, Config{Canary: steps, KeepOld: time.Hour}, func(w *world, x *traffic) {
		assert.Error(t, w.sup.Promote(w.t.Context(), "test").Err)
		w.restart()
		w.sleep(2 * time.Second)
		assert.Equal(t, Outcome{Generation: 2}, w.sup.Promote(w.t.Context(), "test"))
		assert.Equal(t, [2]int{0, All}, x.shares())
		w.sleep(time.Minute)
		assert.False(t, w.worker(1, 0).told())
		assert.Equal(t, Outcome{Generation: 2}, w.sup.Promote(w.t.Context(), "test"))
		w.sleep(1)
		assert.True(t, w.worker(1, 0).told(), "it need not stand by any longer")
	})
}

// A generation that stands by gets no connections, though it was a canary once.
func TestShareOfACanaryThatStandsBy(t *testing.T) {
	apart(t, Config{Canary: steps, KeepOld: time.Hour}, func(w *world, x *traffic) {
		for n := range 2 {
			w.restart()
			w.sleep(time.Second)
			w.goes()
			w.sleep(time.Minute)
			s := w.status()
			require.Equal(t, []int{n + 1, n + 2}, []int{s.Shares[0].Generation, s.Shares[1].Generation})
			assert.Equal(t, []int{0, All}, []int{s.Shares[0].Share, s.Shares[1].Share})
		}
	})
}

// A canary that was promoted, but has to wait for another worker, keeps its share until then.
func TestShareOfACanaryThatWaitsForAnotherWorker(t *testing.T) {
	apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(2 * time.Second)
		w.resize(1)
		promoted := make(chan Outcome, 1)
		go func() { promoted <- w.sup.Promote(w.t.Context(), "test") }()
		w.sleep(1)
		require.Len(t, seen[Promoted](w), 1)
		assert.Equal(t, [2]int{All - All/20, All / 20}, x.shares())
		s := w.status()
		assert.Equal(t, []int{All - All/20, All / 20}, []int{s.Shares[0].Share, s.Shares[1].Share})
		w.exit(w.worker(2, 1), broken)
		assert.Equal(t, All/20, seen[AttemptFailed](w)[0].Share)
		assert.Error(t, (<-promoted).Err)
	})
}

func TestGenerationThatStandsByServesWhenTheLiveOneIsGone(t *testing.T) {
	apart(t, Config{Workers: 2, KeepOld: time.Hour}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(2 * time.Second)
		w.exit(w.worker(2, 0), broken)
		w.exit(w.worker(2, 1), broken)
		assert.Equal(t, [2]int{All, 0}, x.shares())
		assert.Equal(t, []RolledBack{{"generation 2 is gone", 2, 1}}, seen[RolledBack](w))
		w.sleep(time.Minute)
		w.goes() // the worker that was started in the place of the first one
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestAnotherRestartEndsTheWayBack(t *testing.T) {
	apart(t, Config{KeepOld: time.Hour}, func(w *world, _ *traffic) {
		w.restart()
		w.sleep(time.Minute)
		w.restart()
		assert.Equal(t, []StandbyOver{{Generation: 1}}, seen[StandbyOver](w))
		w.sleep(time.Millisecond)
		assert.True(t, w.worker(1, 0).told())
		w.sleep(time.Minute)
		assert.Equal(t, []SideBusy{{[]Worker{w.worker(1, 0).id}}}, seen[SideBusy](w), "its sockets are for the next one")
		assert.Equal(t, 2, w.generation)
		w.goes()
		w.sleep(time.Second)
		assert.Equal(t, []string{"2.0", "3.0"}, w.served())
	})
}

// The children that a worker has left behind accept from its sockets as it did.
func TestSideIsNotFreeBeforeWhatIsLeftBehindHasGone(t *testing.T) {
	t.Parallel()
	simulate(t, Config{KillTimeout: 10 * time.Second}, func(w *world) { w.traffic, w.leaves = &traffic{}, true }, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		require.True(t, w.worker(1, 0).told())
		w.exit(w.worker(1, 0), 0)
		w.sleep(100 * time.Millisecond)
		require.Len(t, w.groups, 1, "which goes in a second")
		w.restart()
		w.sleep(500 * time.Millisecond)
		assert.Equal(t, 2, w.generation)
		w.sleep(time.Second)
		assert.Equal(t, 3, w.generation)
	})
}

func TestWorkerThatStoodByAndDied(t *testing.T) {
	apart(t, Config{Workers: 2, KeepOld: time.Hour}, func(w *world, _ *traffic) {
		w.restart()
		w.sleep(time.Minute)
		gone := w.worker(1, 1)
		w.exit(gone, broken)
		assert.Equal(t, []StandbyOver{{1, gone.id}}, seen[StandbyOver](w))
		assert.True(t, w.worker(1, 0).told(), "half a generation is no way back")
		assert.Error(t, w.sup.Rollback(w.t.Context(), "test").Err)
	})
}

func TestLiveGenerationThatEndsWhileAnotherOneStarts(t *testing.T) {
	apart(t, Config{Proof: Lived(5 * time.Second)}, func(w *world, x *traffic) {
		w.sleep(5 * time.Second)
		w.restart()
		w.sleep(500 * time.Millisecond)
		w.exit(w.worker(1, 0), broken)
		x.connect()
		assert.Equal(t, [2]int{All, 0}, x.shares(), "the other one is not proven")
		w.sleep(500 * time.Millisecond)
		assert.Equal(t, []string{"1.0", "2.0"}, w.lives(), "clients wait on its side")
		w.sleep(4 * time.Second)
		assert.Equal(t, [2]int{0, All}, x.shares())
	})
	t.Run("and is a canary", func(t *testing.T) {
		apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
			reply := w.restart()
			w.sleep(1500 * time.Millisecond)
			w.exit(w.worker(1, 0), broken)
			assert.Equal(t, [2]int{0, All}, x.shares(), "it is all that serves")
			assert.NoError(t, answered(reply))
		})
	})
}

// The workers of the live generation have ended, and those in their place are not proven when the
// canary goes live.
func TestGenerationWithoutAProvenWorkerDoesNotStandBy(t *testing.T) {
	apart(t, Config{Workers: 2, Canary: steps, KeepOld: time.Hour}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(1500 * time.Millisecond)
		w.exit(w.worker(1, 0), broken)
		w.exit(w.worker(1, 1), broken)
		assert.NoError(t, answered(reply))
		w.sleep(600 * time.Millisecond)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(1, 0).signals, "nobody can go back to it")
		w.exit(w.worker(2, 0), broken)
		w.exit(w.worker(2, 1), broken)
		assert.Empty(t, seen[RolledBack](w))
		assert.Equal(t, [2]int{0, All}, x.shares(), "clients wait for the next one")
		w.goes()
		w.sleep(5 * time.Second)
		assert.Equal(t, PhaseServing, w.status().Phase)
	})
}

func TestGenerationThatStandsByWithAWorkerThatIsBeingSpawned(t *testing.T) {
	apart(t, Config{Workers: 2, Proof: Notified(time.Minute), KeepOld: time.Hour}, func(w *world, x *traffic) {
		w.ready(w.worker(1, 0))
		w.ready(w.worker(1, 1))
		w.restart()
		w.sleep(2 * time.Second)
		w.locked(func() { w.slowSpawn = 10 * time.Second })
		w.exit(w.worker(1, 0), broken)
		w.ready(w.worker(2, 0))
		w.ready(w.worker(2, 1))
		w.sleep(time.Second)
		w.exit(w.worker(2, 0), broken)
		w.exit(w.worker(2, 1), broken)
		assert.Equal(t, [2]int{All, 0}, x.shares(), "what is there of it serves")
	})
}

func TestWhatNobodyHasAcceptedIsClosed(t *testing.T) {
	apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
		reply := w.restart()
		w.sleep(1500 * time.Millisecond)
		x.connect()
		assert.Equal(t, 1, w.status().Shares[1].Given)
		w.exit(w.worker(2, 0), broken)
		assert.ErrorContains(t, answered(reply), "generation 2 failed with 5 % of the connections, 1 so far: ")
		w.sleep(time.Millisecond)
		assert.Equal(t, []Cleared{{1}}, seen[Cleared](w))
		assert.Equal(t, 1, x.waiting[0])
	})
}

func TestConnectionsThatCannotBeSent(t *testing.T) {
	apart(t, Config{Attempts: 1}, func(w *world, x *traffic) {
		w.locked(func() { x.failSplit = errUnfit })
		reply := w.restart()
		w.sleep(time.Second)
		assert.ErrorIs(t, answered(reply), errUnfit)
		assert.Equal(t, []string{"1.0"}, w.served())
		w.sleep(time.Second)
		require.True(t, w.worker(2, 0).told(), "when what may wait for it was accepted")
	})
}

func TestCanaryInTheNextImage(t *testing.T) {
	apart(t, Config{Canary: steps, KeepOld: time.Minute}, func(w *world, x *traffic) {
		w.restart()
		w.sleep(2 * time.Second)
		require.NoError(t, w.replaced())
		assert.Equal(t, [2]int{All - All/20, All / 20}, x.shares())
		w.sleep(29 * time.Second)
		assert.Equal(t, [2]int{0, All}, x.shares())
		require.NoError(t, w.replaced())
		assert.True(t, slices.ContainsFunc(w.status().Shares, func(s Share) bool { return s.CanGoBack }))
		assert.Equal(t, Outcome{Generation: 1}, w.sup.Rollback(w.t.Context(), "test"))
		w.sleep(time.Second)
		assert.True(t, w.worker(2, 0).told())
	})
}

// The next image may not have two sets of sockets.
func TestNextImageWithoutTraffic(t *testing.T) {
	without := func(w *world) {
		w.traffic = nil
		require.NoError(t, w.handOver(Config{Workers: 1, Proof: Lived(time.Second)}))
	}
	t.Run("a generation stands by", func(t *testing.T) {
		apart(t, Config{KeepOld: time.Hour}, func(w *world, x *traffic) {
			w.restart()
			w.sleep(2 * time.Second)
			without(w)
			w.sleep(time.Second)
			assert.True(t, w.worker(1, 0).told(), "nobody can go back to it")
			assert.False(t, w.worker(2, 0).told())
			assert.EqualError(t, w.sup.Rollback(w.t.Context(), "test").Err, "there is no generation to go back to: generations share their sockets; a way back needs blue/green")
		})
	})
	t.Run("old workers accept what waits for them", func(t *testing.T) {
		apart(t, Config{}, func(w *world, x *traffic) {
			w.restart()
			w.sleep(1100 * time.Millisecond)
			without(w)
			w.sleep(time.Second)
			assert.True(t, w.worker(1, 0).told())
		})
	})
	t.Run("a canary", func(t *testing.T) {
		apart(t, Config{Canary: steps}, func(w *world, x *traffic) {
			reply := w.restart()
			w.sleep(2 * time.Second)
			without(w)
			assert.ErrorIs(t, answered(reply), errHandedOver)
			assert.NotEqual(t, PhaseCanary, w.status().Phase)
			w.sleep(2 * time.Second)
			assert.Equal(t, 2, w.status().Generation)
			assert.True(t, w.worker(1, 0).told())
		})
	})
}

// The workers that are live then get side 0 of the sockets, which are all new.
func TestNextImageWithTraffic(t *testing.T) {
	t.Parallel()
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.traffic = &traffic{w: w, share: All, slow: 500 * time.Millisecond, canaries: map[int]bool{}, back: map[int]bool{}}
		require.NoError(t, w.handOver(Config{Workers: 1, Proof: Lived(time.Second)}))
		assert.Equal(t, [2]int{All, 0}, w.traffic.shares())
		w.restart()
		w.sleep(2 * time.Second)
		assert.Equal(t, [2]int{0, All}, w.traffic.shares())
		w.restart()
		w.sleep(2 * time.Second)
		assert.Len(t, w.procs, 2, "one has the other side yet")
		w.goes()
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"2.0", "3.0"}, w.served())
	})
}
