package supervise

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nobodyIsTold leaves old workers where they are.
func nobodyIsTold(w *world) { w.retireNobody = true }

func TestWithoutRefillTheLastWorkersEndIsTheEnd(t *testing.T) {
	for status, fails := range map[int]bool{fine: false, 3 << 8: true, 9: true} {
		simulate(t, Config{NoRefill: true, Workers: 2}, nil, func(w *world) {
			w.sleep(time.Second)
			w.exit(w.worker(1, 0), 1<<8)
			w.sleep(time.Minute)
			assert.Equal(t, []string{"1.1"}, w.lives(), "nobody takes its place")
			w.exit(w.worker(1, 1), status)
			require.True(t, w.over())
			err := <-w.result
			w.result <- err
			if !fails {
				assert.NoError(t, err)
				return
			}
			var why *Failure
			require.ErrorAs(t, err, &why)
			assert.Equal(t, status, why.Status)
		})
	}
}

func TestWithoutRefillARestartIsARestart(t *testing.T) {
	simulate(t, Config{NoRefill: true, Attempts: 1}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(500 * time.Millisecond)
		w.exit(w.worker(2, 0), 1<<8)
		assert.Error(t, answered(reply))
		w.sleep(time.Minute)
		assert.Equal(t, []string{"1.0"}, w.lives(), "it failed, and the old one serves on")
		assert.Empty(t, w.worker(1, 0).signals)
		reply = w.restart()
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
		assert.Equal(t, told, w.worker(1, 0).signals)
		w.exit(w.worker(3, 0), fine)
		assert.False(t, w.over(), "the old one has not gone yet")
		w.exit(w.worker(1, 0), fine)
		assert.True(t, w.over())
	})
}

func TestOldWorkersThatNobodyTellsToGoStay(t *testing.T) {
	simulate(t, Config{NoRefill: true}, nobodyIsTold, func(w *world) {
		w.sleep(time.Second)
		for range 3 {
			w.restart()
			w.sleep(2 * time.Second)
		}
		assert.Equal(t, []string{"1.0", "2.0", "3.0", "4.0"}, w.lives())
		w.exit(w.worker(4, 0), 1<<8)
		w.exit(w.worker(2, 0), 1<<8)
		w.sleep(time.Minute)
		assert.Equal(t, []string{"1.0", "3.0"}, w.lives())
		w.stop()
		for _, p := range w.alive() {
			assert.Len(t, p.signals, 1)
			w.exit(p, fine)
		}
		assert.True(t, w.over())
	})
}
