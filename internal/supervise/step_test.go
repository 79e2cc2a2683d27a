package supervise

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// step asks for a worker more, or one less.
func (w *world) step(more bool) <-chan Step {
	reply := w.sup.Step(w.t.Context(), "test", more)
	synctest.Wait()
	return reply
}

// stepped is how a step went; Workers is 0 as long as nobody knows.
func stepped(reply <-chan Step) Step {
	select {
	case how := <-reply:
		return how
	default:
		return Step{}
	}
}

func TestOneMoreIsDoneWhenItHasProvedItself(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(true)
		assert.Zero(t, stepped(reply))
		w.sleep(time.Second)
		assert.Equal(t, Step{Worker: w.worker(1, 1).id, Workers: 2}, stepped(reply))
	})
}

func TestOneLessIsDoneWhenItIsGone(t *testing.T) {
	simulate(t, Config{Workers: 3}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(false)
		again := w.step(false)
		w.sleep(time.Hour)
		assert.Zero(t, stepped(reply))
		w.exit(w.worker(1, 1), fine)
		assert.Zero(t, stepped(reply))
		assert.Equal(t, Step{Worker: w.worker(1, 1).id, Workers: 1}, stepped(again))
		w.exit(w.worker(1, 2), fine)
		assert.Equal(t, Step{Worker: w.worker(1, 2).id, Workers: 1}, stepped(reply))
	})
}

func TestOneMoreThatFails(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(true)
		w.exit(w.worker(1, 1), broken)
		assert.ErrorContains(t, stepped(reply).Err, "failed after")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "and is tried again")
	})
}

func TestOneMoreThatIsNotReadyInTime(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		reply := w.step(true)
		w.sleep(10 * time.Second)
		assert.ErrorContains(t, stepped(reply).Err, "was not ready after 10s")
	})
}

func TestStepsThatCannotBe(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		assert.EqualError(t, stepped(w.step(false)).Err, "there is one worker, and one there has to be")
		more := w.step(true)
		less := w.step(false)
		assert.EqualError(t, stepped(more).Err, "somebody else has changed the number of workers to 1 meanwhile")
		w.goes()
		assert.NoError(t, stepped(less).Err)
		more = w.step(true)
		w.stop()
		assert.ErrorIs(t, stepped(more).Err, ErrStopping)
		assert.ErrorIs(t, stepped(w.step(true)).Err, ErrStopping)
	})
}

func TestOneMoreWhereNoneIsRefilled(t *testing.T) {
	simulate(t, Config{NoRefill: true}, nil, func(w *world) {
		w.sleep(time.Second)
		assert.ErrorContains(t, stepped(w.step(true)).Err, "but by a restart")
	})
}

// When nothing serves the first that can does, and the others are replaced one by
// one.
func TestTheFirstServes(t *testing.T) {
	simulate(t, Config{Workers: 3, ReadyTimeout: 3 * time.Second, FirstServes: true}, nil, func(w *world) {
		w.ready(w.worker(1, 1))
		assert.Equal(t, []int{1}, generationsLive(w))
		w.ready(w.worker(1, 0))
		w.sleep(3 * time.Second)
		require.Len(t, seen[NotReady](w), 1)
		assert.Equal(t, w.worker(1, 2).id, seen[NotReady](w)[0].Worker)
		assert.Empty(t, w.worker(1, 0).signals)
		w.exit(w.worker(1, 2), 15)
		w.sleep(time.Second)
		w.ready(w.worker(1, 2))
		assert.Equal(t, []string{"1.0", "1.1", "1.2"}, w.served())
		assert.Empty(t, seen[AttemptFailed](w))

		w.restart()
		w.ready(w.worker(2, 0))
		assert.Equal(t, []int{1}, generationsLive(w), "while something serves all must be ready")
	})
}

func generationsLive(w *world) (numbers []int) {
	for _, e := range seen[WentLive](w) {
		numbers = append(numbers, e.Generation)
	}
	return numbers
}
