package supervise

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A worker that serves is told to go by RetireSignal, also when the last attempt
// has failed and everything ends.
func TestProvenWorkerOfTheLastAttemptLeavesAsOneThatServes(t *testing.T) {
	simulate(t, Config{Workers: 3, Attempts: 1, Proof: Notified(time.Minute)}, nil, func(w *world) {
		w.sleep(time.Second)
		w.ready(w.worker(1, 0))
		w.exit(w.worker(1, 1), broken)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{abortSignal}, w.worker(1, 2).signals)
	})
}

// A worker that was told to stop gets no other signal when its generation then fails.
func TestProvenWorkerThatWasToldToStopIsToldNothingElse(t *testing.T) {
	simulate(t, Config{Workers: 2, Proof: Notified(time.Minute)}, nil, func(w *world) {
		w.sleep(time.Second)
		w.ready(w.worker(1, 0))
		// The exit and then the stop are in the mail when the loop next reads it.
		w.locked(func() { w.blockOn = time.Second })
		go w.sup.Signal(w.t.Context(), "test", otherSignal, 5)
		synctest.Wait()
		sibling := w.worker(1, 1)
		sibling.gone = true
		sibling.exit <- broken
		synctest.Wait()
		go w.sup.Stop(w.t.Context(), "test", stopSignal, 0)
		w.sleep(2 * time.Second)
		assert.Equal(t, []os.Signal{stopSignal}, w.worker(1, 0).signals)
	})
}
