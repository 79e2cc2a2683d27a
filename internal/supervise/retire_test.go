package supervise

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKillOldDelay(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		assert.Equal(t, WentLive{Generation: 2, Asked: true, Old: []Worker{{1, 0, 100}}, Signal: retireSignal, Delay: 5 * time.Second}, seen[WentLive](w)[1])
		w.sleep(5*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
	})
}

func TestOldWorkersAreNotToldWhenANewOneHasEnded(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(2 * time.Second)
		w.exitLate(w.worker(2, 1), broken, 10*time.Second)
		w.sleep(9 * time.Second)
		assert.Empty(t, w.worker(1, 1).signals, "nobody serves in its place")
		w.sleep(3 * time.Second)
		assert.Equal(t, told, w.worker(1, 1).signals, "when it was replaced")
	})
}

func TestLiveWorkerDiesDuringKillOldDelay(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(3 * time.Second) // generation 2 is live for two seconds
		w.exit(w.worker(2, 0), 9)
		assert.Equal(t, []string{"1.0", "3.0"}, w.lives())
		w.exit(w.worker(3, 0), broken)
		w.sleep(2 * time.Second)
		require.Equal(t, 4, w.liveGen, "spawned after a second, proven after another")
		w.sleep(5*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "once generation 4 was live for five seconds")
		retired := seen[Retiring](w)
		assert.Len(t, retired, 1)
	})
}

func TestRetireWaitsForARefill(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(5500 * time.Millisecond) // half a second before the old ones are told to go
		w.exit(w.worker(2, 0), 9)
		w.sleep(999 * time.Millisecond)
		assert.Empty(t, seen[Retiring](w), "not while the refill of slot 0 proves itself")
		w.sleep(time.Millisecond)
		assert.Len(t, seen[Retiring](w), 1)
	})
}

func TestRestartsDoNotPutOffTheOldOnesEnd(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.settings.KillOldDelay = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(3 * time.Second)
		w.restart()
		w.sleep(3*time.Second - 1)
		assert.Empty(t, w.worker(1, 0).signals)
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals, "five seconds after generation 2 was live, not 3")
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestRetiredWorkersAreDropped(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(time.Second)
		w.restart() // generation 1 still drains
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, []string{"2.0", "3.0"}, w.lives())
		w.sleep(time.Second)
		w.stop()
		w.exit(w.worker(2, 0), fine)
		assert.Equal(t, []string{"3.0"}, w.served())
	})
}

func TestKillTimeout(t *testing.T) {
	simulate(t, Config{KillTimeout: 10 * time.Second}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.sleep(11*time.Second - 1)
		assert.Equal(t, []os.Signal{retireSignal}, w.worker(1, 0).signals)
		w.restart() // one starting
		w.sleep(1)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill}, w.worker(1, 0).signals)
		assert.Equal(t, []Killed{{Worker{1, 0, 100}, 10 * time.Second}}, seen[Killed](w))
		w.stop()
		w.sleep(10 * time.Second)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill, stopSignal}, w.worker(1, 0).signals)
		assert.Equal(t, []os.Signal{stopSignal, os.Kill}, w.worker(3, 0).signals)
	})
}

// A worker that is not proven may not understand the signal yet, or never.
func TestOldWorkerThatIsNotProvenIsTold(t *testing.T) {
	t.Run("by a restart", func(t *testing.T) {
		simulate(t, Config{Workers: 2, Proof: Notified(time.Minute)}, nil, func(w *world) {
			w.ready(w.worker(1, 0))
			w.ready(w.worker(1, 1))
			w.sleep(2 * time.Second)
			w.exit(w.worker(1, 1), broken) // the one in its place is replaced before it is ready
			w.restart()
			w.sleep(2 * time.Second)
			w.ready(w.worker(2, 0))
			w.ready(w.worker(2, 1))
			w.sleep(time.Second)
			proven, unproven := w.worker(1, 0), w.worker(1, 1)
			assert.Equal(t, []os.Signal{retireSignal}, proven.signals)
			assert.Equal(t, []os.Signal{abortSignal}, unproven.signals)
			assert.Equal(t, []Retiring{{[]Worker{proven.id}, retireSignal}, {[]Worker{unproven.id}, abortSignal}}, seen[Retiring](w))
		})
	})
	t.Run("by a rollback", func(t *testing.T) {
		apart(t, Config{Workers: 2, KeepOld: time.Hour}, func(w *world, x *traffic) {
			w.restart()
			w.sleep(5 * time.Second)
			w.exit(w.worker(2, 1), broken)
			assert.Equal(t, Outcome{Generation: 1}, w.sup.Rollback(w.t.Context(), "test"))
			w.sleep(time.Second)
			assert.Equal(t, []os.Signal{retireSignal}, w.worker(2, 0).signals)
			assert.Equal(t, []os.Signal{abortSignal}, w.worker(2, 1).signals)
		})
	})
}
