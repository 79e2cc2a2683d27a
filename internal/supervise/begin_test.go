package supervise

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errBegin = errors.New("no room for its log")

func TestFirstGenerationThatCannotBegin(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.failBegin = errBegin }, func(w *world) {
		assert.ErrorIs(t, w.outcome(), errBegin)
		assert.Empty(t, w.procs)
		assert.Equal(t, []AttemptFailed{{Failure: Failure{Worker: Worker{Generation: 1}, Err: errBegin}, Pause: -1, Hopeless: true, Decided: true}}, seen[AttemptFailed](w))
	})
}

func TestLaterGenerationThatCannotBeginLeavesTheOldOne(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.locked(func() { w.failBegin = errBegin })
		reply := w.restart()
		assert.EqualError(t, answered(reply), "generation 2 could not be started: no room for its log")
		assert.Equal(t, []string{"1.0"}, w.lives())
		failed := seen[AttemptFailed](w)
		require.Len(t, failed, 1)
		assert.False(t, failed[0].Hopeless, "there is one that serves")
		assert.Equal(t, time.Second, failed[0].Pause)
		w.locked(func() { w.failBegin = nil })
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "3.0"}, w.served(), "the next attempt")
	})
}

func TestGenerationThatIsSlowToBegin(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.slowBegin = 5 * time.Second }, func(w *world) {
		w.sleep(5*time.Second - 1)
		assert.Empty(t, w.procs, "no worker before that")
		assert.Equal(t, PhaseStarting, w.status().Phase)
		w.sleep(1)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		w.sleep(time.Second)
		reply := w.restart()
		w.sleep(5 * time.Second)
		assert.ErrorIs(t, answered(reply), errSilence)
		w.sleep(time.Second)
		assert.NoError(t, answered(reply))
	})
}

func TestStopWhileOneBegins(t *testing.T) {
	for _, err := range []error{nil, errBegin} {
		simulate(t, Config{}, func(w *world) { w.slowBegin, w.failBegin = 5*time.Second, err }, func(w *world) {
			w.stop()
			assert.False(t, w.over(), "what has begun is waited for")
			w.sleep(5 * time.Second)
			assert.NoError(t, w.outcome())
			assert.Empty(t, w.procs)
			assert.Empty(t, seen[AttemptFailed](w))
		})
	}
}

func TestLiveWorkerDiesWhileOneBegins(t *testing.T) {
	for name, replace := range map[string]Replace{"at once": AtOnce, "rolling": Rolling(1)} {
		t.Run(name, func(t *testing.T) {
			simulate(t, Config{Workers: 2, Replace: replace}, nil, func(w *world) {
				w.sleep(time.Minute)
				w.locked(func() { w.slowBegin = 5 * time.Second })
				w.restart()
				w.exit(w.worker(1, 1), 9)
				if name == "rolling" {
					assert.Equal(t, []string{"1.0"}, w.lives(), "the one that begins would replace it at once")
					w.sleep(time.Second) // but Begin takes long
				}
				assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "the live generation refills its slot")
				assert.True(t, seen[Started](w)[2].Refill)
				w.sleep(time.Second)
				assert.Equal(t, []string{"1.0", "1.1"}, w.served())
				w.sleep(4 * time.Second)
				assert.Contains(t, w.lives(), "2.0")
			})
		})
	}
}

func TestLoneLiveWorkerDiesWhileOneBegins(t *testing.T) {
	simulate(t, Config{Replace: Rolling(1)}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.locked(func() { w.slowBegin = 5 * time.Second })
		w.restart()
		w.exit(w.worker(1, 0), 9)
		assert.Empty(t, w.lives(), "the one that begins takes its place")
		w.sleep(5 * time.Second)
		assert.Equal(t, []string{"2.0"}, w.lives())
		w.sleep(time.Minute)
		assert.Equal(t, 2, w.generation)
	})
}

func TestRestartWhileOneBeginsWaits(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.slowBegin = 5 * time.Second }, func(w *world) {
		w.sleep(time.Minute)
		first := w.restart()
		w.sleep(time.Second)
		second := w.restart()
		assert.True(t, seen[RestartAsked](w)[1].Pending)
		w.sleep(5 * time.Second)
		assert.NoError(t, answered(first))
		assert.True(t, seen[WentLive](w)[1].Due, "the second begins now")
		assert.ErrorIs(t, answered(second), errSilence)
		w.sleep(6 * time.Second)
		assert.NoError(t, answered(second))
		assert.False(t, seen[WentLive](w)[2].Due)
	})
}
