package supervise

import (
	"cmp"
	"os"
	"time"
)

// This file is how workers are told to go.

// retire tells old workers to go, but only while the live generation is whole: if one of
// its workers is gone, an old one may be all that serves. canDoWithout has an exception.
func (l *loop) retire() {
	if l.live == nil || l.Replace.stay {
		return
	}
	ripe := func(w *worker) bool {
		return w.waits() && !w.retireAt.IsZero() && l.due(w.retireAt) && !l.waitsForQueue(w)
	}
	if len(list(l.those(retired), ripe)) == 0 {
		return
	}
	free := [2]bool{l.canDoWithout(0), l.canDoWithout(1)}
	if !free[0] && !free[1] {
		return
	}
	for _, sig := range []os.Signal{l.HungSignal, l.RetireSignal, l.AbortSignal} {
		by := func(w *worker) bool { return free[w.side] && ripe(w) && l.signalFor(w) == sig }
		if going := list(l.those(retired), by); len(going) > 0 {
			l.tell(Retiring{going, sig})
		}
		for w := range l.those(retired) {
			if w.process != nil && by(w) {
				l.retireOne(w)
			}
		}
	}
}

// signalFor is the signal that tells an old worker to go. One that hangs may ignore the usual
// signal. One that is not proven may not understand it yet, or never.
func (l *loop) signalFor(w *worker) os.Signal {
	switch {
	case !w.proven:
		return l.AbortSignal
	case w.health.hung:
		return l.HungSignal
	}
	return l.RetireSignal
}

// retireOne tells an old worker to go.
func (l *loop) retireOne(w *worker) {
	why := toRetire
	if !w.proven {
		why |= toAbort // if it was late it has been told already
	}
	l.signalOnce(w, why, l.signalFor(w))
	if w.health.hung && w.killAt.IsZero() {
		w.killAt = l.now.Add(hungKill)
	}
}

// shrink tells workers in excess to go. Those of the live generation are told when
// the others are whole, for the same reason as in retire.
func (l *loop) shrink() {
	for _, g := range []*generation{l.starting, l.live} {
		if g == nil || len(g.slots) <= l.sizes.size || g == l.live && !g.intact(l.sizes.size) {
			continue
		}
		for w := range g.workers() {
			if w.slot >= l.sizes.size {
				l.leaves(w, excess)
			}
		}
		g.slots = g.slots[:l.sizes.size:l.sizes.size]
	}
	// A worker that is not proven may not understand the signal yet, or never.
	l.sendAway(true, toRetire, l.RetireSignal)
	l.sendAway(false, toAbort, l.AbortSignal)
}

// sendAway tells workers in excess to go: the proven ones, or those that are not.
func (l *loop) sendAway(proven bool, why purpose, sig os.Signal) {
	going := func(w *worker) bool { return w.proven == proven && w.told&(toRetire|toAbort) == 0 }
	if told := list(l.those(excess), going); len(told) > 0 {
		l.tell(Shrinking{told, sig})
	}
	for w := range l.those(excess) {
		if w.process != nil && going(w) {
			l.signalOnce(w, why, sig)
		}
	}
}

// abort tells what is left of failed generations to go. Proven workers get
// RetireSignal, as they serve.
func (l *loop) abort() {
	for w := range l.those(failed) {
		switch {
		case w.process == nil || l.waitsForQueue(w):
		case !w.proven:
			l.signalOnce(w, toAbort, l.AbortSignal)
		case w.told&(toRetire|toStop) == 0: // otherwise it was told already
			l.signalOnce(w, toAbort, l.RetireSignal)
		}
	}
}

// signalAll signals each worker that was not yet signalled for this purpose.
func (l *loop) signalAll(why purpose, sig os.Signal) {
	for w := range l.workers() {
		if w.process != nil {
			l.signalOnce(w, why, sig)
		}
	}
}

// signalOnce signals a worker, unless that was done for this purpose before, and has it
// killed if it stays.
func (l *loop) signalOnce(w *worker, why purpose, sig os.Signal) {
	if sig == os.Kill {
		why |= toKill // the clock may have killed it already
	}
	if w.told&why != 0 {
		w.told |= why
		return
	}
	w.told |= why
	w.sent = sig
	l.tellToGo(w, sig)
	if l.KillTimeout > 0 && w.killAt.IsZero() {
		w.killAt = l.now.Add(l.KillTimeout)
	}
}

// kill ends workers that were told to go and are still there.
func (l *loop) kill() {
	for w := range l.workers() {
		if w.killAt.IsZero() || w.told&toKill != 0 || !l.due(w.killAt) {
			continue
		}
		w.told |= toKill
		l.tell(Killed{w.id(), cmp.Or(l.KillTimeout, hungKill)})
		l.signal(w, os.Kill)
	}
}

// untilKilled is the time until KILL has been sent to all workers; 0: it never is.
func (l *loop) untilKilled() time.Duration {
	var last time.Time
	for w := range l.workers() {
		if w.killAt.After(last) {
			last = w.killAt
		}
	}
	if last.IsZero() {
		return 0
	}
	return max(last.Sub(l.now), time.Nanosecond)
}

// tellToGo sends a signal to a worker that has to go, or to its whole group.
func (l *loop) tellToGo(w *worker, sig os.Signal) {
	if l.SignalGroup == nil {
		l.signal(w, sig)
		return
	}
	if err := l.SignalGroup(w.process, sig); err != nil {
		l.tell(SignalFailed{w.id(), sig, err})
	}
}

// signal sends a signal to a worker alone.
func (l *loop) signal(w *worker, sig os.Signal) {
	if err := w.process.Signal(sig); err != nil {
		l.tell(SignalFailed{w.id(), sig, err})
	}
}
