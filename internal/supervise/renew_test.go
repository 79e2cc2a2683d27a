package supervise

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// isAlive makes a process say that it is alive.
func (w *world) isAlive(p *fakeProc) {
	w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Alive: true})
	w.sleep(1)
}

var watched = Config{Workers: 2, Renewal: Renewal{Watchdog: 10 * time.Second}}

// oneHangs lets the first of two workers be silent until its successor is started.
func (w *world) oneHangs() (hung, other *fakeProc) {
	w.sleep(2 * time.Second)
	hung, other = w.worker(1, 0), w.worker(1, 1)
	w.isAlive(hung)
	for range 5 {
		w.sleep(2 * time.Second)
		w.isAlive(other)
	}
	return hung, other
}

func TestHungWorkerIsReplacedByAProvenOne(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		hung, _ := w.oneHangs()
		require.Len(t, seen[Hung](w), 1)
		assert.Equal(t, hung.id, seen[Hung](w)[0].Worker)
		assert.False(t, hung.told(), "its successor is not proven")
		w.sleep(time.Second)
		assert.Equal(t, hungSignal, hung.signals[0])
		w.sleep(10 * time.Second)
		assert.Len(t, hung.signals, 2, "KILL follows, although there is no KillTimeout")
		w.goes()
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		assert.Equal(t, 1, w.status().Generation, "it is no restart")
		assert.Zero(t, w.status().Restarts)
	})
}

func TestWorkerThatHasNeverSaidThatItIsAliveDoesNotHang(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(time.Hour)
		assert.Empty(t, seen[Hung](w))
		w.ready(w.worker(1, 0)) // READY=1 also says that it is alive
		w.sleep(11 * time.Second)
		assert.Len(t, seen[Hung](w), 1)
	})
}

func TestHungWorkersAreReplacedOneByOne(t *testing.T) {
	t.Parallel()
	c := watched
	c.Workers = 4
	simulate(t, c, nil, func(w *world) {
		w.sleep(2 * time.Second)
		for _, p := range w.alive() {
			w.isAlive(p)
		}
		w.sleep(10 * time.Second)
		assert.Len(t, seen[Hung](w), 4)
		for n := range 4 {
			assert.Len(t, w.procs, 5+n, "one successor at a time")
			w.sleep(time.Second)
		}
		assert.Len(t, seen[Renewed](w), 4)
	})
}

// A superdaemon that was paused first hears what was said meanwhile.
func TestPauseOfTheSuperdaemonMakesNobodyHang(t *testing.T) {
	t.Parallel()
	simulate(t, watched, func(w *world) {
		w.catchUp = func() {
			for _, p := range w.alive() {
				w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Alive: true})
			}
		}
	}, func(w *world) {
		w.sleep(2 * time.Second)
		w.isAlive(w.worker(1, 0))
		w.sleep(time.Hour)
		assert.Empty(t, seen[Hung](w))
	})
}

func TestSuccessorThatFails(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		hung := w.worker(1, 0)
		w.isAlive(hung)
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 0), broken)
		failed := seen[RenewalFailed](w)
		require.Len(t, failed, 1)
		assert.Equal(t, time.Second, failed[0].Pause.Round(time.Millisecond))
		assert.False(t, hung.told(), "it is all that there is")
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
		w.sleep(3 * time.Second)
		assert.True(t, hung.told(), "the next one has not failed")
	})
}

func TestSuccessorFillsTheSlotOfOneThatEnds(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		hung := w.worker(1, 0)
		w.isAlive(hung)
		w.sleep(10 * time.Second)
		w.exit(hung, broken)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "no third one is started")
		w.sleep(time.Hour)
		assert.Len(t, w.procs, 3)
		assert.Equal(t, Worker{}, seen[Renewed](w)[0].Old)
	})
}

// However long the successor takes to prove itself, no third worker is started.
func TestSuccessorThatIsSlowFillsTheSlotOfOneThatEnds(t *testing.T) {
	t.Parallel()
	c := watched
	c.Proof = Lived(5 * time.Second)
	simulate(t, c, nil, func(w *world) {
		w.sleep(6 * time.Second)
		hung := w.worker(1, 0)
		w.isAlive(hung)
		w.sleep(10 * time.Second)
		require.Len(t, w.procs, 3)
		w.exit(hung, broken)
		w.sleep(3 * time.Second)
		assert.Len(t, w.procs, 3)
		assert.Equal(t, []Worker{w.procs[2].id}, []Worker{seen[Renewed](w)[0].Worker})
	})
}

func TestRestartComesBeforeRenewal(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.isAlive(w.worker(1, 0))
		w.sleep(10*time.Second + 500*time.Millisecond)
		successor := w.worker(1, 0)
		w.restart()
		w.sleep(time.Millisecond)
		assert.True(t, successor.told(), "there is no use for it")
		w.sleep(2 * time.Second)
		assert.Equal(t, 2, w.status().Generation)
		assert.Empty(t, seen[Renewed](w))
	})
}

