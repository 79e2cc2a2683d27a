package supervise

import (
	"cmp"
	"context"
	"os"
	"slices"
	"time"
)

// loop is all state there is. Only the goroutine in run touches it.
//
// At most one generation starts and at most one is live; any number of others
// are on their way out. What an event does depends on which of three states
// the loop is in: none starting, one starting (its pause before the next
// attempt included), or stopping.
//
//	event                | none starting          | one starting             | stopping
//	---------------------+------------------------+--------------------------+-----------------
//	restart asked        | begin generation n+1   | wanted: one more, when   | refuse
//	(HUP, client, clock) |                        | this one is decided; a   |
//	                     |                        | grown pause is cut short |
//	starting worker gone | -                      | failed: end siblings,    | count it
//	                     |                        | pause, begin n+1; out of |
//	                     |                        | attempts: the live one   |
//	                     |                        | stays, or stop with an   |
//	                     |                        | error if there is none   |
//	all starting proven  | -                      | live; the old live one   | -
//	                     |                        | retires                  |
//	live worker gone     | others left: refill    | the same, but no second  | count it
//	                     | the slot; none left:   | one begins               |
//	                     | begin n+1, and keep    |                          |
//	                     | whom retire has not    |                          |
//	                     | reached until it is    |                          |
//	                     | live                   |                          |
//	retired worker gone  | drop it                | drop it                  | count it
//	kill timeout         | KILL who was told to go| the same                 | the same
//	stop asked           | tell all, wait for all | the same                 | log only
//
// Messages change what is wanted (this file). settle then does whatever the
// state and the clock now call for (settle.go).
type loop struct {
	Config
	mail  chan message
	done  chan struct{}
	timer *time.Timer

	now      time.Time // of the message or alarm being handled
	alarm    time.Time // when settle has to look again; zero: at the next message
	settings Settings

	number   int            // of the newest generation
	starting *generation    // nil: none, or pausing before the next attempt
	live     *generation    // nil: none
	leaving  []*generation  // Retired and Failed ones with workers left, oldest first
	wanted   bool           // another generation is to begin
	asked    bool           // a restart asked for it
	waiting  []chan<- error // who is told how it went
	attempts pace           // of generations
	refills  []pace         // of each slot of the live generation
	restedAt time.Time      // the last success, or when the last restart was given up
	pending  int            // spawns and processes not yet over
	serving  []Worker       // as last told to the observer

	stopping   bool
	stopWhy    purpose
	stopSignal os.Signal
	err        error // what Run returns
}

func newLoop(s *Supervisor) *loop {
	return &loop{
		Config:  s.config,
		mail:    s.mail,
		done:    s.done,
		wanted:  true,
		refills: make([]pace, s.config.Workers),
	}
}

func (l *loop) run(ctx context.Context, stopSignal os.Signal) error {
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	cancelled := ctx.Done()
	if ctx.Err() != nil {
		l.stop(toStop, stopSignal) // before anything was started
	}
	for !l.stopping || l.pending > 0 {
		select {
		case m := <-l.mail:
			l.handle(m)
		case <-cancelled:
			cancelled = nil
			l.handle(stopAsked{context.Cause(ctx).Error(), stopSignal})
		case <-l.timer.C:
		}
		l.drain()
		l.settle()
	}
	return l.err
}

// drain handles the messages that are there, and waits for none: settle must
// not let the clock prove a worker whose exit is already in the mail.
func (l *loop) drain() {
	for {
		select {
		case m := <-l.mail:
			l.handle(m)
		default:
			return
		}
	}
}

func (l *loop) handle(m message) {
	l.now = time.Now()
	switch m := m.(type) {
	case restartAsked:
		l.onRestart(m)
	case stopAsked:
		l.onStop(m)
	case spawned:
		l.onSpawned(m)
	case exited:
		l.onExit(m)
	}
}

func (l *loop) onRestart(m restartAsked) {
	if l.stopping {
		m.reply <- ErrStopping
		l.Observe(RestartRefused{m.cause})
		return
	}
	l.Observe(RestartAsked{Cause: m.cause, Pending: l.starting != nil || l.wanted})
	l.wanted, l.asked = true, true
	l.waiting = append(l.waiting, m.reply)
	l.attempts.failures = 0
}

func (l *loop) onStop(m stopAsked) {
	l.Observe(StopAsked{m.cause, m.signal, l.stopping, l.workers()})
	if !l.stopping {
		l.stop(toStop, m.signal)
	}
}

