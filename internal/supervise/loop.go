package supervise

import (
	"context"
	"iter"
	"os"
	"slices"
	"time"
)

// loop holds all state. Only the goroutine in run touches it.
//
// At most one generation starts and at most one is live; any number of workers
// are leaving. A restart rolls when Replace is Rolling and a generation is live: the
// starting one then has workers in only a few slots at a time, and they take over one
// by one. What an event does depends on the state of the loop, which is one of three:
// none starting, one starting (the pause before its next attempt included), or
// stopping.
//
//	event                | none starting          | one starting             | stopping
//	---------------------+------------------------+--------------------------+-----------------
//	restart asked        | begin generation n+1   | wanted: one more, when   | refuse
//	(HUP, client, clock) |                        | this one is decided; a   |
//	                     |                        | grown pause is cut short |
//	starting worker gone | -                      | failed: end siblings,    | count it
//	                     |                        | pause, begin n+1; out of |
//	                     |                        | attempts: the live one   |
//	                     |                        | stays; if there is none, |
//	                     |                        | old ones not yet told to |
//	                     |                        | go are live again; if    |
//	                     |                        | there are none, stop     |
//	                     |                        | with an error            |
//	starting one is not  | -                      | as if it had gone        | -
//	ready in time        |                        |                          |
//	all starting proven  | -                      | live; the old live one   | -
//	                     |                        | retires                  |
//	one starting proven, | -                      | it takes its slot over;  | -
//	and rolling          |                        | the old worker there     |
//	                     |                        | retires                  |
//	live worker gone     | others left: refill    | the same, but no second  | count it
//	                     | the slot; none left,   | one begins               |
//	                     | not counting those in  |                          |
//	                     | excess: begin n+1; old |                          |
//	                     | ones not yet told to   |                          |
//	                     | go stay until it is    |                          |
//	                     | live                   |                          |
//	the same, rolling    | the same               | the starting generation  | the same
//	                     |                        | fills the slot           |
//	retired worker gone  | drop it                | drop it                  | count it
//	kill timeout         | KILL what was told to  | the same                 | the same
//	                     | go                     |                          |
//	resize asked         | fill or empty slots of | the same for both        | refuse
//	                     | the live generation;   |                          |
//	                     | no worker is told to   |                          |
//	                     | go until the others    |                          |
//	                     | are whole, nor before  |                          |
//	                     | Steer, if there is one,|                          |
//	                     | has drained their slots|                          |
//	stop asked           | tell all, wait for all | the same                 | by a signal that is
//	                     |                        |                          | new: tell all;
//	                     |                        |                          | otherwise log only
//	stop asked, with a   | refuse restarts; stop  | the same                 | log only
//	delay                | when that is over      |                          |
//	freeze asked         | start nothing new;     | the same                 | refuse
//	                     | when no start is under |                          |
//	                     | way, hand all over     |                          |
//	signal passed on     | to all; drop a restart | the same                 | to all
//	                     | that waits             |                          |
//	a live worker hangs, | a successor in its slot| the successor is given   | -
//	is too large or old  | starts; when proven it | up, unless it is proven  |
//	                     | has the slot, and the  |                          |
//	                     | old one is told to go  |                          |
//
// With Traffic each generation has one of two sides of the sockets. A starting one is either
// proving, without connections, or a canary, with a share of them. The last live one is
// standby until it is told to go.
//
//	event                | proving                | canary                   | standby is there
//	---------------------+------------------------+--------------------------+-----------------
//	all starting proven  | canary, if there are   | -                        | it was told to go
//	                     | steps; else live       |                          | before: its side
//	                     |                        |                          | was needed
//	time is over         | failed: no client saw  | next step; after the     | its queue is
//	                     | it                     | last one live, and the   | empty: it is told
//	                     |                        | old one is standby       | to go
//	one of its workers   | failed                 | all connections to the   | it is told to go:
//	gone, unfit, or not  |                        | live one; failed, and    | no way back
//	passing a probe      |                        | no other attempt         |
//	live one gone        | its slots are refilled,| live at once             | live again
//	                     | as clients wait there  |                          |
//	rollback asked       | refuse                 | as if a worker had gone  | live again, the
//	                     |                        |                          | other one retires
//	promote asked        | refuse                 | live at once             | it is told to go
//	restart asked        | wanted                 | wanted                   | it is told to go;
//	                     |                        |                          | begin when its
//	                     |                        |                          | side is free
//
// With FirstServes a generation is live, if nothing serves, as soon as one of its
// workers is proven, and the others fill its slots.
//
// With Follow no slot of the live generation is refilled. Once a generation was live,
// only a restart begins another. When no worker is left the loop ends.
//
// Messages change what is wanted (request.go, resize.go, notice.go) or what is there
// (attempt.go). settle then does whatever the state and the clock now call for
// (settle.go, spawn.go, leave.go).
type loop struct {
	Config
	mail  chan message
	done  chan struct{}
	timer *time.Timer

	now      time.Time // of the message or alarm being handled
	alarm    time.Time // when settle has to look again; zero: at the next message
	deadline time.Time // see Tally
	settled  time.Time // when settle last ran
	settings Settings

	began       time.Time
	number      int         // of the newest generation
	starting    *generation // nil: none, or pausing before the next attempt
	live        *generation // nil: none
	standby     *generation // the last one, which could be live again; nil: none
	standbyEnds time.Time
	leaving     []*worker        // retired, failed, and in excess, in the order in which they became so
	wanted      bool             // another generation has to begin
	asked       bool             // a restart asked for it
	waiting     []chan<- Outcome // where the outcome of that is sent
	answers     []func()         // each sends an answer that is due
	attempts    pace             // of generations
	restedAt    time.Time        // when a restart last succeeded, was given up, or was rolled back
	serving     []Worker         // as last told to the observers
	pending     int              // begins, spawns and processes that are not over
	restarts    int              // generations that went live after the first
	last        Failure          // how the last worker that ended did so; no Pid: none has
	failure     *FailureStatus   // of the last attempt that failed since the last success; nil: none

	leftovers []*leftover
	groups    [2]int       // process groups that are looked for or waited for, by side
	looking   int          // calls of Leftovers under way
	freezing  *freezeAsked // nil: nobody has asked for it

	slots   []record // of each slot that there has been
	sizes   sizes
	sides   sides
	renewal renewal
	notices notices
	ending  ending
}

