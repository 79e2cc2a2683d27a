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
// are on their way out. It is rolling when Surge is set and there is a live
// generation to be replaced: the starting one then has a worker only in Surge
// slots at a time, which take over one by one. What an event does depends on which of three states
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
//	starting one is not  | -                      | as if it had gone        | -
//	ready in time        |                        |                          |
//	all starting proven  | -                      | live; the old live one   | -
//	                     |                        | retires                  |
//	one starting proven, | -                      | it takes its slot over;  | -
//	and rolling          |                        | the old one of it        |
//	                     |                        | retires                  |
//	live worker gone     | others left: refill    | the same, but no second  | count it
//	                     | the slot; none left:   | one begins               |
//	                     | begin n+1, and keep    |                          |
//	                     | whom retire has not    |                          |
//	                     | reached until it is    |                          |
//	                     | live                   |                          |
//	the same, rolling    | the same               | the starting generation  | the same
//	                     |                        | fills the slot           |
//	retired worker gone  | drop it                | drop it                  | count it
//	kill timeout         | KILL who was told to go| the same                 | the same
//	resize asked         | fill or empty slots of | the same for both        | refuse
//	                     | the live generation;   |                          |
//	                     | nobody is told to go   |                          |
//	                     | until the others are   |                          |
//	                     | whole, nor before      |                          |
//	                     | Steer, if there is one,|                          |
//	                     | has drained their slots|                          |
//	stop asked           | tell all, wait for all | the same                 | log only
//	stop asked, with a   | refuse restarts; stop  | the same                 | log only
//	delay                | when that is over      |                          |
//	signal passed on     | to all, and drop what  | the same                 | to all
//	                     | is wanted              |                          |
//
// With FirstServes a generation is live, if nothing serves, as soon as one of its
// workers is proven, and the others fill its slots.
//
// With NoRefill no slot of the live generation is refilled, and no generation begun
// but by a restart; when no worker is left it is over.
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

	began     time.Time
	number    int              // of the newest generation
	starting  *generation      // nil: none, or pausing before the next attempt
	live      *generation      // nil: none
	leaving   []*generation    // Retired and Failed ones with workers left, oldest first
	wanted    bool             // another generation is to begin
	asked     bool             // a restart asked for it
	waiting   []chan<- Outcome // who is told how it went
	steps     []step           // of whom somebody waits to hear
	attempts  pace             // of generations
	slots     []record         // by slot
	restedAt  time.Time        // the last success, or when the last restart was given up
	target    int              // how many workers there are to be
	steered   int              // in so many slots connections may wait
	steering  bool             // which is being changed
	pending   int              // spawns and processes not yet over
	early     []Notice         // of senders that may be workers whose spawn is in the mail
	strangeAt time.Time        // the last StrangeNotice
	strangers int              // notices ignored since
	serving   []Worker         // as last told to the observer
	restarts  int              // generations that went live after the first
	last      Failure          // how the worker ended that did so last; no Pid: none has
	failure   *FailureStatus   // of the last attempt that failed since the last success; nil: none

	stopLater  *stopAsked // a request to stop at stopAt; nil: none
	stopAt     time.Time
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
		began:   time.Now(),
		slots:   make([]record, s.config.Workers),
		target:  s.config.Workers,
		steered: s.config.Workers,
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
			l.handle(stopAsked{context.Cause(ctx).Error(), stopSignal, 0})
		case <-l.timer.C:
		}
		l.drain()
		l.settle()
		l.Settled(l.tally())
	}
	if l.NoRefill && l.err == nil && l.last.Status != 0 {
		l.last.Last = true
		return &l.last
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
	case resizeAsked:
		l.onResize(m)
	case stepAsked:
		l.onStep(m)
	case signalAsked:
		l.onSignal(m)
	case statusAsked:
		m.reply <- l.status()
	case Notice:
		l.onNotice(m)
	case spawned:
		l.onSpawned(m)
	case exited:
		l.onExit(m)
	case steered:
		l.steering, l.steered = false, m.slots
		l.resize()
	}
}

func (l *loop) onRestart(m restartAsked) {
	if l.stopping || l.stopLater != nil {
		m.reply <- Outcome{Err: ErrStopping}
		l.Observe(Refused{m.cause})
		return
	}
	l.Observe(RestartAsked{Cause: m.cause, Pending: l.starting != nil})
	l.wanted, l.asked = true, true
	l.waiting = append(l.waiting, m.reply)
	l.attempts.failures = 0
}

