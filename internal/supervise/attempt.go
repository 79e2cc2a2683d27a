package supervise

import (
	"fmt"
	"slices"
	"time"
)

// This file is what becomes of a spawn: a worker, its end, a failed attempt.

func (l *loop) onBegun(m begun) {
	l.pending--
	switch {
	case l.ending.stopping:
	case m.err != nil:
		l.attemptFailed(Failure{Worker: Worker{Generation: l.starting.number}, Err: m.err})
	default:
		l.starting.begun = true
		l.progressed(0)
	}
}

func (l *loop) onSpawned(m spawned) {
	w := m.worker
	if m.err != nil {
		l.gone(w, Failure{Worker: w.id(), Err: m.err})
		l.reconsider()
		return
	}
	w.process, w.began = m.process, l.now
	l.settings = m.settings
	l.slots[w.slot].starts++
	if !w.serves && w.role != heir { // what may come again and again is no progress
		l.progressed(0)
	}
	l.tell(Started{Worker: w.id(), Refill: w.serves, Heir: w.succeeds && !w.serves})
	for _, sig := range w.missed {
		l.signal(w, sig)
	}
	w.missed = nil
	l.probe(w)
	l.reconsider()
	l.waitFor(w)
}

// waitFor has the end of a worker's process come by mail.
func (l *loop) waitFor(w *worker) {
	go func() { l.mail <- exited{w, w.process.Wait()} }()
}

func (l *loop) onExit(m exited) {
	w := m.worker
	lived := l.now.Sub(w.began)
	l.slots[w.slot].ended = &Exit{Pid: w.process.Pid(), Status: m.status, At: l.now, Lived: lived}
	if w.role != starting && w.role != heir || l.ending.stopping || l.inExcess(w) {
		follows := l.starting != nil && w.number != l.starting.number
		old := w.role != live || l.inExcess(w) || follows && !l.Follow
		l.tell(Died{
			Worker: w.id(), Status: m.status, Lived: lived, Stop: l.ending.stopping,
			Old: old, Replaced: w.role == live && !l.inExcess(w) && !l.ending.stopping && !l.Follow,
		})
	}
	if w.role == retired {
		l.progressed(0)
	}
	l.gone(w, Failure{Worker: w.id(), Status: m.status, Lived: lived, Said: w.said})
	l.lookForLeftovers(w)
}

// inExcess tells that a worker is one too many, whether it was told so or not.
func (l *loop) inExcess(w *worker) bool { return w.role == excess || w.slot >= l.sizes.size }

// gone drops a worker that ended, or never came to be.
func (l *loop) gone(w *worker, why Failure) {
	w.endProbe()
	if l.ending.stopping && l.renewal.heir == w {
		l.renewal.heir = nil
	}
	l.starting.remove(w)
	l.live.remove(w)
	l.standby.remove(w)
	l.leaving = slices.DeleteFunc(l.leaving, func(o *worker) bool { return o == w })
	l.pending--
	switch {
	case l.ending.stopping:
	case w.role == starting && !l.inExcess(w):
		l.attemptFailed(why)
	case w.role == live:
		l.liveWorkerGone(w, why)
	case w.role == standby:
		l.standbyWorkerGone(w)
	case w.role == heir:
		l.heirGone(w, why)
	}
	if why.Err == nil {
		l.last = why
	}
}

// attemptFailed gives the starting generation up, and asks for the next one
// unless it was the last attempt.
func (l *loop) attemptFailed(why Failure) {
	g := l.starting
	why.Share, why.Given = l.share(g), l.given()
	l.countNoMore()
	l.starting = nil
	leaves := l.Traffic != nil && l.live != nil && g.side != l.live.side && (g.canary() || why.Err != nil)
	for w := range g.workers() {
		l.leaves(w, failed)
		w.endProbe()
		w.drains = leaves // otherwise the next one has its side
	}
	if leaves { // its clients are the live one's again, before anything else
		_ = l.send(l.live.side, All)
		l.leaveSide(g.side)
	}
	first := l.number == 1 && why.Err != nil // nothing to retry: it never could be started
	decided := !l.wanted
	if decided {
		l.attempts.failures++
	}
	bound := l.mostAttempts()
	last := decided && (bound > 0 && l.attempts.failures >= bound || g.canary()) // clients are not tried on again
	event := AttemptFailed{Failure: why, Pause: -1, Hopeless: first, Decided: decided && (bound == 0 || last || first)}
	if !first && !last {
		l.wanted, l.asked = true, l.asked || g.asked
		event.Pause, event.Slow = l.attempts.wait(l.now, l.Interval)
	}
	l.failure = &FailureStatus{Failure: why, At: l.now}
	l.progressed(max(0, event.Pause))
	l.tell(event)
	if bound > 0 && l.wanted {
		l.waiting = append(l.waiting, g.waiting...) // bounded: the last one decides
	} else {
		l.answer(g.waiting, Outcome{Err: &why})
	}
	switch {
	case first:
		l.end(&why)
	case last:
		l.giveUp(why)
	}
}

