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
	if !w.serves && w.role != heir { // refills and heirs may come again and again: that is no progress
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

// waitFor sends a message to the loop when a worker's process has ended.
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
			Worker: w.id(), Status: m.status, Lived: lived, Stop: l.ending.stopping, Signal: w.sent,
			Old: old, Replaced: w.role == live && !l.inExcess(w) && !l.ending.stopping && !l.Follow,
		})
	}
	if w.role == retired {
		l.progressed(0)
	}
	l.gone(w, Failure{Worker: w.id(), Status: m.status, Lived: lived, Said: w.said})
	l.lookForLeftovers(w)
}

// inExcess tells whether a worker is one too many, even if it was not told to go yet.
func (l *loop) inExcess(w *worker) bool { return w.role == excess || w.slot >= l.sizes.size }

// gone drops a worker that has ended, or could not be started.
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
		w.drains = leaves // otherwise the next attempt has its side
	}
	if leaves { // before anything else all connections go to the live one again
		_ = l.send(l.live.side, All)
		l.leaveSide(g.side)
	}
	first := l.number == 1 && why.Err != nil // nothing to retry: it never could be started
	decided := !l.wanted
	if decided {
		l.attempts.failures++
	}
	bound := l.mostAttempts()
	last := decided && (bound > 0 && l.attempts.failures >= bound || g.canary()) // a failed canary is not tried on clients again
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

// mostAttempts is how many attempts may fail in a row; 0: any number.
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

// end stops everything, as no worker is left to serve.
func (l *loop) end(why *Failure) {
	l.ending.err = why
	l.stop(toAbort, l.AbortSignal)
}

// reinstate makes retired workers live again, in each slot the newest that was not told
// to go. Their successors are gone. Slots that are empty are filled again.
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
		if back.slots[w.slot] == nil { // one that follows was replaced earlier, so it is older
			back.slots[w.slot] = w
		}
	}
	for w := range back.workers() {
		w.role, w.retireAt, w.drains = live, time.Time{}, false
	}
	if back != nil && l.Traffic != nil {
		_ = l.send(back.side, All) // it tells of an error
	}
	l.live = back
	l.leaving = slices.DeleteFunc(l.leaving, func(w *worker) bool { return w.role == live })
	for _, w := range l.leaving {
		if w.waits() {
			w.retireAt = l.now // retire waits until the others are whole
		}
	}
}

// liveWorkerGone is for the end of a live worker. If others of its generation are left,
// settle refills its slot; otherwise a new generation begins.
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
		return // clients wait on its side, and fill starts workers there
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

// leaves puts a worker among those that have to go.
func (l *loop) leaves(w *worker, as role) {
	w.role = as
	l.leaving = append(l.leaving, w)
}

// progressed notes that something has happened in a start or restart. It sets the deadline
// for what happens next: after pause, and the time that this may take by our own bounds.
func (l *loop) progressed(pause time.Duration) {
	if l.ending.stopping || l.ending.later != nil {
		return
	}
	bound := l.Interval + l.Proof.time // the interval until it may be spawned, and its proof
	if l.Replace.surge > 0 || l.waitsForSide() {
		bound += l.KillTimeout // the old worker has to leave first
	}
	at := l.now.Add(pause)
	if g := l.starting; g.canary() && g.stepEnds.After(at) {
		at = g.stepEnds // the step lasts until then, whatever else happens
	}
	l.deadline = at.Add(bound)
}