func TestOldWorkersAreRenewed(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2, Renewal: Renewal{MaxAge: time.Hour, AgeSpread: 0.1}}, nil, func(w *world) {
		w.sleep(54 * time.Minute)
		assert.Empty(t, seen[TooOld](w))
		w.sleep(13 * time.Minute)
		assert.Len(t, seen[Renewed](w), 2)
		assert.Equal(t, retireSignal, w.procs[0].signals[0])
		w.goes()
		w.sleep(40 * time.Minute)
		assert.Len(t, w.procs, 4)
	})
}

func TestAgeOfAWorkerIsAroundTheGreatestOne(t *testing.T) {
	t.Parallel()
	l := &loop{Config: Config{Renewal: Renewal{MaxAge: time.Hour, AgeSpread: 0.1}}}
	for lot, age := range map[uint64]time.Duration{1: 54 * time.Minute, 1 << 63: time.Hour, math.MaxUint64: 66 * time.Minute} {
		assert.InDelta(t, age, l.ageOf(&worker{health: health{lot: lot}}), float64(time.Millisecond))
	}
}

func TestLargeWorkersAreRenewed(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2, Renewal: Renewal{MaxMemory: 1000}}, nil, func(w *world) {
		w.sleep(time.Minute)
		large := w.worker(1, 1)
		w.locked(func() { w.memory[large.Pid()] = 5000 })
		w.sleep(7 * time.Second)
		assert.Equal(t, []TooLarge{{large.id, 5100, 1000, false}}, seen[TooLarge](w))
		assert.Equal(t, retireSignal, large.signals[0])
		assert.Len(t, w.procs, 3)
	})
}

// The worker is not too large any more when its turn comes. But a worker whose successor is
// on its way is replaced: it would be too large again.
func TestWorkerThatIsNotTooLargeAnyMoreStays(t *testing.T) {
	t.Parallel()
	c := Config{Workers: 2, Interval: 20 * time.Second, Renewal: Renewal{MaxMemory: 1000}}
	simulate(t, c, nil, func(w *world) {
		w.sleep(30 * time.Second)
		w.locked(func() { w.memory[100], w.memory[101] = 5000, 5000 })
		w.sleep(6 * time.Second)
		require.Len(t, seen[TooLarge](w), 2)
		require.Len(t, w.procs, 3, "one at a time")
		w.locked(func() { w.memory[100], w.memory[101] = 0, 0 })
		w.sleep(time.Minute)
		require.Len(t, seen[Renewed](w), 1)
		assert.Len(t, w.procs, 3)
		stays := 201 - seen[Renewed](w)[0].Old.Pid
		w.locked(func() { w.memory[stays] = 5000 })
		w.sleep(time.Minute)
		assert.Len(t, seen[TooLarge](w), 3)
		assert.Len(t, seen[Renewed](w), 2)
	})
}

func TestWorkerThatIsTooLargeFromTheStartIsToldOnce(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Renewal: Renewal{MaxMemory: 50}}, nil, func(w *world) {
		w.sleep(time.Hour)
		assert.Equal(t, []TooLarge{{w.worker(1, 0).id, 100, 50, true}}, seen[TooLarge](w))
		assert.Len(t, w.procs, 1)
		w.locked(func() { w.memory[100] = 500 })
		w.sleep(10 * time.Second)
		assert.Len(t, w.procs, 2, "it has grown since")
	})
}

// That its memory was told does not keep its age from being told. Each is told once, also over
// an upgrade.
func TestWorkerThatIsTooLargeFromTheStartAndThenTooOld(t *testing.T) {
	t.Parallel()
	c := Config{Workers: 2, Interval: 20 * time.Second, Renewal: Renewal{MaxMemory: 50, MaxAge: time.Hour}}
	simulate(t, c, nil, func(w *world) {
		w.sleep(time.Minute)
		require.Len(t, seen[TooLarge](w), 2)
		w.sleep(59*time.Minute + time.Second)
		aged := seen[TooOld](w)
		require.Len(t, aged, 1)
		require.Len(t, w.procs, 3)
		old := w.process(aged[0].Pid)
		w.exit(w.procs[2], broken)
		require.NoError(t, w.replaced())
		w.sleep(time.Minute)
		assert.True(t, old.told())
		assert.Len(t, seen[TooOld](w), 2, "the other one, too")
	})
}

