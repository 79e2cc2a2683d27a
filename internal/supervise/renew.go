package supervise

import (
	"math/rand/v2"
	"os"
	"time"
)

// This file replaces live workers that hang, have grown too large, or are old. A successor
// proves itself first, and then has the slot. There is one successor at a time.

// Renewal says when workers are replaced between restarts. It does not go with Follow.
type Renewal struct {
	// Watchdog is how long a worker may be silent after it has said that it is alive, or
	// that it is ready. 0: for ever.
	Watchdog time.Duration
	// HungSignal is sent to a worker that hangs when its successor is proven. KILL follows after
	// KillTimeout, or after ten seconds if there is none.
	HungSignal os.Signal
	// ProbeLive has live workers probed every ProbeInterval: one that does not pass hangs.
	ProbeLive bool

	// MaxAge is how old a worker may become. Each worker's limit is longer or shorter by a random
	// part of that, up to AgeSpread (0 to 1), so that not all are renewed at once. 0: no limit.
	MaxAge    time.Duration
	AgeSpread float64

	// MaxMemory is how many bytes of memory a worker and its descendants may have, by Measure.
	// 0: no limit.
	MaxMemory int64
	// Measure returns how many bytes each process has with its descendants, without those that
	// are not there. With MaxMemory it is called outside the loop, 5 s after the last answer, and
	// blocks for a moment.
	Measure func(pids []int) map[int]int64
}

const (
	measurePause = 5 * time.Second
	// hungKill is the KillTimeout of a worker that hangs if none is set.
	hungKill = 10 * time.Second
)

type (
	// Hung tells that a live worker hangs: it was silent for so long, or its probe has failed.
	// A successor is started.
	Hung struct {
		Worker
		Silent time.Duration
		Probe  string
	}
	// TooOld tells that a live worker is to be replaced for its age.
	TooOld struct {
		Worker
		Age time.Duration
	}
	// TooLarge tells that a live worker is to be replaced for its memory. With Since it is not: it
	// has been over the limit since its start, and its successor would be, too.
	TooLarge struct {
		Worker
		Memory, Limit int64
		Since         bool
	}
	// Renewed tells that the successor of a live worker has its slot.
	Renewed struct {
		Worker
		Old    Worker        // Pid is 0 if it has ended before
		Signal os.Signal     // that the old one is sent
		Delay  time.Duration // until then
	}
	// RenewalFailed tells that a successor has failed. The old worker stays until one succeeds.
	RenewalFailed struct {
		Failure
		Pause time.Duration // until the next one, at least
	}
)

func (Hung) event()          {}
func (TooOld) event()        {}
func (TooLarge) event()      {}
func (Renewed) event()       {}
func (RenewalFailed) event() {}

// measured is the answer to Renewal.Measure.
type measured struct{ memory map[int]int64 }

func (measured) message() {}

// renewal is the state of renewals, of which one at most is under way.
type renewal struct {
	heir      *worker // nil: there is none
	asked     bool    // the worker that it replaces was asked once more
	pace              // of heirs
	measuring bool
	measureAt time.Time
}

// health is what is known about the state of a live worker.
type health struct {
	aliveAt time.Time // when it last said that it is alive, or ready; zero: it never has
	hung    bool
	unfit   bool  // it hangs because of its probe, so it hangs no longer when it passes
	first   int64 // its memory when it was measured first
	large   bool
	told    bool   // TooLarge was
	aged    bool   // TooOld was told
	lot     uint64 // see ageOf; 0: not drawn yet
}

// renew replaces a live worker that has to be replaced, when nothing else is under way.
func (l *loop) renew() {
	if l.Follow || l.live == nil {
		return
	}
	l.lookForHung()
	l.measure()
	if l.renewal.heir != nil && !l.succeeded() {
		return
	}
	if l.starting != nil || l.wanted || l.freezing != nil || l.ending.later != nil || !l.live.whole(l.sizes.size, 0) {
		return
	}
	if old := l.unwell(); old != nil && l.due(l.renewal.next(l.Interval)) && l.due(l.slots[old.slot].next(l.Interval)) {
		l.renewal.last, l.slots[old.slot].last = l.now, l.now
		next := &worker{number: l.live.number, slot: old.slot, side: l.live.side, role: heir, succeeds: true}
		l.renewal.heir, l.renewal.asked = next, false
		l.start(next)
	}
}

// unwell is the worker to be replaced first: one that hangs, otherwise one that is too large,
// otherwise one that is too old, which it tells. nil: there is none.
func (l *loop) unwell() *worker {
	var large, old *worker
	for w := range l.live.workers() {
		switch {
		case !w.proven || w.slot >= l.sizes.size:
		case w.health.hung:
			return w
		case w.health.large && large == nil:
			large = w
		case l.tooOld(w) && old == nil:
			old = w
		}
	}
	if large != nil {
		return large
	}
	if old != nil && !old.health.aged {
		old.health.aged = true
		l.tell(TooOld{old.id(), l.now.Sub(old.began)})
	}
	return old
}

// ageOf is how old a worker may become. The random part is drawn once.
func (l *loop) ageOf(w *worker) time.Duration {
	if w.health.lot == 0 {
		w.health.lot = rand.Uint64() | 1
	}
	part := float64(w.health.lot) / (1 << 64) // from 0 to 1
	return time.Duration(float64(l.MaxAge) * (1 + l.AgeSpread*(2*part-1)))
}

