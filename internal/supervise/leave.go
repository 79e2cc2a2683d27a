package supervise

import (
	"cmp"
	"os"
	"time"
)

// This file is how workers are told to go.

// retire tells old workers to go, as long as the live generation is whole: were one
// of its workers gone, an old one may be all that serves.
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

// signalFor is what tells an old worker to go. One that hangs may not heed the usual signal, and
// one that is not proven may not understand it yet, or never.
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
		why |= toAbort // it may have been late, and told so
	}
	l.signalOnce(w, why, l.signalFor(w))
	if w.health.hung && w.killAt.IsZero() {
		w.killAt = l.now.Add(hungKill)
	}
}

// shrink tells the workers to go that are more than there are to be: those of
// the live generation as soon as the others are whole, for the reason that
// retire has.
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
	// One that is not proven may not understand the signal yet, or never.
	l.sendAway(true, toRetire, l.RetireSignal)
	l.sendAway(false, toAbort, l.AbortSignal)
}

// sendAway tells the workers in excess to go that are proven, or those that are not.
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

// abort tells what is left of failed generations to go; those that are proven by
// RetireSignal, as they serve.
func (l *loop) abort() {
	for w := range l.those(failed) {
		switch {
		case w.process == nil || l.waitsForQueue(w):
		case !w.proven:
			l.signalOnce(w, toAbort, l.AbortSignal)
		case w.told&(toRetire|toStop) == 0: // or it has been told already
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

// signalOnce signals a worker unless it was for this purpose, and has it killed
// if it stays.
func (l *loop) signalOnce(w *worker, why purpose, sig os.Signal) {
	if sig == os.Kill {
		why |= toKill // which the clock may have done already
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

// untilKilled is how long it takes until KILL was sent to all workers; 0: for ever.
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

// tellToGo sends a signal to a worker that is to go, or to its whole group.
func (l *loop) tellToGo(w *worker, sig os.Signal) {
	if l.SignalGroup == nil {
		l.signal(w, sig)
		return
	}
	if err := l.SignalGroup(w.process, sig); err != nil {
		l.tell(SignalFailed{w.id(), sig, err})
	}
}

// signal sends a worker a signal.
func (l *loop) signal(w *worker, sig os.Signal) {
	if err := w.process.Signal(sig); err != nil {
		l.tell(SignalFailed{w.id(), sig, err})
	}
}
