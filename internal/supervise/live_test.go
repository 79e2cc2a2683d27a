package supervise

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLoneLiveWorkerDies(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 0), 9)
		assert.Equal(t, []string{"2.0"}, w.lives(), "at once")
		assert.Equal(t, []Died{{Worker: Worker{1, 0, 100}, Status: 9, Lived: 10 * time.Second, Replaced: true}}, seen[Died](w))
		w.sleep(time.Second)
		assert.False(t, seen[WentLive](w)[1].Asked)
	})
}

func TestOneOfManyLiveWorkersDies(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 1), 9)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "its slot is refilled")
		assert.Equal(t, 1, w.generation)

		w.exit(w.worker(1, 1), broken)
		assert.Equal(t, []string{"1.0"}, w.lives(), "but not faster than the interval")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		w.exit(w.worker(1, 1), broken)
		w.sleep(2*time.Second - 1)
		assert.Equal(t, []string{"1.0"}, w.lives(), "and slower under repeated failure")
		w.sleep(1)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestRefillThatCannotStart(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.failSpawn = errors.New("no such program")
		w.exit(w.worker(1, 1), 9)
		assert.Len(t, seen[RefillFailed](w), 1)
		w.failSpawn = nil
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestAllOfManyLiveWorkersDie(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		w.failSpawn = errors.New("no such program")
		w.exit(w.worker(1, 1), 9)
		w.failSpawn = nil
		w.exit(w.worker(1, 0), 9)
		w.sleep(time.Second)
		assert.Equal(t, []string{"2.0", "2.1"}, w.lives())
	})
}

func TestARefillThatIsProvenIsBackToTheFirstPace(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(10 * time.Second)
		for range 3 {
			w.exit(w.worker(1, 1), broken)
			w.sleep(4 * time.Second)
		}
		w.sleep(10 * time.Second)
		w.exit(w.worker(1, 1), 9)
		w.exit(w.worker(1, 1), broken)
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
	})
}

func TestLiveWorkerDiesWhileOneIsStarting(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		w.restart()
		w.exit(w.worker(1, 0), 9)
		assert.Equal(t, []string{"2.0"}, w.lives(), "no second one is begun")
		w.sleep(time.Hour)
		assert.Equal(t, 2, w.generation)
	})
}
