package supervise

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAcknowledgedByAWorkersDescendant(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		counts, err := w.sup.Acknowledge(w.t.Context(), []int{7001, 7000, 1})
		assert.NoError(t, err)
		assert.False(t, counts)
		assert.Empty(t, w.served())
		counts, err = w.sup.Acknowledge(w.t.Context(), []int{7001, w.worker(1, 0).Pid(), 1})
		assert.NoError(t, err)
		assert.True(t, counts)
		synctest.Wait()
		assert.Equal(t, []string{"1.0"}, w.served())
	})
}

func TestAcknowledgedWhenItIsTooLate(t *testing.T) {
	simulate(t, byNotice, func(w *world) { w.slowSpawn = time.Minute }, func(w *world) {
		early := make(chan error, 1)
		go func() {
			_, err := w.sup.Acknowledge(w.t.Context(), []int{7001})
			early <- err
		}()
		synctest.Wait()
		w.stop()
		w.sleep(time.Minute)
		w.exit(w.worker(1, 0), 15)
		assert.NoError(t, <-early, "it could be the worker's whose pid is not known yet")
		_, err := w.sup.Acknowledge(w.t.Context(), []int{7001})
		assert.ErrorIs(t, err, ErrStopping)
	})
}

func TestRequestsAfterTheEnd(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.stop()
		w.exit(w.worker(1, 0), fine)
		assert.ErrorIs(t, (<-w.sup.Restart(w.t.Context(), "test")).Err, ErrStopping)
		w.sup.Wake(w.t.Context()) // and nothing happens
		w.sup.Pass(w.t.Context(), "test", otherSignal)
		w.sup.Notify(w.t.Context(), Notice{})
	})
}

func TestRequestsBeforeTheBeginning(t *testing.T) {
	t.Parallel()
	sup := New(Config{})
	why := errors.New("no time")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	assert.ErrorIs(t, (<-sup.Restart(ctx, "test")).Err, why)
	_, err := sup.Status(ctx)
	assert.ErrorIs(t, err, why)
	sup.Close()
	sup.Close() // does no harm
	_, err = sup.Status(t.Context())
	assert.ErrorIs(t, err, ErrStopping)
}

func TestWakeHasTheLoopSettle(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.tally = Tally{}
		w.sup.Wake(w.t.Context())
		synctest.Wait()
		assert.Equal(t, 1, w.tally.Serving)
	})
}

func TestSignalThatIsPassedOnWhereNoWorkerIsEndsEverything(t *testing.T) {
	simulate(t, Config{Follow: true}, nil, func(w *world) {
		w.exit(w.worker(1, 0), broken) // the next one is not due yet
		require.Empty(t, w.lives())
		w.pass()
		assert.True(t, w.over())
		assert.Len(t, w.procs, 1)
	})
}

func TestSignalToTheFirstSlotGoesToNoOther(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Second)
		to, err := w.sup.Signal(w.t.Context(), "test", otherSignal, 0)
		assert.NoError(t, err)
		assert.Equal(t, []Worker{w.worker(1, 0).id}, to)
		assert.Empty(t, w.worker(1, 1).signals)
	})
}

func TestSignalThatCannotBeSent(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.failSignal = os.ErrPermission }, func(w *world) {
		w.sleep(time.Second)
		_, err := w.sup.Signal(w.t.Context(), "test", otherSignal, -1)
		assert.NoError(t, err)
		assert.Equal(t, []SignalFailed{{w.worker(1, 0).id, otherSignal, os.ErrPermission}}, seen[SignalFailed](w))
	})
}

func TestSignalThatIsSentIsNoFailure(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		_, err := w.sup.Signal(w.t.Context(), "test", otherSignal, -1)
		assert.NoError(t, err)
		assert.Empty(t, seen[SignalFailed](w))
	})
}

func TestNoticesOfNobodyAreNotTold(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.sup.Notify(w.t.Context(), Notice{Ready: true}) // the sender was gone too soon to be known
		w.sleep(0)
		assert.Empty(t, seen[StrangeNotice](w))
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001}})
		w.sup.Notify(w.t.Context(), Notice{Ready: true})
		w.sleep(time.Minute)
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7002}})
		w.sleep(0)
		assert.Equal(t, []StrangeNotice{{7001, 0}, {7002, 0}}, seen[StrangeNotice](w))
	})
}

func TestNoticesThatComeEarlyAreBounded(t *testing.T) {
	simulate(t, byNotice, func(w *world) { w.slowSpawn = time.Second }, func(w *world) {
		for range maxEarly {
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{7001}})
		}
		synctest.Wait()
		assert.Empty(t, seen[StrangeNotice](w), "their worker may be on its way")
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{7002}})
		synctest.Wait()
		assert.Equal(t, []StrangeNotice{{Pid: 7002}}, seen[StrangeNotice](w))
	})
}