// succeeded has the heir take over when it is proven, and gives it up when it is not needed
// any more. It returns true if there is no heir now.
func (l *loop) succeeded() bool {
	next := l.renewal.heir
	old := l.live.in(next.slot)
	switch {
	case old != nil && !l.isUnwell(old) || !l.isHeir(next) || next.slot >= l.sizes.size || l.starting != nil && !next.proven:
		l.renewal.heir = nil
		l.leaves(next, failed)
	case next.proven && !next.process.Ended() && !l.asksAgain(old):
		l.renewal.heir, l.renewal.failures = nil, 0
		l.inherits(next, old)
	}
	return l.renewal.heir == nil
}

// asksAgain asks a worker that has not passed its probe once more before its successor takes over:
// what has failed may be over, and may not have been the worker. It returns true until the answer
// comes.
func (l *loop) asksAgain(w *worker) bool {
	if w == nil || !w.health.unfit || l.Probe == nil || !l.ProbeLive {
		return false
	}
	if !w.probing && !l.renewal.asked {
		l.renewal.asked = true
		l.ask(w, l.Proof.time, true)
	}
	return w.probing
}

// isUnwell tells whether a worker still has to be replaced.
func (l *loop) isUnwell(w *worker) bool {
	return w.health.hung || w.health.large || l.tooOld(w)
}

func (l *loop) tooOld(w *worker) bool { return l.MaxAge > 0 && l.due(w.began.Add(l.ageOf(w))) }

// hasHeir tells whether a successor of a live worker is on its way.
func (l *loop) hasHeir(w *worker) bool {
	next := l.renewal.heir
	return next != nil && l.live.in(next.slot) == w
}

// isHeir tells whether an heir is of the live generation: another one may be live by now.
func (l *loop) isHeir(w *worker) bool { return w.number == l.live.number && w.side == l.live.side }

// inherits gives a worker the slot of an old one, which is told to go.
func (l *loop) inherits(next, old *worker) {
	l.live.slots[next.slot] = next
	next.role, next.serves = live, true
	renewed := Renewed{Worker: next.id()}
	if old == nil {
		l.tell(renewed)
		return
	}
	l.leaves(old, retired)
	renewed.Old, renewed.Signal = old.id(), l.signalFor(old)
	if !old.health.hung {
		renewed.Delay = l.settings.KillOldDelay
	}
	old.retireAt = l.now.Add(renewed.Delay)
	l.tell(renewed)
}

// heirGone is for a successor that has failed before it had the slot.
func (l *loop) heirGone(w *worker, why Failure) {
	if l.renewal.heir != w {
		return
	}
	l.renewal.heir = nil
	l.renewal.failures++
	pause, _ := l.renewal.wait(l.now, l.Interval)
	l.tell(RenewalFailed{why, pause})
}

// heirFills gives a slot that a live worker has left empty to the successor that is started for
// it, if there is one.
func (l *loop) heirFills(slot int) {
	if next := l.renewal.heir; next != nil && next.slot == slot && l.isHeir(next) {
		l.renewal.heir = nil
		l.live.slots[slot] = next
		next.role, next.serves = live, true
		if next.process != nil {
			l.tell(Renewed{Worker: next.id()})
		}
	}
}

// saysAlive notes that a worker has said that it is alive.
func (w *worker) saysAlive(now time.Time) {
	w.health.aliveAt = now
	if w.proven { // before that CatchUp is for its readiness, which being alive does not put off
		w.hearing, w.heard = false, false
	}
}

// lookForHung finds live workers that were silent for too long. It first has all read that
// they have said: a superdaemon that was paused finds the time over and the notice unread.
func (l *loop) lookForHung() {
	if l.Watchdog == 0 {
		return
	}
	for w := range l.live.workers() {
		h := &w.health
		if !w.proven || h.hung || h.aliveAt.IsZero() || !l.due(h.aliveAt.Add(l.Watchdog)) {
			continue
		}
		if l.CatchUp != nil && !w.heard {
			l.hear(w)
			continue
		}
		h.hung = true
		l.tell(Hung{Worker: w.id(), Silent: l.now.Sub(h.aliveAt)})
	}
}

// hear has all read that workers have said so far, before it is decided about w.
func (l *loop) hear(w *worker) {
	if w.hearing {
		return
	}
	w.hearing = true
	go func() {
		l.CatchUp()
		l.mailBack(heard{w})
	}()
}

// measure has the memory of live workers measured.
func (l *loop) measure() {
	r := &l.renewal
	if l.MaxMemory == 0 || r.measuring || !l.due(r.measureAt) {
		return
	}
	var pids []int
	for w := range l.live.workers() {
		if w.proven {
			pids = append(pids, w.process.Pid())
		}
	}
	r.measuring = true
	go func() { l.mailBack(measured{l.Measure(pids)}) }()
}

func (l *loop) onMeasured(m measured) {
	l.renewal.measuring, l.renewal.measureAt = false, l.now.Add(measurePause)
	for w := range l.live.workers() {
		memory, known := m.memory[w.id().Pid]
		if !known || !w.proven {
			continue
		}
		h := &w.health
		if h.first == 0 {
			h.first = max(memory, 1)
		}
		since := h.first > l.MaxMemory && memory < 2*h.first // the next one would have as much
		switch {
		case memory <= l.MaxMemory:
			// One whose successor is on its way is replaced all the same: it would grow again.
			h.large = h.large && l.hasHeir(w)
			continue
		case h.told && (since || h.large):
			continue
		}
		h.large, h.told = !since, true
		l.tell(TooLarge{w.id(), memory, l.MaxMemory, since})
	}
}
