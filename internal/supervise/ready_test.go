package supervise

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byNotice has workers prove themselves by a notice within ten seconds.
var byNotice = Config{Proof: Notified(10 * time.Second)}

func (w *world) ready(p *fakeProc) {
	w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Ready: true})
	synctest.Wait()
}

func TestReadyWorkerIsLiveAtOnce(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.sleep(3 * time.Second)
		assert.Empty(t, w.served(), "living is not being ready")
		w.ready(w.worker(1, 0))
		assert.Equal(t, []string{"1.0"}, w.served())
		reply := w.restart()
		w.sleep(20 * time.Millisecond)
		w.ready(w.worker(2, 0))
		assert.NoError(t, answered(reply))
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []Proven{{Worker{1, 0, 100}, 3 * time.Second, true}, {Worker{2, 0, 101}, 20 * time.Millisecond, true}}, seen[Proven](w))
	})
}

// The loop was paused. It sees at the same time that the time is over and a notice that
// came in time.
func TestNoticeThatIsReadLateCounts(t *testing.T) {
	c := byNotice
	for _, read := range []bool{true, false} {
		simulate(t, c, func(w *world) {
			w.catchUp = func() {
				<-time.After(100 * time.Millisecond)
				if read {
					w.sup.Notify(w.t.Context(), Notice{Pids: []int{100}, Ready: true})
				}
			}
		}, func(w *world) {
			w.sleep(10*time.Second + 50*time.Millisecond)
			assert.Empty(t, seen[AttemptFailed](w))
			w.sleep(50 * time.Millisecond)
			assert.Len(t, seen[Proven](w), map[bool]int{true: 1}[read])
			assert.Len(t, seen[AttemptFailed](w), map[bool]int{false: 1}[read])
		})
	}
}

func TestNoticeOfADescendantCounts(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001, 7000, w.worker(1, 0).Pid(), 1}, Ready: true})
		w.sleep(0)
		assert.Equal(t, []string{"1.0"}, w.served())
	})
}

func TestNoticeOfAStrangerDoesNotCount(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001, 7000, 1}, Ready: true})
		w.sleep(0)
		assert.Empty(t, w.served())
		assert.Equal(t, []StrangeNotice{{Pid: 7001}}, seen[StrangeNotice](w))
	})
}

func TestAllWorkersMustBeReady(t *testing.T) {
	simulate(t, Config{Workers: 2, Proof: Notified(10 * time.Second)}, nil, func(w *world) {
		w.ready(w.worker(1, 1))
		assert.Empty(t, w.served())
		w.ready(w.worker(1, 0))
		assert.Equal(t, []string{"1.0", "1.1"}, w.served())
	})
}

func TestNotReadyInTimeHasFailed(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.sleep(time.Second)
		reply := w.restart()
		status := "loading"
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{w.worker(2, 0).Pid()}, Status: &status})
		w.sleep(10 * time.Second)
		assert.EqualError(t, answered(reply), `new worker 101 of generation 2 was not ready after 10s; its last status: "loading"`)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 0).signals)
		assert.Empty(t, w.worker(1, 0).signals)
		w.ready(w.worker(2, 0))
		assert.Equal(t, []string{"1.0"}, w.served(), "too late")
		assert.Equal(t, 3, w.generation, "the interval after the last attempt began is over")
	})
}

// A worker that says all the time that it is alive gets no more time to be ready. That is so even
// if it says so whenever the loop looks, which with many workers is not at once.
func TestWorkerThatIsAliveAndNotReadyInTimeHasFailed(t *testing.T) {
	simulate(t, Config{Workers: 4 * many, Proof: Notified(3 * time.Second), Attempts: 1}, func(w *world) {
		w.catchUp = func() { <-time.After(time.Millisecond) }
	}, func(w *world) {
		alive := w.worker(1, 0)
		for _, p := range w.alive() {
			if p != alive {
				w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Ready: true})
			}
		}
		for range 2000 {
			w.isAlive(alive)
			w.sleep(2 * time.Millisecond)
		}
		assert.True(t, alive.told())
	})
}

// A worker that is ready serves already, and has to leave gracefully.
func TestSiblingsOfAFailureThatServe(t *testing.T) {
	simulate(t, Config{Workers: 3, Proof: Notified(10 * time.Second)}, nil, func(w *world) {
		w.ready(w.worker(1, 1))
		w.exit(w.worker(1, 0), broken)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 1).signals)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(1, 2).signals)
	})
}

func TestExitBeforeReadyHasFailed(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(5 * time.Second)
		w.exit(w.worker(2, 0), fine)
		assert.ErrorContains(t, answered(reply), "failed after 5s: exit code 0")
	})
}

func TestRefillThatIsNotReadyInTime(t *testing.T) {
	simulate(t, Config{Workers: 2, Proof: Notified(10 * time.Second)}, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.ready(w.worker(1, 1))
		w.sleep(time.Second)
		w.exit(w.worker(1, 1), 9)
		w.sleep(10 * time.Second)
		require.Len(t, seen[NotReady](w), 1)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(1, 1).signals)
		assert.Empty(t, w.worker(1, 0).signals)
		w.exit(w.worker(1, 1), 15)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "and another one is tried")
	})
}

func TestQuickReadinessDoesNotOutrunThePace(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.exit(w.worker(1, 0), 9)
		assert.Empty(t, w.lives())
		w.sleep(time.Second)
		assert.Equal(t, []string{"2.0"}, w.lives(), "one interval after the last spawn")
	})
}

func TestNoticeThatOutrunsTheSpawn(t *testing.T) {
	simulate(t, byNotice, func(w *world) { w.slowSpawn = time.Second }, func(w *world) {
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{100}, Ready: true}) // the pid that the worker will have
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001}, Ready: true})
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0"}, w.served())
		assert.Equal(t, []StrangeNotice{{Pid: 7001}}, seen[StrangeNotice](w))
	})
}

// The last attempt fails by the clock, and no message follows.
func TestOldWorkerIsToldWhenTheLastAttemptIsLate(t *testing.T) {
	simulate(t, Config{Proof: Notified(3 * time.Second), Attempts: 1}, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		w.restart()
		w.sleep(time.Second)
		w.ready(w.worker(2, 0))
		old := w.worker(1, 0)
		require.Equal(t, []os.Signal{retireSignal}, old.signals, "which it does not heed")
		w.exit(w.worker(2, 0), broken)
		w.sleep(10 * time.Second)
		require.Len(t, seen[GaveUp](w), 1)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(3, 0).signals)
		assert.Equal(t, []os.Signal{retireSignal, abortSignal}, old.signals)
	})
}
