package supervise

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// steering makes Steer take a second.
func steering(w *world) { w.slowSteer = time.Second }

func TestShrinkDrainsFirst(t *testing.T) {
	simulate(t, Config{Workers: 3}, steering, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		assert.Equal(t, []Resized{{"test", 2}}, seen[Resized](w))
		assert.Equal(t, 2, w.status().Wanted)
		w.sleep(900 * time.Millisecond)
		assert.Empty(t, w.worker(1, 2).signals, "connections wait for it")
		w.sleep(200 * time.Millisecond)
		assert.Equal(t, told, w.worker(1, 2).signals)
		assert.Equal(t, []int{2}, w.steers)
	})
}

func TestWorkerThatIsToGoIsRefilledUntilItsSlotIsDrained(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.slowSteer = 10 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.exit(w.worker(1, 1), 9)
		w.sleep(2 * time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives())
		w.sleep(10 * time.Second)
		assert.Len(t, w.alive(), 2)
		assert.Equal(t, told, w.alive()[1].signals)
	})
}

func TestGrowSteersWhenTheNewWorkerIsProven(t *testing.T) {
	simulate(t, Config{Workers: 2}, steering, func(w *world) {
		w.sleep(time.Second)
		w.resize(1)
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.lives())
		assert.Empty(t, w.steers)
		w.sleep(time.Second)
		assert.Equal(t, []int{3}, w.steers)
	})
}

// Of what is asked for while Steer runs, only the last is done, when Steer has returned.
func TestResizesWhileSteering(t *testing.T) {
	simulate(t, Config{Workers: 4}, steering, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.resize(-1)
		w.resize(-1)
		w.resize(1)
		w.sleep(3 * time.Second)
		assert.Equal(t, []int{3, 2}, w.steers)
		assert.Empty(t, w.worker(1, 1).signals)
		assert.Equal(t, told, w.worker(1, 2).signals)
		assert.Equal(t, told, w.worker(1, 3).signals)
	})
}

func TestShrinkWhileSteeringToMore(t *testing.T) {
	simulate(t, Config{}, steering, func(w *world) {
		w.resize(1)
		w.sleep(1500 * time.Millisecond)
		w.resize(-1)
		w.sleep(time.Second)
		assert.Empty(t, w.worker(1, 1).signals)
		w.sleep(time.Second)
		assert.Equal(t, told, w.worker(1, 1).signals)
		assert.Equal(t, []int{2, 1}, w.steers)
	})
}

func TestRestartWhileDraining(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.slowSteer = 5 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.restart()
		w.sleep(2 * time.Second)
		assert.Equal(t, told, w.worker(1, 1).signals, "another one is in its slot")
		assert.Empty(t, w.worker(2, 1).signals)
		w.sleep(4 * time.Second)
		assert.Equal(t, told, w.worker(2, 1).signals)
		assert.Empty(t, w.worker(2, 0).signals)
	})
}

func TestStopWhileDraining(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.slowSteer = 30 * time.Second }, func(w *world) {
		w.sleep(time.Second)
		w.resize(-1)
		w.stop()
		for _, p := range w.alive() {
			w.exit(p, 15)
		}
		assert.True(t, w.over(), "the end does not wait for it")
	})
}
