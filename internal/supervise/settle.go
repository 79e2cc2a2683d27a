package supervise

import (
	"iter"
	"slices"
	"time"
)

// settle does everything that the state and the clock call for, and sets the
// alarm for what they will call for later. It runs after every message; each
// step is idempotent, and a step only enables those after it.
func (l *loop) settle() {
	l.now = clock()
	l.alarm = time.Time{}
	end := &l.ending
	if end.later != nil && !end.stopping && l.due(end.at) {
		l.onStop(stopAsked{end.later.cause, end.later.signal, 0})
	}
	if !end.stopping {
		l.grow()
		l.prove()
		l.promote()
		l.watch()
		l.steer()
		l.shrink()
		l.renew()
		l.endStandby()
		l.retire()
		l.autoRestart()
		l.begin()
		l.fill()
	}
	if end.stopping { // one of those steps may have begun it
		if end.why == toAbort {
			l.abort() // first, as workers that serve get another signal
		}
		l.signalAll(end.why, end.signal)
	}
	l.abort()
	l.release()
	l.kill()
	l.killLeftovers()
	l.publish()
	l.sendAnswers()
	l.tellResizes()
	l.sayRest()
	l.timer.Stop()
	if !l.alarm.IsZero() {
		l.timer.Reset(l.alarm.Sub(l.now))
	}
}

// due reports whether t has come, and if not has settle run at t.
func (l *loop) due(t time.Time) bool {
	if !t.After(l.now) {
		return true
	}
	if l.alarm.IsZero() || t.Before(l.alarm) {
		l.alarm = t
	}
	return false
}

// grow gives the starting and the live generation as many slots as there are to
// be workers.
func (l *loop) grow() {
	for _, g := range []*generation{l.starting, l.live} {
		for g != nil && len(g.slots) < l.sizes.size {
			g.slots = append(g.slots, nil)
		}
	}
}

// prove marks the workers that have proved themselves, and gives up those that have
// not in time.
func (l *loop) prove() {
	heirs := &generation{slots: []*worker{l.renewal.heir}}
	for _, g := range []*generation{l.starting, l.live, heirs} {
		for w := range g.workers() {
			if w.slot >= l.sizes.size || w.process == nil || w.proven || w.told&toAbort != 0 {
				continue
			}
			switch {
			case l.hasProved(w):
				w.proven, w.after = true, l.now.Sub(w.began)
				w.hearing, w.heard = false, false
				l.slots[w.slot].failures = 0
				l.tell(Proven{w.id(), w.after, l.Proof.notice || l.Proof.probe})
			case l.isLate(w):
				l.late(w)
			}
			if w.role == failed {
				break // its whole generation has failed
			}
		}
	}
}

// hasProved asks the process, too: its exit may be on its way.
func (l *loop) hasProved(w *worker) bool {
	if l.Proof.probe {
		return l.passes(w)
	}
	if l.Proof.notice {
		return w.ready && !w.process.Ended()
	}
	return l.due(w.began.Add(l.Proof.time)) && !w.process.Ended()
}

// isLate tells whether the time of a worker is over. It first has all read that the worker
// has said: a superdaemon that was paused finds the time over and a notice, which came in
// time, unread.
func (l *loop) isLate(w *worker) bool {
	switch {
	case l.Proof.probe:
		return w.unfit != "" || w.probing && !w.ready && l.due(w.askedAt.Add(l.Proof.time+probeGrace))
	case !l.Proof.notice || w.ready || !l.due(w.began.Add(l.Proof.time)):
		return false
	case l.CatchUp == nil || w.heard:
		return true
	}
	l.hear(w)
	return false
}

// late gives up a worker that is not ready in time: with its generation, or
// alone if that is live.
func (l *loop) late(w *worker) {
	why := Failure{Worker: w.id(), Lived: l.now.Sub(w.began), Said: w.said, Late: true, Probe: w.unfit}
	if w.role == starting {
		l.attemptFailed(why)
		return
	}
	w.endProbe()
	if w.role == heir {
		l.heirGone(w, why)
		l.leaves(w, failed)
		return
	}
	l.resizeFailed(w, why)
	l.tell(NotReady{why, l.AbortSignal})
	l.signalOnce(w, toAbort, l.AbortSignal)
}

