package supervise

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// FuzzLoop plays event sequences against the loop. Each byte is an event: its
// low four bits say which, the rest how much. The first says how the
// supervisor is set up. The invariants are asserted by world as it goes, and
// here after every event.
func FuzzLoop(f *testing.F) {
	f.Add([]byte{0, 0x00, 0x21, 0x02, 0x03})
	f.Add([]byte{1, 0x00, 0x01, 0x01, 0x0a, 0x00, 0x02, 0x06})
	f.Add([]byte{0x2e, 0x02, 0x00, 0xfa, 0x05, 0x00, 0x01, 0x12, 0x05, 0x04, 0x02, 0x02, 0x03, 0x01})
	f.Add([]byte{0x55, 0x22, 0x00, 0x22, 0x09, 0x22, 0x11, 0x22, 0x06, 0x00, 0xaa, 0x07, 0x03})
	f.Add([]byte{1, 0x92, 0x0b, 0x02, 0x0c, 0x0c, 0x0b, 0x92, 0x05, 0x92, 0x0c, 0x01, 0x92})
	f.Add([]byte{0xe2, 0x09, 0x0b, 0x00, 0x0c, 0x52, 0x0b, 0x52, 0x09, 0x22, 0x05, 0x01, 0xcd, 0x22, 0x01, 0x92, 0x03})
	f.Add([]byte("A0\xb681A<71"))                                                         // the worker that is to stay dies while the one in excess is being spawned
	f.Add([]byte{3, 0x0e, 0x92, 0x00, 0x92, 0x05, 0x92, 0x05, 0x01, 0x92, 0x05, 0x92})    // rolling
	f.Add([]byte{3, 0xff, 0x92, 0x0c, 0x0c, 0x52, 0x00, 0x01, 0x92, 0x0b, 0x05, 0x92})    // steering
	f.Add([]byte{1, 0xef, 0x92, 0x00, 0x92, 0x01, 0x11, 0x92, 0x05})                      // none is refilled
	f.Add([]byte{0x41, 0xef, 0x92, 0x00, 0xe3, 0x92, 0x00, 0x00, 0xe3, 0x01, 0x92})       // signals are passed on
	f.Add([]byte{0x82, 0xdf, 0x18, 0x92, 0x1b, 0x92, 0x1c, 0x05, 0x00, 0x92, 0x09, 0x92}) // the first serves
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) == 0 || len(script) > 64 {
			return
		}
		c := Config{Workers: 1 + int(script[0]&3), Attempts: int(script[0] >> 2 & 3)}
		if script[0]&0x80 != 0 {
			c.ReadyTimeout = 3 * time.Second
		}
		if script[0]&0x10 != 0 {
			c.KillTimeout = 3 * time.Second
		}
		if len(script) > 1 && script[1]&15 == 14 { // an event that is none otherwise
			c.Surge = 1 + int(script[1]>>4&1)
		}
		c.NoRefill = len(script) > 1 && script[1] == 0xef    // no event either
		c.FirstServes = len(script) > 1 && script[1] == 0xdf // nor this
		simulate(t, c, func(w *world) {
			if script[0]&0x20 != 0 {
				w.settings.KillOldDelay = 2 * time.Second
			}
			if len(script) > 1 && script[1] == 0xff { // no event either
				w.slowSteer = 700 * time.Millisecond
			}
			if script[0]&0x40 != 0 {
				w.slowSpawn = 300 * time.Millisecond
			}
		}, func(w *world) {
			for _, event := range script[1:] {
				w.play(event&15, int(event>>4))
				synctest.Wait()
				w.checkStarting()
				if w.over() {
					return
				}
			}
			w.checkRestarted()
		})
	})
}

