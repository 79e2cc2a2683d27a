package supervise

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// moment is what has happened to a superdaemon, in a row of the table below.
type moment struct {
	name    string
	given   Config
	with    func(*world)
	when    func(*world)
	then    time.Duration // the deadline, from the end of when
	bounded bool          // there is one
}

const s = time.Second

// A spawn may have to wait for an interval, and its proof takes another one: something has
// to happen within both.
var moments = []moment{
	{"the start", Config{}, nil, func(w *world) {}, 2 * s, true},
	{"the start, by notices", Config{Proof: Notified(10 * s)}, nil, func(w *world) {}, 11 * s, true},
	{"a spawn that is over", Config{}, func(w *world) { w.slowSpawn = 5 * s }, func(w *world) { w.sleep(5 * s) }, 2 * s, true},
	{"a generation that has begun", Config{}, func(w *world) { w.slowBegin, w.slowSpawn = 5*s, 5*s }, func(w *world) { w.sleep(5 * s) }, 2 * s, true},
	{"a restart", Config{}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
	}, 2 * s, true},
	{"a restart that waits", Config{}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(s / 2)
		w.restart()
	}, 2 * s, true},
	{"a restart that is due", Config{}, func(w *world) { w.slowBegin = s / 2 }, func(w *world) {
		w.sleep(s + s/2) // live at 1.5 s
		w.restart()
		w.restart()
		w.sleep(s / 2)
		w.sleep(s)
	}, 2 * s, true},
	{"a failure", Config{}, nil, func(w *world) { w.exit(w.worker(1, 0), broken) }, 3 * s, true},
	{"a failure, and the pause has grown", Config{}, nil, func(w *world) {
		w.exit(w.worker(1, 0), broken)
		w.sleep(s)
		w.exit(w.worker(2, 0), broken)
	}, 4 * s, true},
	{"the last failure", Config{Attempts: 1}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(s / 2)
		w.exit(w.worker(2, 0), broken)
	}, 2 * s, true},
	{"an old worker that is gone", Config{}, nil, func(w *world) {
		w.sleep(s)
		w.restart()
		w.sleep(time.Hour)
		w.exit(w.worker(1, 0), fine)
	}, 2 * s, true},
	{"a refill, which may come again and again", Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.exit(w.worker(1, 0), 9)
	}, 2*s - time.Hour, true},
	{"rolling", Config{Replace: Rolling(1)}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
	}, 2 * s, true},
	{"rolling, with a kill timeout", Config{Replace: Rolling(1), KillTimeout: 30 * s}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
	}, 32 * s, true},
	{"rolling, a slot that is taken over", Config{Workers: 2, Replace: Rolling(1), KillTimeout: 30 * s}, func(w *world) { w.settings.KillOldDelay = 5 * s }, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(s)
	}, 37 * s, true},
	{"a kill timeout, which is not waited for at once", Config{KillTimeout: 30 * s}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
	}, 2 * s, true},
	{"a step of a canary", Config{Canary: []Step{{All / 20, time.Minute}}}, isSided, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(s)
	}, 62 * s, true},
	{"a restart that waits for a canary", Config{Canary: []Step{{All / 20, time.Minute}}}, isSided, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(11 * s)
		w.restart()
	}, 52 * s, true},
	{"a restart that waits for old workers", Config{KillTimeout: 30 * s}, isSided, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.sleep(time.Hour)
		w.restart()
	}, 32 * s, true},
	{"a restart that need not wait for them", Config{KillTimeout: 30 * s}, isSided, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
	}, 2 * s, true},
	{"a stop", Config{}, nil, func(w *world) { w.stop() }, 0, false},
	{"a stop with a kill timeout", Config{KillTimeout: 30 * s}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.stop()
	}, 30 * s, true},
	{"a stop with a delay", Config{}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.stopAfter(time.Minute)
	}, time.Minute, true},
	{"a stop with a delay and a kill timeout", Config{KillTimeout: 30 * s}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.stopAfter(time.Minute)
	}, 90 * s, true},
	{"a failure in the stop delay, which counts no more", Config{Workers: 2}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.restart()
		w.stopAfter(time.Minute)
		w.exit(w.worker(2, 0), broken)
	}, time.Minute, true},
	{"a stop delay that is over", Config{KillTimeout: 30 * s}, nil, func(w *world) {
		w.sleep(time.Hour)
		w.stopAfter(time.Minute)
		w.sleep(time.Minute)
	}, 30 * s, true},
	{"a spawn that is over when stopping", Config{KillTimeout: 30 * s}, func(w *world) { w.slowSpawn = 5 * s }, func(w *world) {
		w.stop()
		w.sleep(5 * s)
	}, 25 * s, true},
}

func isSided(w *world) { w.traffic = &traffic{} }

func TestDeadlineOfEveryMoment(t *testing.T) {
	for _, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			simulate(t, m.given, m.with, func(w *world) {
				m.when(w)
				assert.Equal(t, !m.bounded, w.tally.Deadline.IsZero())
				if m.bounded {
					assert.Equal(t, m.then, time.Until(inBubble(w.tally.Deadline)))
				}
			})
		})
	}
}

func TestTallyCountsWorkers(t *testing.T) {
	simulate(t, Config{Workers: 2}, func(w *world) { w.settings.KillOldDelay = s }, func(w *world) {
		counts := func() Tally {
			t := w.tally
			t.Deadline = time.Time{}
			return t
		}
		assert.Equal(t, Tally{Starting: 1}, counts())
		w.sleep(s)
		assert.Equal(t, Tally{Generation: 1, Serving: 2}, counts())
		w.exit(w.worker(1, 1), 9)
		assert.Equal(t, Tally{Generation: 1, Serving: 1}, counts(), "the refill is not proven")
		w.sleep(s)
		w.restart()
		assert.Equal(t, Tally{Generation: 1, Starting: 2, Serving: 2}, counts())
		w.sleep(s)
		assert.Equal(t, Tally{Generation: 2, Serving: 4}, counts(), "the old ones serve until they are told")
		w.sleep(s)
		assert.Equal(t, Tally{Generation: 2, Serving: 2, Draining: 2}, counts())
		w.exit(w.worker(1, 0), fine)
		assert.Equal(t, Tally{Generation: 2, Serving: 2, Draining: 1}, counts())
		w.restart()
		w.exit(w.worker(3, 0), broken)
		assert.Equal(t, Tally{Generation: 2, Serving: 2, Draining: 1}, counts(), "what never served does not drain")
		w.stop()
		assert.Equal(t, Tally{Generation: 2, Draining: 4}, counts(), "unless everything stops")
		w.exit(w.worker(3, 1), 15)
		assert.Equal(t, Tally{Generation: 2, Draining: 3}, counts())
	})
}

func TestTallyOfASpawnThatIsNotOver(t *testing.T) {
	simulate(t, Config{}, func(w *world) { w.slowSpawn = s }, func(w *world) {
		w.stop()
		assert.Zero(t, w.tally.Draining)
	})
	simulate(t, Config{}, func(w *world) { w.failSpawn = errors.New("no such file") }, func(w *world) {
		assert.Zero(t, w.tally.Draining+w.tally.Serving)
	})
}
