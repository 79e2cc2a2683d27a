package supervise

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// step asks for by more workers.
func (w *world) step(by int) <-chan Resizing { return w.size(Size{Change: by}) }

// size asks for a number of workers. A refusal is the answer, too.
func (w *world) size(size Size) <-chan Resizing {
	done, err := w.sup.Resize(w.t.Context(), "test", size)
	synctest.Wait()
	if err == nil {
		return done
	}
	refused := make(chan Resizing, 1)
	refused <- Resizing{Err: err}
	return refused
}

// stepped is the result of a step; Workers is 0 as long as there is none.
func stepped(reply <-chan Resizing) Resizing {
	select {
	case how := <-reply:
		return how
	default:
		return Resizing{}
	}
}

func TestOneMoreIsDoneWhenItHasProvedItself(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(1)
		assert.Zero(t, stepped(reply))
		w.sleep(time.Second)
		assert.Equal(t, Resizing{Worker: w.worker(1, 1).id, Workers: 2}, stepped(reply))
	})
}

func TestOneLessIsDoneWhenItIsGone(t *testing.T) {
	simulate(t, Config{Workers: 3}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(-1)
		again := w.step(-1)
		w.sleep(time.Hour)
		assert.Zero(t, stepped(reply))
		w.exit(w.worker(1, 1), fine)
		assert.Zero(t, stepped(reply))
		assert.Equal(t, Resizing{Worker: w.worker(1, 1).id, Workers: 1}, stepped(again))
		w.exit(w.worker(1, 2), fine)
		assert.Equal(t, Resizing{Worker: w.worker(1, 2).id, Workers: 1}, stepped(reply))
	})
}

func TestOneMoreThatFails(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		reply := w.step(1)
		w.exit(w.worker(1, 1), broken)
		assert.ErrorContains(t, stepped(reply).Err, "failed after")
		w.sleep(time.Second)
		assert.Equal(t, []string{"1.0", "1.1"}, w.lives(), "and is tried again")
	})
}

func TestOneMoreThatIsNotReadyInTime(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		reply := w.step(1)
		w.sleep(10 * time.Second)
		assert.ErrorContains(t, stepped(reply).Err, "was not ready after 10s")
	})
}

func TestStepsThatCannotBe(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Second)
		assert.EqualError(t, stepped(w.step(-1)).Err, "there is one worker, the least there can be")
		more := w.step(1)
		less := w.step(-1)
		assert.EqualError(t, stepped(more).Err, "another request has changed the number of workers to 1 meanwhile")
		w.goes()
		assert.NoError(t, stepped(less).Err)
		more = w.step(1)
		w.stop()
		assert.ErrorIs(t, stepped(more).Err, ErrStopping)
		assert.ErrorIs(t, stepped(w.step(1)).Err, ErrStopping)
	})
}

func TestOneMoreWhereNoneIsRefilled(t *testing.T) {
	simulate(t, Config{Follow: true}, nil, func(w *world) {
		w.sleep(time.Second)
		assert.ErrorContains(t, stepped(w.step(1)).Err, "by a restart only")
	})
}

func TestSeveralMoreAreDoneWhenAllHaveProvedThemselves(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		more := w.size(Size{Number: 3})
		w.ready(w.worker(1, 2))
		assert.Zero(t, stepped(more))
		w.ready(w.worker(1, 1))
		assert.Equal(t, Resizing{Worker: w.worker(1, 2).id, Workers: 3}, stepped(more))
		less := w.size(Size{Number: 1})
		w.exit(w.worker(1, 2), fine)
		assert.Zero(t, stepped(less))
		w.exit(w.worker(1, 1), fine)
		assert.Equal(t, Resizing{Worker: w.worker(1, 2).id, Workers: 1}, stepped(less))
		assert.Equal(t, Resizing{Workers: 1}, stepped(w.size(Size{Number: 1})), "nothing is to be done")
	})
}

// When nothing serves, the first worker that is proven does, and the others are replaced
// one by one.
func TestTheFirstServes(t *testing.T) {
	simulate(t, Config{Workers: 3, Proof: Notified(3 * time.Second), FirstServes: true}, nil, func(w *world) {
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

func TestResizeByNumber(t *testing.T) {
	const least, most = 1, MaxWorkers
	for _, row := range []struct {
		name    string
		given   Config
		size    Size
		then    int
		refused string
	}{
		{"up", Config{Workers: 2}, Size{Number: 4}, 4, ""},
		{"down", Config{Workers: 2}, Size{Number: 1}, 1, ""},
		{"no change", Config{Workers: 2}, Size{Number: 2}, 2, ""},
		{"no change where none is refilled", Config{Workers: 2, Follow: true}, Size{Number: 2}, 2, ""},
		{"up where none is refilled", Config{Workers: 2, Follow: true}, Size{Number: 3}, 2, "more workers can be started by a restart only"},
		{"one less than one", Config{}, Size{Change: -1}, least, "there is one worker, the least there can be"},
		{"less than one", Config{Workers: 2}, Size{Number: -7}, least, ""},
		{"many less than there are", Config{Workers: 2}, Size{Change: -5}, least, ""},
		{"one more than may be", Config{Workers: most}, Size{Change: 1}, most, "there are 10000 workers, the most there can be"},
		{"more than may be", Config{Workers: 2}, Size{Number: most + 1}, most, ""},
		{"as many as may be", Config{Workers: most}, Size{Number: most}, most, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			// A slow Begin, so that not so many workers are started.
			simulate(t, row.given, func(w *world) { w.slowBegin = 10 * time.Second }, func(w *world) {
				_, err := w.sup.Resize(w.t.Context(), "test", row.size)
				if row.refused == "" {
					assert.NoError(t, err)
				} else {
					assert.EqualError(t, err, row.refused)
				}
				assert.Equal(t, row.then, w.status().Wanted)
			})
		})
	}
}

// A client that waits for a worker hears of the failure of that worker only.
func TestOneMoreIsNotDoneByTheFailureOfTheNext(t *testing.T) {
	simulate(t, byNotice, nil, func(w *world) {
		w.ready(w.worker(1, 0))
		first, second := w.step(1), w.step(1)
		w.exit(w.worker(1, 2), broken)
		assert.Zero(t, stepped(first))
		assert.ErrorContains(t, stepped(second).Err, "exit code 3")
		w.exit(w.worker(1, 0), 9)
		w.exit(w.worker(1, 0), broken)
		assert.Zero(t, stepped(first), "nor by that of one that was there before")
		w.ready(w.worker(1, 1))
		assert.Equal(t, Resizing{Worker: w.worker(1, 1).id, Workers: 3}, stepped(first))
	})
}