func (w *world) play(event byte, n int) {
	switch event {
	case 0:
		w.restart()
	case 1: // the nth process dies
		if alive := w.alive(); len(alive) > 0 {
			w.exit(alive[n%len(alive)], n<<8)
		}
	case 2:
		w.sleep(time.Duration(n+1) * 100 * time.Millisecond)
	case 3:
		switch {
		case n == 15:
			w.stop()
		case n == 14 && w.sup.config.NoRefill: // otherwise it drops what was asked for
			w.sup.Pass(w.t.Context(), "test", otherSignal)
		}
	case 4: // spawns fail from now on, or no longer
		w.locked(func() {
			if w.failSpawn == nil && len(w.procs) > 0 {
				w.failSpawn = errors.New("cannot start")
			} else {
				w.failSpawn = nil
			}
		})
	case 5: // all that were told to go do
		for _, p := range w.alive() {
			if p.told() {
				w.exit(p, 15)
			}
		}
	case 6:
		w.sleep(time.Duration(n) * 5 * time.Second)
	case 7:
		w.locked(func() { w.settings.AutoRestart = time.Duration(n) * 5 * time.Second })
	case 8: // the nth process is ready
		if alive := w.alive(); len(alive) > 0 {
			w.ready(alive[n%len(alive)])
		}
	case 9: // all are
		for _, p := range w.alive() {
			w.ready(p)
		}
	case 10:
		w.sup.Notify(w.t.Context(), Notice{Pids: []int{1, 2}, Ready: true})
	case 11, 12:
		if n&1 == 0 {
			w.resize(1 - 2*int(event-11))
			return
		}
		w.step(event == 11)
	case 14:
		w.locked(func() {}) // what the loop's goroutine may call meanwhile
		_, _ = w.sup.Signal(w.t.Context(), "test", otherSignal, n-1)
		w.checkStatus()
	case 13:
		if n > 8 {
			w.stopAfter(time.Duration(n-8) * time.Second)
		}
	}
}

// over tells that Run has returned.
func (w *world) over() bool {
	select {
	case err := <-w.result:
		w.result <- err
		assert.Empty(w.t, w.alive(), "invariant 2: processes left when Run returned")
		return true
	default:
		return false
	}
}

// checkStatus compares what is told of the workers with what is there.
func (w *world) checkStatus() {
	s, err := w.sup.Status(w.t.Context())
	if err != nil {
		assert.ErrorIs(w.t, err, ErrStopping)
		return
	}
	var told, there []Worker
	for _, v := range s.Workers {
		if v.State != "missing" {
			told = append(told, v.Worker)
		}
	}
	for _, p := range w.alive() {
		there = append(there, p.id)
	}
	assert.ElementsMatch(w.t, there, told)
	assert.Equal(w.t, w.workers, s.Wanted)
}

// checkStarting is invariant 4: of the generations with unsignalled processes
// that never went live, there is at most one.
func (w *world) checkStarting() {
	starting := map[int]bool{}
	for _, p := range w.alive() {
		if p.id.Generation > w.liveGen && !w.placed[p.id.Pid] && !p.told() {
			starting[p.id.Generation] = true
		}
	}
	assert.LessOrEqual(w.t, len(starting), 1, "invariant 4: generations %v start at once", starting)
}

// checkRestarted is invariant 3.
func (w *world) checkRestarted() {
	if w.stopped || w.stopping || w.failed || w.sup.config.NoRefill {
		return
	}
	w.locked(func() { w.failSpawn = nil })
	for range 120 { // whatever is starting proves itself, who is told to go does, and then the pending one begins
		for _, p := range w.alive() {
			w.ready(p)
		}
		w.sleep(time.Second)
		w.goes()
	}
	if w.over() || w.failed {
		return
	}
	assert.Zero(w.t, w.restarted, "invariant 3: a restart was forgotten")
	w.locked(func() { assert.Equal(w.t, w.asked, w.answered, "restarts asked for and answered") })
	serving := map[int]bool{}
	for _, p := range w.alive() {
		if w.listed(p) && !p.told() && p.id.Slot < w.workers {
			serving[p.id.Slot] = true
		}
	}
	if len(serving) == 0 && len(seen[GaveUp](w)) > 0 {
		return // a retired one serves on
	}
	assert.Len(w.t, serving, w.workers, "no slot is empty in the end")
}