// mostAttempts is how many may fail in a row; 0: any number.
func (l *loop) mostAttempts() int {
	if l.FirstAttempts > 0 && l.restedAt.IsZero() { // there was no success yet
		return l.FirstAttempts
	}
	return l.Attempts
}

// giveUp leaves the workers that serve alone, or stops if there are none.
func (l *loop) giveUp(why Failure) {
	gaveUp := GaveUp{Failure: why, Attempts: l.attempts.failures}
	if l.live != nil && l.live.number == why.Generation {
		gaveUp.Replaced = len(list(l.live.workers(), func(w *worker) bool { return w.number == why.Generation }))
	}
	if l.live == nil {
		l.reinstate()
	}
	gaveUp.Serving = l.live != nil
	l.tell(gaveUp)
	l.failure.GivenUp = true
	l.attempts.failures, l.restedAt = 0, l.now
	if !gaveUp.Serving {
		l.end(&why)
	}
}

// end ends everything for lack of a worker.
func (l *loop) end(why *Failure) {
	l.ending.err = why
	l.stop(toAbort, l.AbortSignal)
}

// reinstate makes the retired workers live again that were not told to go, the
// newest in each slot, if there are any: their successors are gone, and the slots
// that are empty are to be filled again.
func (l *loop) reinstate() {
	var back *generation
	for _, w := range slices.Backward(l.leaving) {
		if !w.waits() || w.slot >= l.sizes.size {
			continue
		}
		if back == nil {
			back = &generation{slots: make([]*worker, l.sizes.size), begun: true, side: w.side}
		}
		if w.side != back.side {
			continue
		}
		back.number = max(back.number, w.number)
		if back.slots[w.slot] == nil { // what follows was replaced before, so it is older
			back.slots[w.slot] = w
		}
	}
	for w := range back.workers() {
		w.role, w.retireAt, w.drains = live, time.Time{}, false
	}
	if back != nil && l.Traffic != nil {
		_ = l.send(back.side, All) // which tells
	}
	l.live = back
	l.leaving = slices.DeleteFunc(l.leaving, func(w *worker) bool { return w.role == live })
	for _, w := range l.leaving {
		if w.waits() {
			w.retireAt = l.now // when the others are whole
		}
	}
}

// liveWorkerGone has a lone worker's place refilled by settle, and a whole
// generation's by a new generation.
func (l *loop) liveWorkerGone(w *worker, why Failure) {
	if !l.Follow && !w.proven && !l.inExcess(w) {
		l.slots[w.slot].failures++
		l.resizeFailed(w, why)
		pause, slow := l.slots[w.slot].wait(l.now, l.Interval)
		l.tell(RefillFailed{why, pause, slow})
	}
	l.heirFills(w.slot)
	if !l.live.anyProven() && l.standby.serves() && l.goBack(fmt.Sprintf("generation %d is gone", w.number)) == nil {
		return
	}
	if !l.live.empty() {
		return
	}
	if l.Traffic != nil && l.starting != nil {
		return // clients wait on its side, and fill has them served
	}
	l.live = nil
	if l.Follow {
		return
	}
	l.wanted = l.wanted || l.starting == nil
	for _, o := range l.leaving {
		o.retireAt = time.Time{}
	}
}

// leaves puts a worker among those that are to go.
func (l *loop) leaves(w *worker, as role) {
	w.role = as
	l.leaving = append(l.leaving, w)
}

// progressed notes that something has happened in a start or restart, so that by our own
// bounds the next thing will within the time that it may take, after pause.
func (l *loop) progressed(pause time.Duration) {
	if l.ending.stopping || l.ending.later != nil {
		return
	}
	bound := l.Interval + l.Proof.time // one until it may be spawned
	if l.Replace.surge > 0 || l.waitsForSide() {
		bound += l.KillTimeout // the old worker has to leave first
	}
	at := l.now.Add(pause)
	if g := l.starting; g.canary() && g.stepEnds.After(at) {
		at = g.stepEnds // whatever else happens
	}
	l.deadline = at.Add(bound)
}
