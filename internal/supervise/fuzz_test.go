package supervise

import (
	"errors"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// The options of FuzzLoop, a bit or two each, so that all combinations are possible.
const (
	twoWorkers, threeWorkers           = 1, 2 // 0: one; both: four
	twoAttempts                        = 2 << 2
	beside, rollBy1, rollBy2           = 1 << 4, 2 << 4, 3 << 4
	byNotices, killsLate, retiresLate  = 1 << 6, 1 << 7, 1 << 8
	steersSlowly, spawnsSlowly         = 1 << 9, 1 << 10
	follows, firstServes, beginsSlowly = 1 << 11, 1 << 12, 1 << 13
	byTheClock, shortInterval          = 1 << 14, 1 << 15
	leavesBehind, hurries, catchesUp   = 1 << 16, 1 << 17, 1 << 18
	twoFirst                           = 2 << 19 // attempts
	sided, oneStep, twoSteps           = 1 << 21, 1 << 22, 2 << 22
	keepsOld, probes, drainsSlowly     = 1 << 24, 1 << 25, 1 << 26
	watches, ages, weighs              = 1 << 27, 1 << 28, 1 << 29
)

// configured is what the options of FuzzLoop mean.
func configured(options uint32) (c Config, prepare func(*world)) {
	is := func(option uint32) bool { return options&option != 0 }
	c = Config{
		Workers:       1 + int(options&3),
		Attempts:      int(options >> 2 & 3),
		FirstAttempts: int(options >> 19 & 3),
		Replace:       []Replace{AtOnce, Beside, Rolling(1), Rolling(2)}[options>>4&3],
		Follow:        is(follows),
		FirstServes:   is(firstServes),
	}
	if is(byNotices) {
		c.Proof = Notified(3 * time.Second)
	}
	if is(sided) {
		c.Replace, c.Follow, c.FirstServes = AtOnce, false, false
		c.Canary = []Step{{All / 20, 2 * time.Second}, {All / 4, 3 * time.Second}}[:min(2, options>>22&3)]
		if is(keepsOld) {
			c.KeepOld = 4 * time.Second
		}
		if is(probes) {
			c.Proof, c.ProbeInterval = Probed(3*time.Second), time.Second
		}
	}
	if is(watches) {
		c.Watchdog, c.ProbeLive = 4*time.Second, is(probes)
	}
	if is(ages) {
		c.MaxAge, c.AgeSpread = 9*time.Second, 0.2
	}
	if is(weighs) {
		c.MaxMemory = 1000
	}
	if is(killsLate) {
		c.KillTimeout = 3 * time.Second
	}
	if is(shortInterval) {
		c.Interval = MinInterval
	}
	return c, func(w *world) {
		w.leaves, w.hurries = is(leavesBehind), is(hurries)
		if is(sided) {
			w.traffic = &traffic{}
			w.slowSteer = time.Millisecond
			if is(drainsSlowly) {
				w.traffic.slow = 1500 * time.Millisecond
			}
		}
		if is(catchesUp) {
			w.catchUp = w.hearRest
		}
		if is(retiresLate) {
			w.settings.KillOldDelay = 2 * time.Second
		}
		if is(steersSlowly) {
			w.slowSteer = 700 * time.Millisecond
		}
		if is(spawnsSlowly) {
			w.slowSpawn = 300 * time.Millisecond
		}
		if is(beginsSlowly) {
			w.slowBegin = 200 * time.Millisecond
		}
		if is(byTheClock) {
			w.settings.AutoRestart = 5 * time.Second
		}
	}
}

// FuzzLoop plays event sequences against the loop, with all combinations of the
// options that it knows. Each byte of the script is an event: its low four bits say
// which, the rest how much. The invariants are asserted by world as it goes, and
// here after every event.
func FuzzLoop(f *testing.F) {
	f.Add(uint32(0), []byte{0x00, 0x21, 0x02, 0x03})
	f.Add(uint32(twoWorkers), []byte{0x00, 0x01, 0x01, 0x0a, 0x00, 0x02, 0x06})
	f.Add(uint32(threeWorkers|3<<2|retiresLate), []byte{0x02, 0x00, 0xfa, 0x05, 0x00, 0x01, 0x12, 0x05, 0x04, 0x02, 0x02, 0x03, 0x01})
	f.Add(uint32(twoWorkers|1<<2|killsLate|spawnsSlowly), []byte{0x22, 0x00, 0x22, 0x09, 0x22, 0x11, 0x22, 0x06, 0x00, 0xaa, 0x07, 0x03})
	f.Add(uint32(twoWorkers), []byte{0x92, 0x0b, 0x02, 0x0c, 0x0c, 0x0b, 0x92, 0x05, 0x92, 0x0c, 0x01, 0x92})
	f.Add(uint32(threeWorkers|retiresLate|spawnsSlowly|byNotices), []byte{0x09, 0x0b, 0x00, 0x0c, 0x52, 0x0b, 0x52, 0x09, 0x22, 0x05, 0x01, 0xcd, 0x22, 0x01, 0x92, 0x03})
	f.Add(uint32(twoWorkers|spawnsSlowly), []byte("0\xb681A<71")) // the worker that is to stay dies while the one in excess is being spawned
	f.Add(uint32(3|rollBy1), []byte{0x92, 0x00, 0x92, 0x05, 0x92, 0x05, 0x01, 0x92, 0x05, 0x92})
	f.Add(uint32(3|steersSlowly), []byte{0x92, 0x0c, 0x0c, 0x52, 0x00, 0x01, 0x92, 0x0b, 0x05, 0x92})
	f.Add(uint32(twoWorkers|follows), []byte{0x92, 0x00, 0x92, 0x01, 0x11, 0x92, 0x05})
	f.Add(uint32(twoWorkers|follows|spawnsSlowly), []byte{0x92, 0x00, 0xe3, 0x92, 0x00, 0x00, 0xe3, 0x01, 0x92}) // signals are passed on
	f.Add(uint32(threeWorkers|firstServes|byNotices), []byte{0x18, 0x92, 0x1b, 0x92, 0x1c, 0x05, 0x00, 0x92, 0x09, 0x92})
	f.Add(uint32(twoWorkers|killsLate|retiresLate), []byte{0x2c, 0x31})
	// All live workers die, spawns fail, and it gives up with one retired worker of two.
	f.Add(uint32(twoWorkers|twoAttempts|killsLate|retiresLate|rollBy1), []byte(".0\x92$\x9211&"))
	f.Add(uint32(twoWorkers|spawnsSlowly|rollBy1), []byte{0x92, 0x00, 0x0f, 0x12, 0x0f, 0x01, 0x0f, 0x92, 0x05, 0x0f, 0x0b, 0x0f, 0x92})
	f.Add(uint32(twoWorkers|leavesBehind|killsLate|rollBy1), []byte{0x92, 0x00, 0x92, 0x05, 0x92, 0x01, 0x92, 0xf3, 0x05})
	f.Add(uint32(threeWorkers|hurries|spawnsSlowly|beginsSlowly), []byte{0x92, 0x00, 0x12, 0xf3, 0x05})
	f.Add(uint32(threeWorkers|catchesUp|byNotices|twoFirst), []byte{0xf2, 0xf2, 0xf2, 0x09, 0x00, 0xf2, 0xf2, 0xf2, 0x18, 0xf2, 0xf2})
	// A canary fails, another one is rolled back, and after a third one the old generation serves again.
	f.Add(uint32(twoWorkers|sided|twoSteps|keepsOld), []byte{0xa2, 0x00, 0xa2, 0x03, 0x01, 0x72, 0x00, 0xa2, 0x13, 0x72, 0x00, 0xa2, 0x03, 0x23, 0x22, 0x13, 0x72, 0x05})
	f.Add(uint32(sided|probes|keepsOld|drainsSlowly), []byte{0xa2, 0x53, 0x00, 0xf2, 0x03, 0xf2, 0x53, 0xf2, 0xa2, 0x01, 0xa2, 0x05, 0x0f, 0x92, 0x13})
	f.Add(uint32(threeWorkers|sided|oneStep|drainsSlowly|killsLate), []byte{0xa2, 0x00, 0xa2, 0x03, 0x33, 0x0f, 0xa2, 0x00, 0xf2, 0x01, 0x01, 0x01, 0xf2, 0x0b, 0x0c})
	f.Add(uint32(twoWorkers|watches|ages|weighs|killsLate), []byte{0xa2, 0x63, 0xf2, 0x83, 0xf2, 0xf2, 0x73, 0x73, 0xf2, 0xf2, 0x00, 0x83, 0xf2, 0x05, 0xf2, 0x0f, 0xf2})
	// The live generation is gone, and the one that stands by has only a worker that has not proved itself.
	f.Add(uint32(73400357), []byte("&0\xa2A0A1A00"))
	// Old workers stay, so many that the loop rests, and then its context ends.
	f.Add(uint32(3011), []byte("\xd6\xd6\xd6\xd6\xd6\xd6\xd6\xd6\xd60\xd6 0"))
	f.Add(uint32(3011), []byte("\xd6\xd6\xd6\xd6\xd6\xd6\xd6\xd60\xd60."))
	// A worker that hangs has its successor when another one has just died.
	f.Add(uint32(939524203), []byte("9\xf2\xf2000000\xf289\xf2\xc5\x00fP\x16%\x87\xaf\xb3+\xc8/\x8f&2922222!9000000000"))
	// A worker whose successor had ended was told to go while a restart waited for a side.
	f.Add(uint32(939524037), []byte("9A0A\xf29&0A"))
	f.Fuzz(func(t *testing.T, options uint32, script []byte) {
		if len(script) > 64 {
			return
		}
		c, prepare := configured(options)
		simulate(t, c, prepare, func(w *world) {
			trace(w, "%+v", c)
			for _, event := range script {
				trace(w, "-- %d %d", event&15, event>>4)
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
	case 1: // the nth process dies; if n is great its Wait returns late
		if alive := w.alive(); len(alive) > 0 {
			w.exitLate(alive[n%len(alive)], n<<8, max(0, time.Duration(n-8))*300*time.Millisecond)
		}
	case 2:
		w.sleep(time.Duration(n+1) * 100 * time.Millisecond)
	case 3:
		switch {
		case n == 15:
			w.stop()
		case n >= 13 && w.stopped: // by another signal
			w.sup.Stop(w.t.Context(), "test", []os.Signal{otherStop, os.Kill}[n-13], 0)
		case n >= 6 && n <= 8:
			w.playHealth(n)
		case n < 6 && w.traffic != nil:
			w.playTraffic(n)
		case n == 14 && w.sup.config.Follow: // otherwise it drops what was asked for
			w.sup.Pass(w.t.Context(), "test", otherSignal)
		}
	case 4: // begin or end to fail: generations if n is odd, spawns in a slot if n is great, or all spawns
		w.locked(func() {
			if n&1 == 0 && n >= 12 && len(w.procs) > 0 {
				w.failsIn = 1 - w.failsIn
				return
			}
			if n&1 == 1 && len(w.procs) > 0 {
				w.failBegin = toggled(w.failBegin)
				return
			}
			if len(w.procs) > 0 {
				w.failSpawn = toggled(w.failSpawn)
			}
		})
	case 5: // all that were told to go end
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
		if n > 11 {
			w.size(Size{Number: n - 11})
			return
		}
		w.step(1 - 2*int(event-11))
	case 14:
		w.locked(func() {}) // for the race detector: the loop's goroutine may use w meanwhile
		_, _ = w.sup.Signal(w.t.Context(), "test", otherSignal, n-1)
		synctest.Wait()
		w.checkStatus()
	case 15:
		if err := w.replaced(); err != nil {
			assert.ErrorIs(w.t, err, ErrStopping)
		}
	case 13:
		if n > 8 {
			w.stopAfter(time.Duration(n-8) * time.Second)
		}
	}
}

func (w *world) playHealth(n int) {
	for i, p := range w.alive() {
		switch {
		case n == 6:
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Alive: true})
		case n == 7 && i == 0: // it grows
			w.locked(func() { w.memory[p.Pid()] += 800 })
		case n == 8: // every other one is alive
			if i%2 == 0 {
				w.sup.Notify(w.t.Context(), Notice{Pids: []int{p.Pid()}, Alive: true})
			}
		}
	}
}

// measure is Renewal.Measure.
func (w *world) measure(pids []int) map[int]int64 {
	<-time.After(50 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	memory := map[int]int64{}
	for _, pid := range pids {
		memory[pid] = 100 + w.memory[pid]
	}
	return memory
}

func (w *world) playTraffic(n int) {
	x := w.traffic
	switch n {
	case 0:
		x.connect()
	case 1:
		x.rollBack()
	case 2:
		go w.sup.Promote(w.t.Context(), "test") // which is answered when it is done
	case 3, 4: // a worker of the newest generation is not fit
		if alive := w.alive(); len(alive) > 0 {
			w.sup.Notify(w.t.Context(), Notice{Pids: []int{alive[len(alive)-1].Pid()}, Abort: true})
		}
	case 5:
		w.locked(func() { x.unfit = !x.unfit })
	}
}

func toggled(err error) error {
	if err != nil {
		return nil
	}
	return errors.New("cannot start")
}

// over tells whether Run has returned.
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

// processes are the workers that exist.
func (w *world) processes() (all []Worker) {
	w.locked(func() {
		for _, p := range w.procs {
			if !p.reaped {
				all = append(all, p.id)
			}
		}
	})
	return all
}

// checkStatus compares the status of the workers with the processes that are there.
func (w *world) checkStatus() {
	there := w.processes()
	s, err := w.sup.Status(w.t.Context())
	if err != nil {
		assert.ErrorIs(w.t, err, ErrStopping)
		return
	}
	synctest.Wait()
	if !slices.Equal(there, w.processes()) { // a loop that gathered has settled before it answered
		w.checkStatus()
		return
	}
	var told []Worker
	for _, v := range s.Workers {
		if v.State != StateMissing {
			told = append(told, v.Worker)
		}
	}
	assert.ElementsMatch(w.t, there, told)
	assert.Equal(w.t, w.workers, s.Wanted)
	for _, share := range s.Shares {
		if s.Generation > 0 && s.Phase != PhaseStopping {
			assert.Equal(w.t, w.traffic.of(share.Side), share.Share, "of generation %d", share.Generation)
		}
	}
}

// checkStarting is invariant 4: of the generations with unsignalled processes
// that never went live, there is at most one.
func (w *world) checkStarting() {
	starting := map[int]bool{}
	for _, p := range w.alive() {
		if p.id.Generation > w.liveGen && !w.placed[p.id.Pid] && !p.told() && !w.wentLive[p.id.Generation] && !(w.traffic != nil && w.gaveUp[p.id.Generation]) {
			starting[p.id.Generation] = true
		}
	}
	assert.LessOrEqual(w.t, len(starting), 1, "invariant 4: generations %v start at once", starting)
}

// checkRestarted is invariant 3.
func (w *world) checkRestarted() {
	if w.stopped || w.stopping || w.failed || w.sup.config.Follow {
		return
	}
	w.locked(func() { w.failSpawn, w.failBegin, w.failsIn = nil, nil, 0 })
	if w.traffic != nil {
		w.locked(func() { w.traffic.unfit = false })
	}
	w.locked(func() { clear(w.memory) })
	for range 120 { // what is starting proves itself, what was told to go ends, and then the pending one begins
		for _, p := range w.alive() {
			w.ready(p)
		}
		w.sleep(time.Second)
		w.goes()
	}
	if w.over() || w.failed {
		return
	}
	if w.traffic != nil {
		w.traffic.checkWaiting()
	}
	assert.Zero(w.t, w.restarted, "invariant 3: a restart was forgotten")
	w.locked(func() { assert.Equal(w.t, w.asked, w.answered, "restarts asked for and answered") })
	serving := map[int]bool{}
	for _, p := range w.alive() {
		assert.True(w.t, w.listed(p) || p.told() || time.Since(p.began) < time.Minute, "%v was left over, and nobody has told it to go", p.id)
		if w.listed(p) && !p.told() && p.id.Slot < w.workers {
			serving[p.id.Slot] = true
		}
	}
	assert.Len(w.t, serving, w.workers, "no slot is empty in the end")
}