// ending is the stop that was asked for, or is under way.
type ending struct {
	later    *stopAsked // a stop that waits for the time at; nil: none
	at       time.Time
	stopping bool
	why      purpose
	signal   os.Signal
	asked    []os.Signal // the signals that were asked for; every worker gets each once
	err      error       // what Run returns
}

// clock is where the loop reads the time. Its tests have one whose wall clock jumps.
var clock = time.Now

func newLoop(s *Supervisor) *loop {
	l := &loop{
		Config: s.config,
		mail:   s.mail,
		done:   s.done,
		wanted: true,
		began:  clock(),
		slots:  make([]record, s.config.Workers),
		sizes:  newSizes(s.config.Workers),
	}
	l.now = l.began
	l.progressed(0)
	return l
}

func (l *loop) run(ctx context.Context, stopSignal os.Signal) error {
	l.timer = time.NewTimer(0)
	defer l.timer.Stop()
	defer l.countNoMore()
	cancelled := ctx.Done()
	if ctx.Err() != nil {
		l.stop(toStop, stopSignal) // before anything was started
	}
	for !l.ending.stopping || l.pending > 0 {
		select {
		case m := <-l.mail:
			l.handle(m)
		case <-cancelled:
		case <-l.timer.C:
		}
		l.drain()
		l.gather(cancelled)
		if cancelled != nil && ctx.Err() != nil { // before settle starts any more
			cancelled = nil
			l.handle(stopAsked{context.Cause(ctx).Error(), stopSignal, 0})
		}
		l.settle()
		l.freeze()
		l.tell(l.tally())
		l.settled = clock()
	}
	if l.Follow && l.ending.err == nil && l.last.Status != 0 {
		l.last.Last = true
		return &l.last
	}
	return l.ending.err
}

