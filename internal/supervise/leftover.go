package supervise

import (
	"cmp"
	"os"
	"slices"
	"time"
)

// This file is for processes that a worker has left behind.

// Leftovers are the processes of a group whose leader, a worker, has ended.
type Leftovers interface {
	Pids() []int            // as they were when Config.Leftovers returned
	Signal(os.Signal) error // to all of them. It is no error if they have ended meanwhile
	Wait()                  // blocks until none is there
}

type (
	// LeftBehind tells that a worker has ended and processes of its group have not.
	LeftBehind struct {
		Worker
		Pids   []int
		Signal os.Signal // the one that they are sent
		Told   bool      // they were sent it together with the worker
	}
	// LeftKilled tells that they did not go in time and were sent KILL.
	LeftKilled struct {
		Worker
		After time.Duration
	}
)

func (LeftBehind) event() {}
func (LeftKilled) event() {}

type (
	left struct { // the answer to Leftovers
		worker *worker
		group  Leftovers // nil: there are none
	}
	cleared struct{ left *leftover } // the answer to Leftovers.Wait
)

func (left) message()    {}
func (cleared) message() {}

// leftover is a group that is waited for: it is pending like a worker.
type leftover struct {
	of     Worker
	side   int // it may still have the sockets of this side
	group  Leftovers
	killAt time.Time // zero: it was killed
}

// lookForLeftovers looks for what a worker that has ended has left behind.
func (l *loop) lookForLeftovers(w *worker) {
	if l.Leftovers == nil {
		return
	}
	l.pending++
	l.groups[w.side]++
	l.looking++
	go func() { l.mail <- left{w, l.Leftovers(w.process)} }()
}

// onLeft tells what was left behind to go, by the signal that the worker got. Without
// KillTimeout it may stay for ever, so it is not waited for.
func (l *loop) onLeft(m left) {
	w := m.worker
	l.looking--
	if m.group == nil {
		l.pending--
		l.groups[w.side]--
		return
	}
	o := &leftover{of: w.id(), side: w.side, group: m.group}
	if w.told&toKill == 0 { // otherwise KILL has gone to the whole group
		sig, told := cmp.Or(w.sent, l.RetireSignal), l.SignalGroup != nil && w.sent != nil
		l.tell(LeftBehind{o.of, m.group.Pids(), sig, told})
		if !told {
			l.signalLeftover(o, sig)
		}
		if l.KillTimeout == 0 {
			l.pending--
			l.groups[w.side]--
			return
		}
		o.killAt = l.now.Add(l.KillTimeout)
		if told && !w.killAt.IsZero() {
			o.killAt = w.killAt
		}
		if l.ending.stopping && o.killAt.After(l.deadline) {
			l.deadline = o.killAt
		}
	}
	l.waitForLeftover(o)
}

// waitForLeftover sends a message to the loop when a group has ended.
func (l *loop) waitForLeftover(o *leftover) {
	l.leftovers = append(l.leftovers, o)
	go func() {
		o.group.Wait()
		l.mail <- cleared{o}
	}()
}

func (l *loop) onCleared(m cleared) {
	l.pending--
	l.groups[m.left.side]--
	l.leftovers = slices.DeleteFunc(l.leftovers, func(o *leftover) bool { return o == m.left })
}

// killLeftovers kills those whose time is over.
func (l *loop) killLeftovers() {
	for _, o := range l.leftovers {
		if !o.killAt.IsZero() && l.due(o.killAt) {
			o.killAt = time.Time{}
			l.tell(LeftKilled{o.of, l.KillTimeout})
			l.signalLeftover(o, os.Kill)
		}
	}
}

func (l *loop) signalLeftover(o *leftover, sig os.Signal) {
	if err := o.group.Signal(sig); err != nil {
		l.tell(SignalFailed{o.of, sig, err})
	}
}
