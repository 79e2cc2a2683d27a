package supervise

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatusFromStartToStop(t *testing.T) {
	c := Config{Workers: 2, Proof: Notified(time.Minute)}
	simulate(t, c, func(w *world) { w.settings.KillOldDelay = time.Second }, func(w *world) {
		assert.Equal(t, PhaseStarting, w.status().Phase)
		assert.Equal(t, 1, w.status().Starting)
		w.sleep(2 * time.Second)
		loading := "loading"
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{w.worker(1, 0).id.Pid}, Status: &loading})
		s := w.status()
		assert.Equal(t, WorkerStatus{Worker: w.worker(1, 0).id, State: StateProving, Began: w.start, Said: "loading", Starts: 1}, s.Workers[0])
		w.ready(w.worker(1, 0))
		w.ready(w.worker(1, 1))
		s = w.status()
		assert.Equal(t, PhaseServing, s.Phase)
		assert.Equal(t, 1, s.Generation)
		assert.Zero(t, s.Restarts)
		assert.Equal(t, StateLive, s.Workers[0].State)
		assert.Equal(t, 2*time.Second, s.Workers[0].After)

		w.restart()
		s = w.status()
		assert.Equal(t, PhaseRestarting, s.Phase)
		assert.Equal(t, 2, s.Starting)
		w.ready(w.worker(2, 0))
		w.ready(w.worker(2, 1))
		s = w.status()
		assert.Equal(t, PhaseDraining, s.Phase)
		assert.Equal(t, StateOld, s.Workers[0].State)
		w.sleep(time.Second)
		assert.Equal(t, StateDraining, w.status().Workers[0].State)
		w.exit(w.worker(1, 0), broken)
		w.exit(w.worker(1, 1), fine)
		s = w.status()
		assert.Equal(t, PhaseServing, s.Phase)
		assert.Equal(t, &Exit{Pid: w.worker(1, 0).id.Pid, Status: broken, At: s.Now, Lived: 3 * time.Second}, s.Workers[0].Ended)

		w.exit(w.worker(2, 1), 9)
		w.exit(w.worker(2, 1), broken)
		s = w.status()
		assert.Equal(t, PhaseRefilling, s.Phase)
		died := seen[RefillFailed](w)
		assert.Len(t, died, 1, "of those that had not proved themselves")
		assert.Equal(t, WorkerStatus{
			Worker: Worker{Generation: 2, Slot: 1}, State: StateMissing, Starts: 3,
			Ended: &Exit{Pid: w.worker(2, 1).id.Pid, Status: broken, At: s.Now}, Next: s.Now.Add(died[0].Pause),
		}, s.Workers[1])
		assert.Equal(t, time.Second, died[0].Pause)
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{w.worker(2, 0).id.Pid}, Stopping: true})
		assert.Equal(t, StateStopping, w.status().Workers[0].State, "as it says itself")
		w.stopAfter(time.Minute)
		s = w.status()
		assert.Equal(t, PhaseStopDelay, s.Phase)
		assert.Equal(t, time.Now().Add(time.Minute), s.StopAt)
		w.stop()
		assert.Equal(t, PhaseStopping, w.status().Phase)
	})
}

func TestStatusOfAFailure(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(500 * time.Millisecond)
		w.exit(w.worker(2, 1), broken)
		s := w.status()
		require.NotNil(t, s.Failure)
		assert.Equal(t, FailureStatus{Failure: Failure{Worker: w.worker(2, 1).id, Status: broken, Lived: 500 * time.Millisecond}, At: s.Now}, *s.Failure)
		assert.Equal(t, PhaseRestarting, s.Phase, "the next attempt comes")
		assert.Equal(t, StateFailed, s.Workers[2].State)
	})
}

func TestStatusAfterTheEnd(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.stop()
		w.exit(w.worker(1, 0), fine)
		_, err := w.sup.Status(w.t.Context())
		assert.ErrorIs(t, err, ErrStopping)
		_, err = w.sup.Signal(w.t.Context(), "test", otherSignal, -1)
		assert.ErrorIs(t, err, ErrStopping)
		_, err = w.sup.Resize(w.t.Context(), "test", Size{Number: 2})
		assert.ErrorIs(t, err, ErrStopping)
	})
}

func TestSignalIsPassedOn(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		to, err := w.sup.Signal(w.t.Context(), "test", otherSignal, -1)
		assert.NoError(t, err)
		assert.Equal(t, []Worker{w.worker(1, 0).id, w.worker(1, 1).id}, to)
		to, err = w.sup.Signal(w.t.Context(), "test", otherSignal, 1)
		assert.NoError(t, err)
		assert.Equal(t, []Worker{w.worker(1, 1).id}, to)
		assert.Equal(t, []os.Signal{otherSignal, otherSignal}, w.worker(1, 1).signals)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		to, err = w.sup.Signal(w.t.Context(), "test", otherSignal, 7)
		assert.NoError(t, err)
		assert.Empty(t, to)
	})
}

// A client that hears of a worker's end, and asks for the status, may read the status file next:
// by then observers have heard which workers are left.
func TestStatusIsAnsweredWhenObserversHaveHeardAll(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(2 * time.Second)
		require.Len(t, w.serving, 1)
		w.locked(func() { w.slow = time.Second }) // for the end, and for the list of those that are left
		p := w.worker(1, 0)
		w.locked(func() { p.gone, p.reaped = true, true })
		p.exit <- broken
		synctest.Wait()
		w.status()
		assert.Empty(t, w.serving)
	})
}