// rolling tells whether the starting generation takes over slot by slot.
func (l *loop) rolling() bool {
	return l.Replace.surge > 0 && l.starting != nil && l.starting.begun && l.live != nil
}

// promote makes the starting generation the live one when all its workers are proven
// or, with FirstServes, when one is and there is nothing to replace.
func (l *loop) promote() {
	if l.starting == nil {
		return
	}
	rolled := l.rolling()
	if rolled {
		l.takeOver()
	}
	size := l.sizes.size
	switch first := l.FirstServes && l.live == nil && len(l.old()) == 0 && l.starting.anyProven(); {
	case rolled && !l.live.whole(size, l.starting.number), !rolled && !first && !l.starting.whole(size, 0):
		return
	case rolled:
		for w := range l.starting.workers() { // they are in excess: all others have taken over
			l.leaves(w, excess)
		}
	case l.Traffic != nil && !first && !l.starting.intact(size) || l.onTrial() || l.starting == nil:
		return
	default:
		if err := l.switchOver(); err != nil {
			l.attemptFailed(Failure{Worker: Worker{Generation: l.starting.number}, Err: err})
			return
		}
		for w := range l.live.workers() {
			l.leaves(w, retired)
		}
		l.live = l.starting
		for w := range l.live.workers() {
			w.role, w.serves = live, true
		}
	}
	l.wentLive(rolled)
}

// wentLive closes the attempt that has succeeded.
func (l *loop) wentLive(rolled bool) {
	g := l.starting
	l.starting, l.restedAt, l.failure = nil, l.now, nil
	l.attempts.failures = 0
	if g.number > 1 {
		l.restarts++
	}
	for _, w := range l.leaving {
		switch {
		case w.role == retired && w.retireAt.IsZero():
			w.retireAt = l.now.Add(l.settings.KillOldDelay)
		case w.role == excess && w.number == g.number:
			w.serves = true
		}
	}
	event := WentLive{
		Generation: g.number, Asked: g.asked, Rolled: rolled, Due: l.wanted,
		Old: l.old(), Signal: l.RetireSignal, Delay: l.settings.KillOldDelay,
	}
	if l.standby != nil && l.KeepOld > 0 {
		event.Delay, event.Standby = l.standbyEnds.Sub(l.now), true
	}
	if l.Replace.stay {
		event.Signal = nil
	}
	if l.wanted {
		l.progressed(0)
	}
	l.tell(event)
	l.answer(g.waiting, Outcome{Generation: g.number})
}

// takeOver moves the workers of the starting generation that are proven into
// the live one, in the place of the old ones there.
func (l *loop) takeOver() {
	for w := range l.starting.workers() {
		if w.slot >= l.sizes.size || !w.proven {
			continue
		}
		took := TookOver{Worker: w.id(), Signal: l.RetireSignal, Delay: l.settings.KillOldDelay}
		if old := l.live.slots[w.slot]; old != nil {
			took.Old = old.id()
			l.leaves(old, retired)
			old.retireAt = l.now.Add(took.Delay)
		}
		l.starting.slots[w.slot], l.live.slots[w.slot] = nil, w
		w.role, w.serves = live, true
		l.live.number = w.number
		l.progressed(took.Delay)
		l.tell(took)
	}
}

// old are the retired workers that were not told to go yet.
func (l *loop) old() []Worker { return list(l.workers(), (*worker).waits) }

// autoRestart asks for a restart when the last one was Settings.AutoRestart ago and
// old workers are gone. After twice that time it asks even if they are not.
func (l *loop) autoRestart() {
	after := l.settings.AutoRestart
	if after <= 0 || l.live == nil || l.starting != nil || l.wanted || l.ending.later != nil {
		return
	}
	forced := l.due(l.restedAt.Add(2 * after))
	if !forced && (!l.due(l.restedAt.Add(after)) || len(l.leaving) > 0) {
		return
	}
	l.tell(AutoRestart{after, forced})
	l.wanted, l.asked = true, true
}

// publish tells the observers which workers serve, when that has changed.
func (l *loop) publish() {
	serving := list(l.workers(), func(w *worker) bool { return w.serves })
	if !slices.Equal(serving, l.serving) {
		l.serving = serving
		l.tell(Serving{serving})
	}
}

// those are the leaving workers in a role.
func (l *loop) those(as role) iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		for _, w := range l.leaving {
			if w.role == as && !yield(w) {
				return
			}
		}
	}
}
