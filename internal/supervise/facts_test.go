package supervise

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests are about the fields of events.

// last is the newest event of a type.
func last[E Event](w *world) E {
	all := seen[E](w)
	require.NotEmpty(w.t, all)
	return all[len(all)-1]
}

// cannotStart makes spawns take a second, and fail.
func cannotStart(w *world) { w.slowSpawn, w.failSpawn = time.Second, errors.New("no such file") }

func TestWhatAFailedAttemptTells(t *testing.T) {
	for _, row := range []struct {
		name  string
		given Config
		with  func(*world)
		when  func(*world)
		then  AttemptFailed // without the Failure
	}{
		{"the first worker of all cannot be started", Config{}, cannotStart, func(w *world) {
			w.sleep(time.Second)
		}, AttemptFailed{Pause: -1, Hopeless: true, Decided: true}},
		{"the same, and a restart waits", Config{}, cannotStart, func(w *world) {
			w.restart()
			w.sleep(time.Second)
		}, AttemptFailed{Pause: -1, Hopeless: true}},
		{"the same, where attempts are bounded", Config{Attempts: 2}, cannotStart, func(w *world) {
			w.sleep(time.Second)
		}, AttemptFailed{Pause: -1, Hopeless: true, Decided: true}},
		{"the first worker of all fails", Config{}, nil, func(w *world) {
			w.sleep(100 * time.Millisecond)
			w.exit(w.worker(1, 0), broken)
		}, AttemptFailed{Pause: 900 * time.Millisecond, Decided: true}},
		{"the first pause", Config{}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
		}, AttemptFailed{Pause: time.Second, Decided: true}},
		{"the pause has grown", Config{}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
			w.sleep(time.Second)
			w.exit(w.worker(2, 0), broken)
		}, AttemptFailed{Pause: 2 * time.Second, Slow: true, Decided: true}},
		{"a later one cannot be started", Config{}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
			w.locked(func() { w.failSpawn = errors.New("no such file") })
			w.sleep(time.Second)
		}, AttemptFailed{Pause: 2 * time.Second, Slow: true, Decided: true}},
		{"a restart waits", Config{}, nil, func(w *world) {
			w.restart()
			w.exit(w.worker(1, 0), broken)
		}, AttemptFailed{Pause: time.Second}},
		{"another attempt is left", Config{Attempts: 2}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
		}, AttemptFailed{Pause: time.Second}},
		{"it was the last attempt", Config{Attempts: 1}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
		}, AttemptFailed{Pause: -1, Decided: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			simulate(t, row.given, row.with, func(w *world) {
				row.when(w)
				failed := last[AttemptFailed](w)
				failed.Failure = Failure{}
				assert.Equal(t, row.then, failed)
			})
		})
	}
}

func TestWhatADeathTells(t *testing.T) {
	for _, row := range []struct {
		name  string
		given Config
		with  func(*world)
		when  func(*world)
		then  Died // without the worker, and how it ended
	}{
		{"a live worker", Config{}, nil, func(w *world) {
			w.exit(w.worker(1, 0), 9)
		}, Died{Replaced: true}},
		{"a live worker, and its heir starts", Config{}, nil, func(w *world) {
			w.restart()
			w.exit(w.worker(1, 0), 9)
		}, Died{Old: true, Replaced: true}},
		{"a worker that has taken over", Config{Workers: 2, Replace: Rolling(1)}, nil, func(w *world) {
			w.restart()
			w.sleep(time.Second)
			w.exit(w.worker(2, 0), 9)
		}, Died{Replaced: true}},
		{"a retired one", Config{}, nil, func(w *world) {
			w.restart()
			w.sleep(time.Second)
			w.exit(w.worker(1, 0), fine)
		}, Died{Old: true, Signal: retireSignal}},
		{"one of a failed attempt", Config{Workers: 2}, nil, func(w *world) {
			w.restart()
			w.exit(w.worker(2, 0), broken)
			w.exit(w.worker(2, 1), broken)
		}, Died{Old: true, Signal: abortSignal}},
		{"one too many that was not told yet", Config{Workers: 2}, nil, func(w *world) {
			w.exit(w.worker(1, 0), broken)
			w.resize(-1)
			w.exit(w.worker(1, 1), broken)
		}, Died{Old: true}},
		{"the last one when following", Config{Follow: true}, nil, func(w *world) {
			w.exit(w.worker(1, 0), 9)
		}, Died{}},
		{"one when following, and its heir starts", Config{Follow: true}, nil, func(w *world) {
			w.restart()
			w.exit(w.worker(1, 0), 9)
		}, Died{}},
		{"a live worker at the stop", Config{}, nil, func(w *world) {
			w.stop()
			w.exit(w.worker(1, 0), 15)
		}, Died{Stop: true, Signal: stopSignal}},
	} {
		t.Run(row.name, func(t *testing.T) {
			simulate(t, row.given, row.with, func(w *world) {
				w.sleep(time.Minute)
				row.when(w)
				died := last[Died](w)
				died.Worker, died.Status, died.Lived = Worker{}, 0, 0
				assert.Equal(t, row.then, died)
			})
		})
	}
}

func TestWhatAFailedRefillTells(t *testing.T) {
	simulate(t, Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.exit(w.worker(1, 1), 9)
		for _, then := range []RefillFailed{
			{Pause: time.Second},
			{Pause: 2 * time.Second, Slow: true},
			{Pause: 4 * time.Second, Slow: true},
		} {
			w.exit(w.worker(1, 1), broken)
			failed := last[RefillFailed](w)
			failed.Failure = Failure{}
			assert.Equal(t, then, failed)
			w.sleep(then.Pause)
		}
	})
}

// A worker that is not proven may not know the signal by which others retire.
func TestWhoIsToldToGoAsThereAreToBeFewer(t *testing.T) {
	simulate(t, Config{Workers: 3}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.exit(w.worker(1, 1), 9)
		w.sleep(500 * time.Millisecond)
		w.exit(w.worker(1, 0), 9)
		proven := len(seen[Proven](w))
		w.resize(-2)
		assert.Empty(t, seen[Shrinking](w), "slot 0 is not whole yet")
		w.sleep(time.Second)
		assert.Len(t, seen[Proven](w), proven+1, "of one that is to go nothing is to be proved")
		assert.Equal(t, []Shrinking{
			{[]Worker{w.worker(1, 2).id}, retireSignal},
			{[]Worker{w.worker(1, 1).id}, abortSignal},
		}, seen[Shrinking](w))
	})
}

// A worker that is wanted is missing from the first moment on.
func TestStatusOfAWorkerThatIsNewlyWanted(t *testing.T) {
	simulate(t, Config{}, nil, func(w *world) {
		w.sleep(time.Minute)
		w.locked(func() { w.blockOn = time.Second }) // the two requests are in the mail when the loop is back
		go w.sup.Signal(w.t.Context(), "test", otherSignal, 5)
		synctest.Wait()
		go w.sup.Resize(w.t.Context(), "test", Size{Number: 2})
		synctest.Wait()
		s := w.status()
		assert.Equal(t, 2, s.Wanted)
		require.Len(t, s.Workers, 2)
		assert.Equal(t, WorkerStatus{Worker: Worker{Generation: 1, Slot: 1}, State: StateMissing}, s.Workers[1])
	})
}