// A worker that starts at the limit is not too large from the start. A worker that is too large
// from the start counts as grown when it is twice as large.
func TestWorkerThatGrowsFromTheLimit(t *testing.T) {
	t.Parallel()
	for limit, grows := range map[int64]int64{100: 50, 50: 100} {
		simulate(t, Config{Renewal: Renewal{MaxMemory: limit}}, nil, func(w *world) {
			w.sleep(time.Minute)
			require.Len(t, w.procs, 1)
			w.locked(func() { w.memory[100] = grows })
			w.sleep(10 * time.Second)
			assert.Len(t, w.procs, 2, "limit %d", limit)
		})
	}
}

func TestLiveWorkerThatFailsItsProbeHangs(t *testing.T) {
	c := Config{Proof: Probed(5 * time.Second), ProbeInterval: 2 * time.Second, Renewal: Renewal{ProbeLive: true}}
	apart(t, c, func(w *world, x *traffic) {
		w.sleep(time.Minute)
		w.locked(func() { x.ill = w.procs[0].id.Pid })
		w.sleep(2500 * time.Millisecond)
		assert.Equal(t, []Hung{{w.procs[0].id, 0, "status 500"}}, seen[Hung](w))
		w.sleep(6 * time.Second)
		assert.Equal(t, hungSignal, w.procs[0].signals[0])
	})
}

// The reason may be that no probe could be made for a while.
func TestLiveWorkerThatPassesItsProbeAgainDoesNotHang(t *testing.T) {
	c := Config{Proof: Probed(5 * time.Second), ProbeInterval: 2 * time.Second, Renewal: Renewal{ProbeLive: true}}
	apart(t, c, func(w *world, x *traffic) {
		w.sleep(time.Minute)
		w.locked(func() { x.unfit = true })
		w.sleep(10 * time.Second)
		assert.Len(t, seen[Hung](w), 1)
		w.locked(func() { x.unfit = false })
		w.sleep(time.Minute)
		assert.False(t, w.procs[0].told())
	})
}

// What made the probe fail may be over long before the next one, and a successor is there within a
// second.
func TestLiveWorkerIsAskedOnceMoreBeforeItsSuccessorHasTheSlot(t *testing.T) {
	c := Config{Proof: Probed(5 * time.Second), ProbeInterval: 20 * time.Second, Renewal: Renewal{ProbeLive: true}}
	apart(t, c, func(w *world, x *traffic) {
		old := w.procs[0]
		ill := func(pid int) { w.locked(func() { x.ill = pid }) }
		ill(old.id.Pid)
		for len(seen[Hung](w)) == 0 {
			w.sleep(100 * time.Millisecond)
		}
		ill(0)
		w.sleep(time.Minute)
		require.Greater(t, len(w.procs), 1)
		assert.True(t, w.procs[1].told(), "it is not needed")
		assert.False(t, old.told())

		ill(old.id.Pid)
		w.sleep(30 * time.Second)
		assert.Len(t, seen[Hung](w), 2)
		assert.Equal(t, hungSignal, old.signals[0])
	})
}

// A worker and its successor have the same sockets.
func TestRivals(t *testing.T) {
	c := Config{Workers: 2, KeepOld: time.Hour, Interval: 5 * time.Second, Renewal: Renewal{MaxAge: time.Minute}}
	apart(t, c, func(w *world, x *traffic) {
		w.sleep(10 * time.Second)
		w.restart()
		w.sleep(10 * time.Second)
		old, other := w.worker(2, 0), w.worker(2, 1)
		assert.Empty(t, w.sup.Rivals(w.t.Context(), old.id), "the generation that stands by has others")
		w.sleep(52 * time.Second)
		heir := w.procs[len(w.procs)-1]
		require.Equal(t, Worker{2, 0, heir.id.Pid}, heir.id)
		assert.Equal(t, []int{heir.id.Pid}, w.sup.Rivals(w.t.Context(), old.id))
		assert.Equal(t, []int{old.id.Pid}, w.sup.Rivals(w.t.Context(), heir.id))
		assert.Empty(t, w.sup.Rivals(w.t.Context(), other.id))
		assert.Empty(t, w.sup.Rivals(w.t.Context(), Worker{9, 0, 999}), "it has gone")
	})
}

// The hung worker may only be slow, and may be all that serves.
func TestHungWorkerStaysUntilAllSlotsHaveAWorker(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		hung, other := w.worker(1, 0), w.worker(1, 1)
		w.isAlive(hung)
		w.sleep(10*time.Second + 500*time.Millisecond)
		require.Len(t, seen[Hung](w), 1)
		w.exit(other, broken)
		w.sleep(600 * time.Millisecond)
		require.Len(t, seen[Renewed](w), 1)
		assert.Empty(t, hung.signals, "what takes the other slot has not proved itself")
		w.sleep(time.Second)
		assert.Equal(t, hungSignal, hung.signals[0])
		assert.Equal(t, []Retiring{{[]Worker{hung.id}, hungSignal}}, seen[Retiring](w))
	})
}

func TestHungWorkerInTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		hung := w.worker(1, 0)
		w.isAlive(hung)
		w.sleep(10*time.Second + 100*time.Millisecond)
		require.NoError(t, w.replaced())
		w.sleep(900 * time.Millisecond)
		assert.Equal(t, hungSignal, hung.signals[0])
		assert.Len(t, w.procs, 3)
	})
}

// How old a worker may become is drawn once: the next image does not give its successor up, and
// does not wait longer.
func TestAgeIsTheSameInTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1, Renewal: Renewal{MaxAge: time.Hour, AgeSpread: 0.5}}, nil, func(w *world) {
		for len(seen[TooOld](w)) == 0 {
			w.sleep(time.Second / 4)
		}
		for range 8 {
			assert.NoError(t, w.replaced())
		}
		w.sleep(time.Second)
		assert.Len(t, seen[Renewed](w), 1)
		assert.Len(t, w.procs, 2)
		for range 8 {
			w.sleep(time.Minute)
			assert.NoError(t, w.replaced())
		}
		assert.Len(t, seen[TooOld](w), 1)
	})
}

// The pause after a successor that has failed lasts over an upgrade.
func TestSuccessorIsNotTriedAgainAtOnceInTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.isAlive(w.worker(1, 0))
		w.sleep(10 * time.Second)
		for n := range 3 {
			w.exit(w.procs[2+n], broken)
			w.sleep(1 << n * time.Second)
		}
		w.exit(w.procs[5], broken) // the next one is tried eight seconds after this one began
		for range 7 {
			assert.NoError(t, w.replaced())
			w.sleep(time.Second)
		}
		assert.Len(t, w.procs, 6)
		w.sleep(time.Second)
		assert.Len(t, w.procs, 7)
	})
}

// A worker that was silent for too long hangs even if its probe passes again.
func TestSilentWorkerHangsAlthoughItsProbePassesAgain(t *testing.T) {
	c := Config{Interval: 6 * time.Second, Proof: Probed(20 * time.Second), ProbeInterval: 2 * time.Second, Renewal: Renewal{ProbeLive: true, Watchdog: 30 * time.Second}}
	apart(t, c, func(w *world, x *traffic) {
		w.sleep(8 * time.Second)
		w.isAlive(w.procs[0])
		w.locked(func() { x.unfit = true })
		w.sleep(5 * time.Second)
		require.Len(t, seen[Hung](w), 1)
		w.locked(func() { x.unfit = false })
		w.sleep(20 * time.Second)
		require.False(t, w.procs[0].told(), "it passes again")
		w.isAlive(w.procs[0])
		w.sleep(40 * time.Second)
		require.Len(t, seen[Hung](w), 2)
		assert.Equal(t, hungSignal, w.procs[0].signals[0])
	})
}

// A successor is for its own slot: a worker that ends in another slot is replaced by another one.
func TestSuccessorDoesNotFillAnotherSlot(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		hung, other := w.oneHangs()
		require.Len(t, w.procs, 3, "the successor of slot 0 is there")
		w.exit(other, broken)
		w.sleep(10 * time.Second)
		w.exit(hung, 6)
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		slots := map[int]int{}
		for _, p := range w.procs[2:] {
			slots[p.id.Slot]++
		}
		assert.Equal(t, map[int]int{0: 1, 1: 1}, slots, "each has one")
		require.Len(t, seen[Renewed](w), 1)
		assert.Equal(t, w.procs[2].id, seen[Renewed](w)[0].Worker)
	})
}

// A successor that is there when a stop is asked for is waited for and shown like other workers.
func TestSuccessorAtAStop(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		hung, other := w.oneHangs()
		w.sleep(500 * time.Millisecond)
		successor := w.procs[2]
		w.stop()
		there := func() (pids []int) {
			for _, one := range w.status().Workers {
				pids = append(pids, one.Pid)
			}
			return pids
		}
		w.exit(other, 15)
		assert.ElementsMatch(t, []int{hung.Pid(), successor.Pid()}, there())
		w.exit(successor, 15)
		assert.Equal(t, []int{hung.Pid()}, there())
	})
}

// If no successor has failed the state has nothing about failures, so that an older image takes
// it.
func TestNothingIsToldOfSuccessorsUnlessOneHasFailed(t *testing.T) {
	t.Parallel()
	simulate(t, watched, nil, func(w *world) {
		w.oneHangs()
		w.sleep(2 * time.Second)
		require.Len(t, seen[Renewed](w), 1)
		refused := errors.New("no")
		err := w.sup.Freeze(w.t.Context(), func(f *Frozen, _ []Process) error {
			assert.Zero(t, f.LastHeir)
			assert.Zero(t, f.HeirsFailed)
			return refused
		})
		assert.Equal(t, refused, err)
	})
}