func (l *loop) onStop(m stopAsked) {
	switch {
	case l.stopping:
		l.Observe(StopAsked{m.cause, m.signal, true, l.workers()})
	case m.delay > 0 && l.stopLater != nil:
		l.Observe(StopDelayed{m.cause, l.stopAt.Sub(l.now), true})
	case m.delay > 0:
		l.Observe(StopDelayed{m.cause, m.delay, false})
		l.stopLater, l.stopAt = &m, l.now.Add(m.delay)
	default:
		l.Observe(StopAsked{m.cause, m.signal, false, l.workers()})
		l.stop(toStop, m.signal)
	}
}

func (l *loop) onResize(m resizeAsked) {
	if l.stopping {
		m.reply <- ErrStopping
		l.Observe(Refused{m.cause})
		return
	}
	m.reply <- nil
	wanted := m.to
	if wanted == 0 {
		wanted = l.target + m.by
	}
	l.target = min(max(1, wanted), MaxWorkers)
	l.resize()
	l.Observe(Resized{m.cause, l.target})
}

// resize makes the number of workers the one that is wanted; a smaller one only
// when the slots that are to go get no connections any more. Until then they are
// slots like the others, and refilled.
func (l *loop) resize() {
	l.Workers = l.target
	if l.Steer != nil {
		l.Workers = max(l.target, l.steered)
	}
	for len(l.slots) < l.Workers {
		l.slots = append(l.slots, record{})
	}
}

// onSignal passes a signal on. It is no purpose of ours, so it may come again.
func (l *loop) onSignal(m signalAsked) {
	var to []Worker
	for _, g := range l.generations() {
		for w := range g.workers() {
			switch {
			case m.slot >= 0 && w.slot != m.slot:
			case w.process != nil:
				to = append(to, w.id())
				l.signal(w, m.signal)
			case m.passed:
				w.missed = append(w.missed, m.signal)
			}
		}
	}
	l.Observe(Signalled{m.cause, m.signal, to})
	m.reply <- to
	if m.passed && !l.stopping {
		l.onPassed(m)
	}
}

// onPassed sees to it that whoever meant to end all by a signal does not get
// another worker.
func (l *loop) onPassed(m signalAsked) {
	if len(l.generations()) == 0 {
		l.stop(toStop, m.signal)
		return
	}
	l.wanted, l.asked = false, false
	l.tell(l.waiting, Outcome{Err: ErrStopping})
	l.waiting = nil
}

