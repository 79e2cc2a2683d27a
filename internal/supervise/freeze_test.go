package supervise

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// adopted is a process in the hands of the next image.
type adopted struct {
	*fakeProc
	exit chan int // gets what the Wait of the last image returns
}

func (a *adopted) Wait() int { return <-a.exit }

// heired is a group in the hands of the next image.
type heired struct {
	*group
	gone chan struct{} // closed when the Wait of the last image returns
}

func (h *heired) Wait() { <-h.gone }

// handOver freezes the supervisor, and has another one of configuration c go on.
func (w *world) handOver(c Config) error {
	w.t.Helper()
	w.locked(func() {}) // for the race detector: the loop's goroutine may use w meanwhile
	old := w.sup
	var frozen *Frozen
	var processes []Process
	refused := make(chan error, 1)
	executed := make(chan struct{})
	go func() {
		refused <- old.Freeze(w.t.Context(), func(f *Frozen, ps []Process) error {
			frozen, processes = f, ps
			w.locked(func() { w.image++ })
			close(executed)
			runtime.Goexit() // it never comes back, like an exec
			return nil
		})
	}()
	select {
	case err := <-refused:
		select {
		case <-executed: // the last image has ended, which Freeze may tell first
		default:
			return err
		}
	case <-executed:
	}
	synctest.Wait() // the last image does nothing after this
	heirs := map[Process]*adopted{}
	var next []Process
	for _, p := range processes {
		base, ok := p.(*fakeProc)
		if !ok {
			base = p.(*adopted).fakeProc
		}
		a := &adopted{base, make(chan int, 1)}
		heirs[p] = a
		next = append(next, a)
	}
	var groups []Leftovers
	left := map[int]*heired{}
	for _, o := range frozen.Leftovers {
		i := slices.IndexFunc(w.groups, func(g *group) bool { return g.of.Pid == o.Pid })
		assert.Equal(w.t, w.groups[i].Pids(), o.Pids, "who they are, as rivals of a probed worker")
		left[o.Pid] = &heired{w.groups[i], make(chan struct{})}
		groups = append(groups, left[o.Pid])
	}
	go func() {
		for told := 0; told < len(processes)+len(groups); {
			switch m := (<-old.mail).(type) {
			case exited:
				heirs[m.worker.process].exit <- m.status
				told++
			case cleared:
				close(left[m.left.of.Pid].gone)
				told++
			}
		}
	}()
	c.Spawner, c.Observers, c.Steer, c.CatchUp = old.config.Spawner, old.config.Observers, old.config.Steer, old.config.CatchUp
	if c.Traffic, c.Probe = nil, nil; w.traffic != nil {
		c.Traffic, c.Probe = w.traffic, w.traffic.probe
	}
	c.Hurry, c.Leftovers = old.config.Hurry, old.config.Leftovers
	c.Renewal = old.config.Renewal
	c.RetireSignal, c.AbortSignal, c.Interval = old.config.RetireSignal, old.config.AbortSignal, old.config.Interval
	w.locked(func() { w.sup = New(c) })
	w.workers = frozen.Target
	if w.sup.config.Workers != old.config.Workers {
		for slot := w.sup.config.Workers; slot < w.workers; slot++ {
			w.shrunk[slot] = true
		}
		w.workers = w.sup.config.Workers
	}
	ctx := w.context
	go func() { w.result <- w.sup.Resume(ctx, stopSignal, frozen, next, groups) }()
	synctest.Wait()
	return nil
}

// replaced is handOver to an image with the same configuration.
func (w *world) replaced() error { return w.handOver(w.sup.config) }

func TestWhatServesServesOnInTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		before := w.status()
		assert.NoError(t, w.replaced())
		after := w.status()
		after.Now = before.Now
		assert.Equal(t, before, after)
		w.restart()
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"2.0", "2.1"}, w.served()[2:])
		for _, p := range w.alive() {
			assert.Equal(t, p.id.Generation == 1, p.told())
		}
	})
}

func TestARestartThatIsUnderWayGoesOnInTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		reply := w.restart() // proves itself in a second
		w.restart()          // is owed
		w.sleep(500 * time.Millisecond)
		assert.NoError(t, w.replaced())
		assert.ErrorIs(t, answered(reply), errHandedOver)
		w.sleep(600 * time.Millisecond)
		assert.Equal(t, []string{"1.0", "2.0"}, w.served())
		assert.True(t, w.worker(1, 0).told())
		w.sleep(2 * time.Second)
		assert.Contains(t, w.served(), "3.0")
	})
}

func TestAPauseAfterAFailureLastsOverIt(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		w.exit(w.worker(2, 0), 1<<8)
		w.sleep(1100 * time.Millisecond)
		w.exit(w.worker(3, 0), 1<<8) // the next one is tried two seconds after this one began
		assert.NoError(t, w.replaced())
		w.sleep(1500 * time.Millisecond)
		assert.Equal(t, []string{"1.0"}, w.lives())
		assert.Contains(t, w.status().Failure.Error(), "exit code 1")
		w.sleep(500 * time.Millisecond)
		assert.Equal(t, []string{"1.0", "4.0"}, w.lives())
	})
}