// settle takes longer with more workers, and a restart brings several messages from each. So
// with many workers the loop rests between two runs of settle.
const (
	many          = 100
	restPerWorker = 20 * time.Microsecond
	maxRest       = 20 * time.Millisecond
)

// rest is how long messages are gathered after settle has run.
func (l *loop) rest() time.Duration {
	if l.pending < many {
		return 0
	}
	return min(time.Duration(l.pending)*restPerWorker, maxRest)
}

// gather handles the messages that come until the loop has rested, or is cancelled.
func (l *loop) gather(cancelled <-chan struct{}) {
	rest := l.settled.Add(l.rest()).Sub(clock())
	if rest <= 0 {
		return
	}
	over := time.After(rest)
	for {
		select {
		case m := <-l.mail:
			l.handle(m)
		case <-cancelled:
			return
		case <-over:
			return
		}
	}
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
	l.now = clock()
	switch m := m.(type) {
	case restartAsked:
		l.onRestart(m)
	case stopAsked:
		l.onStop(m)
	case resizeAsked:
		l.onResize(m)
	case signalAsked:
		l.onSignal(m)
	case statusAsked: // after settle: the client may have heard of an event whose consequences are still to come
		l.answers = append(l.answers, func() { m.reply <- l.status() })
	case Notice:
		l.onNotice(m)
	case begun:
		l.onBegun(m)
	case spawned:
		l.onSpawned(m)
	case exited:
		l.onExit(m)
	case heard:
		m.worker.heard = m.worker.hearing // not if it has said meanwhile that it is alive, see saysAlive
	case steered:
		l.onSteered(m)
	case snapshotAsked:
		f, _ := l.frozen()
		m.reply <- f
	case freezeAsked:
		l.onFreeze(m)
	case left:
		l.onLeft(m)
	case cleared:
		l.onCleared(m)
	case rollbackAsked:
		l.onRollback(m)
	case promoteAsked:
		l.onPromote(m)
	case measured:
		l.onMeasured(m)
	case rivalsAsked:
		m.reply <- l.rivals(m.of)
	case probed:
		l.onProbed(m)
	case drained:
		l.onDrained(m)
	case emptied:
		l.onEmptied(m)
	case wake: // settle is all that is wanted
	}
}

// tell has the observers hear of an event.
func (l *loop) tell(e Event) {
	for _, o := range l.Observers {
		o.Hear(e)
	}
}

// answer has sendAnswers send how to everyone in waiting, when the observers have heard all
// that belongs to it. Nobody needs to read it.
func (l *loop) answer(waiting []chan<- Outcome, how Outcome) {
	for _, reply := range waiting {
		l.answers = append(l.answers, func() { reply <- how })
	}
}

// sendAnswers sends those that are due.
func (l *loop) sendAnswers() {
	for _, send := range l.answers {
		send()
	}
	l.answers = nil
}

// workers are all workers, also those being spawned.
func (l *loop) workers() iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		for _, w := range l.leaving {
			if !yield(w) {
				return
			}
		}
		if w := l.renewal.heir; w != nil && !yield(w) {
			return
		}
		for _, g := range []*generation{l.standby, l.live, l.starting} {
			for w := range g.workers() {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// list names the running workers that match, in ascending order of generation and
// slot.
func list(workers iter.Seq[*worker], match func(*worker) bool) []Worker {
	var found []Worker
	for w := range workers {
		if w.process != nil && match(w) {
			found = append(found, w.id())
		}
	}
	slices.SortFunc(found, Worker.compare)
	return found
}

// all names every running worker.
func (l *loop) all() []Worker { return list(l.workers(), func(*worker) bool { return true }) }