// stop makes settle tell everybody to go, and nobody come.
func (l *loop) stop(why purpose, sig os.Signal) {
	l.stopping, l.stopWhy, l.stopSignal, l.wanted = true, why, sig, false
	l.tell(l.waiting, Outcome{Err: ErrStopping})
	l.stepsEnd()
	if l.starting != nil {
		l.tell(l.starting.waiting, Outcome{Err: ErrStopping})
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
	l.Observe(Started{w.id(), w.generation.serves()})
	for _, sig := range w.missed {
		l.signal(w, sig)
	}
	w.missed = nil
	l.reconsider()
	go func() { l.mail <- exited{w, w.process.Wait()} }()
}

// reconsider looks again whose the early notices are.
func (l *loop) reconsider() {
	early := l.early
	l.early = nil
	for _, n := range early {
		l.onNotice(n)
	}
}

// onNotice finds whose notice it is: the nearest ancestor that is a worker.
func (l *loop) onNotice(n Notice) {
	for _, pid := range n.Pids {
		w := l.find(pid)
		if w == nil {
			continue
		}
		n.tell(true)
		w.ready, w.leaving = w.ready || n.Ready, w.leaving || n.Stopping
		if n.Status != nil {
			w.status = *n.Status
			l.Observe(Noticed{w.id(), w.status})
		}
		return
	}
	if l.spawning() && len(l.early) < maxEarly {
		l.early = append(l.early, n) // it may be of one whose pid is still in the mail
		return
	}
	n.tell(false)
	switch {
	case len(n.Pids) > 0 && l.now.Before(l.strangeAt.Add(strangePause)):
		l.strangers++
	case len(n.Pids) > 0:
		l.Observe(StrangeNotice{n.Pids[0], l.strangers})
		l.strangers, l.strangeAt = 0, l.now
	}
}

// tell tells whoever wants to know.
func (n Notice) tell(counts bool) {
	if n.counts != nil {
		n.counts <- counts
	}
}

// strangePause is the least time between two StrangeNotice: whoever is on the
// machine may send as many as he likes, and must not flood the log.
const strangePause = time.Minute

// maxEarly bounds how many notices are kept that came before their workers.
const maxEarly = 1000

// spawning tells that the pid of some worker is not known yet.
func (l *loop) spawning() bool {
	for _, g := range l.generations() {
		for w := range g.workers() {
			if w.process == nil {
				return true
			}
		}
	}
	return false
}

// find returns the worker of that pid, nil if there is none.
func (l *loop) find(pid int) *worker {
	for _, g := range l.generations() {
		for w := range g.workers() {
			if w.process != nil && w.process.Pid() == pid {
				return w
			}
		}
	}
	return nil
}

func (l *loop) onExit(m exited) {
	w := m.worker
	excess := l.inExcess(w)
	l.slots[w.slot].ended = &Exit{Pid: w.process.Pid(), Status: m.status, At: l.now, Lived: l.now.Sub(w.began)}
	if w.generation.state != Starting || l.stopping || excess {
		l.Observe(Died{
			Worker: w.id(), Status: m.status, State: w.generation.state, Proven: w.proven,
			Heir: l.starting != nil && w.number != l.starting.number, Stop: l.stopping, Excess: excess,
		})
	}
	l.gone(w, Failure{Worker: w.id(), Status: m.status, Lived: l.now.Sub(w.began), Said: w.status})
}

// inExcess tells that a worker is one too many, whether it knows it yet or not.
func (l *loop) inExcess(w *worker) bool {
	return w.slot >= l.Workers || !w.generation.holds(w)
}

// gone takes a worker that ended, or never came to be, out of its generation.
func (l *loop) gone(w *worker, why Failure) {
	g := w.generation
	excess := l.inExcess(w)
	g.remove(w)
	l.pending--
	switch {
	case l.stopping:
	case g == l.starting && !excess:
		l.attemptFailed(why)
	case g == l.live:
		l.liveWorkerGone(w, why, excess)
	}
	if why.Err == nil {
		l.last = why
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
	failed := AttemptFailed{Failure: why, Pause: -1, Decided: decided && (l.Attempts == 0 || last || first)}
	if !first && !last {
		l.wanted, l.asked = true, l.asked || g.asked
		failed.Pause = max(0, l.attempts.next(l.Interval).Sub(l.now))
	}
	l.failure = &FailureStatus{Failure: why, At: l.now}
	l.Observe(failed)
	if l.Attempts > 0 && l.wanted {
		l.waiting = append(l.waiting, g.waiting...) // bounded: the last one decides
	} else {
		l.tell(g.waiting, Outcome{Err: &why})
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
	gaveUp := GaveUp{Failure: why, Attempts: l.attempts.failures, Serving: serving}
	if l.live != nil && l.live.number == why.Generation {
		gaveUp.Replaced = len(list([]*generation{l.live}, func(w *worker) bool { return w.number == why.Generation }))
	}
	l.Observe(gaveUp)
	l.failure.GivenUp = true
	l.attempts.failures, l.restedAt = 0, l.now
	if !serving {
		l.err = &why
		l.stop(toAbort, l.AbortSignal)
	}
}

// liveWorkerGone has a lone worker's place refilled by settle, and a whole
// generation's by a new generation.
func (l *loop) liveWorkerGone(w *worker, why Failure, excess bool) {
	if l.NoRefill {
		if l.live.empty() {
			l.live = nil
		}
		return
	}
	if !w.proven && !excess {
		l.slots[w.slot].failures++
		l.stepFailed(w, why)
		l.Observe(RefillFailed{why, max(0, l.slots[w.slot].next(l.Interval).Sub(l.now))})
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
func (l *loop) tell(waiting []chan<- Outcome, how Outcome) {
	for _, reply := range waiting {
		reply <- how
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

// list names the running workers of gs that match, in ascending order of
// generation and slot.
func list(gs []*generation, match func(*worker) bool) []Worker {
	var found []Worker
	for _, g := range gs {
		for w := range g.workers() {
			if w.process != nil && match(w) {
				found = append(found, w.id())
			}
		}
	}
	slices.SortFunc(found, Worker.compare)
	return found
}