func TestAnExitThatWasNotToldYetIsToldToTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.exitLate(w.worker(1, 0), 7<<8, time.Second)
		assert.NoError(t, w.replaced())
		w.sleep(1100 * time.Millisecond)
		died := seen[Died](w)
		assert.Len(t, died, 1)
		assert.Equal(t, 7<<8, died[0].Status)
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"2.0"}, w.served())
	})
}

func TestASpawnUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2}, func(w *world) { w.slowSpawn = 3 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		began := time.Now()
		assert.NoError(t, w.replaced())
		assert.Equal(t, 2*time.Second, time.Since(began))
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
	})
}

func TestADelayedStopComesAllTheSame(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.stopAfter(5 * time.Second)
		w.sleep(2 * time.Second)
		assert.NoError(t, w.replaced())
		assert.Equal(t, PhaseStopDelay, w.status().Phase)
		w.sleep(2 * time.Second)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1100 * time.Millisecond)
		assert.True(t, w.worker(1, 0).told())
	})
}

func TestWhatIsStoppingIsNotReplaced(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.stop()
		assert.ErrorIs(t, w.replaced(), ErrStopping)
	})
}

func TestAStopComesBeforeAReplacementThatWaits(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, func(w *world) { w.slowSpawn = 3 * time.Second }, func(w *world) {
		refused := make(chan error)
		go func() { refused <- w.sup.Freeze(w.t.Context(), nil) }()
		synctest.Wait()
		assert.ErrorIs(t, w.sup.Freeze(w.t.Context(), nil), ErrFreezing)
		w.stop()
		assert.ErrorIs(t, <-refused, ErrStopping)
	})
}

func TestItGoesOnIfTheStateIsNotTaken(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 1}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		w.restart()
		assert.Equal(t, assert.AnError, w.sup.Freeze(w.t.Context(), func(*Frozen, []Process) error { return assert.AnError }))
		w.sleep(1100 * time.Millisecond)
		assert.Equal(t, []string{"1.0", "2.0"}, w.served())
	})
}

func TestAnotherNumberOfWorkersInTheNextImage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			simulate(t, Config{Workers: 2}, nil, func(w *world) {
				w.sleep(2 * time.Second)
				c := w.sup.config
				c.Workers = n
				assert.NoError(t, w.handOver(c))
				w.restart()
				w.sleep(5 * time.Second)
				for _, p := range w.alive() {
					if p.told() {
						w.exit(p, 15)
					}
				}
				w.sleep(time.Second)
				assert.Len(t, w.served(), n)
			})
		})
	}
}

// Slots of the next image that have sockets of their own get connections when their workers are
// proven, and not before.
func TestMoreSlotsOfTheNextImageAreSteeredTo(t *testing.T) {
	t.Parallel()
	simulate(t, Config{Workers: 2}, steering, func(w *world) {
		w.sleep(2 * time.Second)
		c := w.sup.config
		c.Workers = 3
		assert.NoError(t, w.handOver(c))
		w.sleep(900 * time.Millisecond)
		assert.Empty(t, w.steers)
		w.sleep(200 * time.Millisecond)
		assert.Equal(t, []int{3}, w.steers)
	})
}

// What a worker has left behind is found a moment after the worker has ended. A handover
// before that would lose it.
func TestWhatIsLeftBehindIsKilledByTheNextImage(t *testing.T) {
	t.Parallel()
	simulate(t, Config{KillTimeout: 3 * time.Second}, func(w *world) { w.leaves = true }, func(w *world) {
		w.sleep(2 * time.Second)
		w.exit(w.worker(1, 0), fine) // pid 100, whose group goes by itself
		w.sleep(2 * time.Second)
		w.exit(w.worker(2, 0), fine) // pid 101, whose group does not
		began := time.Now()
		assert.NoError(t, w.replaced())
		assert.Equal(t, 50*time.Millisecond, time.Since(began), "it is looked for first")
		assert.Equal(t, []Killed(nil), seen[Killed](w))
		w.sleep(2 * time.Second)
		assert.NoError(t, w.replaced())
		group := w.groups[1]
		assert.Equal(t, []os.Signal{retireSignal}, group.signals)
		w.sleep(time.Second)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill}, group.signals)
		assert.Len(t, seen[LeftKilled](w), 1)
		assert.NoError(t, w.replaced())
		assert.Equal(t, []string{"3.0"}, w.lives())
	})
}

func TestAStopOfTheNextImageWaitsForWhatIsLeftBehind(t *testing.T) {
	t.Parallel()
	simulate(t, Config{KillTimeout: 10 * time.Second}, func(w *world) { w.leaves = true }, func(w *world) {
		w.sleep(2 * time.Second)
		w.exit(w.worker(1, 0), fine)
		w.sleep(2 * time.Second)
		w.exit(w.worker(2, 0), fine)
		w.sleep(time.Second)
		assert.NoError(t, w.replaced())
		w.stop()
		w.exit(w.worker(3, 0), fine)
		select {
		case <-w.result:
			t.Error("it has ended, and the group is there yet")
		default:
		}
		assert.False(t, w.groups[1].isGone())
	})
}
