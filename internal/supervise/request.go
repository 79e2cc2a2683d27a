package supervise

import (
	"os"
	"slices"
	"time"
)

// This file is what is asked of the loop.

func (l *loop) onRestart(m restartAsked) {
	if l.ending.stopping || l.ending.later != nil {
		if m.reply != nil {
			m.reply <- Outcome{Err: ErrStopping}
		}
		l.tell(Refused{m.cause})
		return
	}
	l.tell(RestartAsked{Cause: m.cause, Pending: l.starting != nil})
	l.wanted, l.asked = true, true
	if m.reply != nil {
		l.waiting = append(l.waiting, m.reply)
	}
	l.attempts.failures = 0
	l.progressed(0)
}

func (l *loop) onStop(m stopAsked) {
	end := &l.ending
	switch {
	case end.stopping && slices.Contains(end.asked, m.signal):
		l.tell(StopAsked{Cause: m.cause, Signal: m.signal, Repeated: true, Workers: l.all(), Kill: l.untilKilled()})
	case end.stopping: // the workers may not heed the first one
		l.tell(StopAsked{Cause: m.cause, Signal: m.signal, Workers: l.all()})
		end.why, end.signal, end.asked = toStop, m.signal, append(end.asked, m.signal)
		for w := range l.workers() {
			w.told &^= toStop
		}
	case m.delay > 0 && end.later != nil:
		l.tell(StopDelayed{m.cause, end.at.Sub(l.now), true})
	case m.delay > 0:
		l.tell(StopDelayed{m.cause, m.delay, false})
		end.later, end.at = &m, l.now.Add(m.delay)
		l.deadline = end.at.Add(l.KillTimeout)
	default:
		l.tell(StopAsked{Cause: m.cause, Signal: m.signal, Workers: l.all()})
		l.stop(toStop, m.signal)
	}
}

// stop makes settle tell every worker to go, and start none.
func (l *loop) stop(why purpose, sig os.Signal) {
	end := &l.ending
	end.stopping, end.why, end.signal, end.asked, l.wanted = true, why, sig, []os.Signal{sig}, false
	if l.Hurry != nil {
		l.Hurry()
	}
	l.answer(l.waiting, Outcome{Err: ErrStopping})
	l.resizesEnd()
	if l.starting != nil {
		l.answer(l.starting.waiting, Outcome{Err: ErrStopping})
	}
	if l.deadline = (time.Time{}); l.KillTimeout > 0 {
		l.deadline = l.now.Add(l.KillTimeout)
	}
}

// onSignal passes a signal on. The signal has no purpose of ours, so workers may get it again.
func (l *loop) onSignal(m signalAsked) {
	var to []Worker
	for w := range l.workers() {
		switch {
		case m.slot >= 0 && w.slot != m.slot:
		case w.process != nil:
			to = append(to, w.id())
			l.signal(w, m.signal)
		case m.passed:
			w.missed = adding(w.missed, m.signal)
		}
	}
	slices.SortFunc(to, Worker.compare)
	l.tell(Signalled{m.cause, m.signal, to})
	m.reply <- to
	if m.passed && !l.ending.stopping {
		l.onPassed(m)
	}
}

// adding adds a signal to those that wait, unless it waits already, as the kernel does.
func adding(waiting []os.Signal, sig os.Signal) []os.Signal {
	if slices.Contains(waiting, sig) {
		return waiting
	}
	return append(waiting, sig)
}

// onPassed is for a signal that may be meant to end everything. Workers that are spawned
// later get it, too, and no restart follows it.
func (l *loop) onPassed(m signalAsked) {
	if l.pending == 0 {
		l.stop(toStop, m.signal)
		return
	}
	if l.starting != nil {
		l.starting.missed = adding(l.starting.missed, m.signal)
	}
	l.wanted, l.asked = false, false
	l.answer(l.waiting, Outcome{Err: ErrStopping})
	l.waiting = nil
}