// stop makes settle tell everybody to go, and nobody come.
func (l *loop) stop(why purpose, sig os.Signal) {
	l.stopping, l.stopWhy, l.stopSignal, l.wanted = true, why, sig, false
	l.tell(l.waiting, ErrStopping)
	if l.starting != nil {
		l.tell(l.starting.waiting, ErrStopping)
	}
}

func (l *loop) onSpawned(m spawned) {
	w := m.worker
	if m.err != nil {
		l.gone(w, Failure{Worker: w.id(), Err: m.err})
		return
	}
	w.process, w.began = m.process, l.now
	l.settings = m.settings
	l.Observe(Started{w.id()})
	go func() { l.mail <- exited{w, w.process.Wait()} }()
}

func (l *loop) onExit(m exited) {
	w := m.worker
	if w.generation.state != Starting || l.stopping {
		l.Observe(Died{
			Worker: w.id(), Status: m.status, State: w.generation.state,
			Proven: w.proven, Heir: l.starting != nil, Stop: l.stopping,
		})
	}
	l.gone(w, Failure{Worker: w.id(), Status: m.status, Lived: l.now.Sub(w.began)})
}

// gone takes a worker that ended, or never came to be, out of its generation.
func (l *loop) gone(w *worker, why Failure) {
	g := w.generation
	g.slots[w.slot] = nil
	l.pending--
	switch {
	case l.stopping:
	case g == l.starting:
		l.attemptFailed(why)
	case g == l.live:
		l.liveWorkerGone(w, why)
	}
	if g.empty() {
		l.leaving = slices.DeleteFunc(l.leaving, func(o *generation) bool { return o == g })
	}
}

// attemptFailed gives the starting generation up, and asks for the next one
// unless it was the last attempt.
func (l *loop) attemptFailed(why Failure) {
	g := l.starting
	l.starting = nil
	g.state = Failed
	l.leaving = append(l.leaving, g)

	first := l.number == 1 && why.Err != nil // nothing to retry: it never could be started
	decided := !l.wanted
	if decided {
		l.attempts.failures++
	}
	last := decided && l.Attempts > 0 && l.attempts.failures >= l.Attempts
	failed := AttemptFailed{Failure: why, Pause: -1, Decided: decided}
	if !first && !last {
		l.wanted, l.asked = true, l.asked || g.asked
		failed.Pause = max(0, l.attempts.next(l.Interval).Sub(l.now))
	}
	l.Observe(failed)
	if l.Attempts > 0 && l.wanted {
		l.waiting = append(l.waiting, g.waiting...) // bounded: the last one decides
	} else {
		l.tell(g.waiting, &why)
	}
	switch {
	case first:
		l.err = &why
		l.stop(toAbort, l.AbortSignal)
	case last:
		l.giveUp(why)
	}
}

// giveUp leaves the workers that serve alone, or stops if there are none.
func (l *loop) giveUp(why Failure) {
	serving := l.live != nil || len(l.unsignalled(l.leaving)) > 0
	l.Observe(GaveUp{Attempts: l.attempts.failures, Serving: serving})
	l.attempts.failures, l.restedAt = 0, l.now
	if !serving {
		l.err = &why
		l.stop(toAbort, l.AbortSignal)
	}
}

// liveWorkerGone has a lone worker's place refilled by settle, and a whole
// generation's by a new generation.
func (l *loop) liveWorkerGone(w *worker, why Failure) {
	if !w.proven {
		l.refills[w.slot].failures++
	}
	if why.Err != nil {
		l.Observe(RefillFailed{why})
	}
	if !l.live.empty() {
		return
	}
	l.live = nil
	l.wanted = l.wanted || l.starting == nil
	for _, g := range l.leaving {
		g.retireAt = time.Time{}
	}
}

// tell answers everyone in waiting; nobody needs to read it.
func (l *loop) tell(waiting []chan<- error, err error) {
	for _, reply := range waiting {
		reply <- err
	}
}

// generations are all that have workers, oldest first.
func (l *loop) generations() []*generation {
	all := slices.Clone(l.leaving)
	for _, g := range []*generation{l.live, l.starting} {
		if g != nil {
			all = append(all, g)
		}
	}
	slices.SortFunc(all, func(a, b *generation) int { return cmp.Compare(a.number, b.number) })
	return all
}

// workers are all processes, oldest generation first.
func (l *loop) workers() []Worker {
	return list(l.generations(), func(*worker) bool { return true })
}

// list names the running workers of gs that match.
func list(gs []*generation, match func(*worker) bool) []Worker {
	var found []Worker
	for _, g := range gs {
		for _, w := range g.slots {
			if w != nil && w.process != nil && match(w) {
				found = append(found, w.id())
			}
		}
	}
	return found
}
