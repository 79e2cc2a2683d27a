package supervise

import (
	"errors"
	"fmt"
	"slices"
)

// step is a change of the number of workers by one that is not done yet.
type step struct {
	slot   int  // that is to be filled, or emptied
	more   bool // filled
	worker Worker
	reply  chan<- Step
}

// onStep changes the number of workers by one.
func (l *loop) onStep(m stepAsked) {
	s := step{slot: l.target, more: m.more, reply: m.reply}
	by := 1
	if !m.more {
		s.slot--
		by = -1
	}
	switch {
	case l.stopping:
		m.reply <- Step{Err: ErrStopping}
		l.Observe(Refused{m.cause})
		return
	case m.more && l.NoRefill:
		m.reply <- Step{Err: errors.New("no worker is started beside those that there are, but by a restart")}
		return
	case m.more && l.target == MaxWorkers:
		m.reply <- Step{Err: fmt.Errorf("there are %d workers, and more there cannot be", MaxWorkers)}
		return
	case !m.more && l.target == 1:
		m.reply <- Step{Err: errors.New("there is one worker, and one there has to be")}
		return
	}
	if w := l.inSlot(s.slot); w != nil && w.process != nil {
		s.worker = w.id()
	}
	l.steps = append(l.steps, s)
	l.onResize(resizeAsked{cause: m.cause, by: by, reply: make(chan error, 1)})
}

// inSlot is a worker of the live generation, or of the starting one, that has been
// started for a slot and is there; nil if none is.
func (l *loop) inSlot(slot int) *worker {
	for _, g := range []*generation{l.live, l.starting} {
		if g == nil {
			continue
		}
		for w := range g.workers() {
			if w.slot == slot {
				return w
			}
		}
	}
	return nil
}

// tellSteps answers those who wait for a step that is done.
func (l *loop) tellSteps() {
	l.steps = slices.DeleteFunc(l.steps, func(s step) bool {
		how := Step{Worker: s.worker, Workers: l.target}
		switch {
		case s.more != (s.slot < l.target):
			how.Err = fmt.Errorf("somebody else has changed the number of workers to %d meanwhile", l.target)
		case !s.more && l.inSlot(s.slot) != nil:
			return false
		case s.more:
			if l.live == nil || s.slot >= len(l.live.slots) {
				return false
			}
			w := l.live.slots[s.slot]
			if w == nil || !w.proven {
				return false
			}
			how.Worker = w.id()
		}
		s.reply <- how
		return true
	})
}

// stepFailed answers those who wait for the worker that has failed.
func (l *loop) stepFailed(w *worker, why Failure) {
	l.steps = slices.DeleteFunc(l.steps, func(s step) bool {
		if !s.more || s.slot != w.slot {
			return false
		}
		s.reply <- Step{Worker: w.id(), Workers: l.target, Err: &why}
		return true
	})
}

// stepsEnd answers all who wait, as everything is to stop.
func (l *loop) stepsEnd() {
	for _, s := range l.steps {
		s.reply <- Step{Err: ErrStopping}
	}
	l.steps = nil
}
