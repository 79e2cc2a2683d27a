package supervise

import (
	"slices"
	"time"
)

// Phase is what the supervisor does, in a word.
type Phase string

const (
	PhaseStarting   Phase = "starting" // nothing is live
	PhaseServing    Phase = "serving"
	PhaseRefilling  Phase = "refilling" // the live generation lacks a worker
	PhaseRestarting Phase = "restarting"
	PhaseCanary     Phase = "canary"   // a new generation gets a share of the connections
	PhaseDraining   Phase = "draining" // workers are on their way out
	PhaseStopDelay  Phase = "stop delay"
	PhaseStopping   Phase = "stopping"
)

// WorkerState is what a worker does, in a word.
type WorkerState string

const (
	StateProving  WorkerState = "proving"
	StateLive     WorkerState = "live"
	StateCanary   WorkerState = "canary"   // proven, and gets a share of the connections
	StateStandby  WorkerState = "standby"  // replaced, without connections, and could be live again
	StateOld      WorkerState = "old"      // replaced, and not yet told to go
	StateDraining WorkerState = "draining" // told to go
	StateStopping WorkerState = "stopping" // as it says itself
	StateFailed   WorkerState = "failed"   // of an attempt that failed
	StateMissing  WorkerState = "missing"  // not started yet: it has no Pid
)

// Status is a picture of the supervisor at one moment.
type Status struct {
	Phase      Phase
	Began, Now time.Time      // the supervisor's start, and the moment
	StopAt     time.Time      // when the stop delay is over; zero: there is none
	Generation int            // the live one; 0: none
	Starting   int            // the one that is starting; 0: none
	Wanted     int            // workers in a generation
	Restarts   int            // generations that went live after the first attempt
	Workers    []WorkerStatus // in ascending order of generation and slot
	Failure    *FailureStatus // of the last attempt; nil: it did not fail
	Shares     []Share        // with Config.Traffic
}

// Share is what a generation gets of the connections.
type Share struct {
	Generation int
	Side       int
	Share      int       // of All; 0: it is proving itself, or stands by
	Until      time.Time // when its canary's step ends, or it stands by no longer; zero: there is no such time
	Given      int       // connections that a canary has got so far, at least
	CanGoBack  bool      // Rollback would give it all connections
}

// WorkerStatus is one worker.
type WorkerStatus struct {
	Worker
	State  WorkerState
	Began  time.Time
	After  time.Duration // from its start until it was proven; 0: it is not
	Said   string        // its last STATUS line
	Starts int           // of processes in its slot, this one included
	Ended  *Exit         // how the last process of its slot that ended did so; nil: none has
	Next   time.Time     // when a missing one is started; in the past: it is just being started
}

// Exit is how a process ended.
type Exit struct {
	Pid    int
	Status int // raw wait status
	At     time.Time
	Lived  time.Duration
}

// FailureStatus is an attempt to start a generation that failed.
type FailureStatus struct {
	Failure
	At      time.Time
	GivenUp bool // no other attempt was made
}

// tally copies no list: it is made after every message.
func (l *loop) tally() Tally {
	t := Tally{Deadline: l.deadline}
	if l.live != nil {
		t.Generation = l.live.number
	}
	if l.starting != nil {
		t.Starting = l.starting.number
	}
	for w := range l.workers() {
		switch {
		case w.process == nil || w.role == standby && !l.ending.stopping:
		case w.told != 0 && (l.ending.stopping || w.serves):
			t.Draining++
		case w.proven && w.serves:
			t.Serving++
		}
	}
	return t
}

func (l *loop) status() Status {
	s := Status{
		Phase: l.phase(), Began: l.began, Now: l.now,
		Wanted: l.sizes.target, Restarts: l.restarts, Failure: l.failure,
	}
	if l.ending.later != nil {
		s.StopAt = l.ending.at
	}
	if l.live != nil {
		s.Generation = l.live.number
	}
	if l.starting != nil {
		s.Starting = l.starting.number
	}
	for w := range l.workers() {
		if w.exists() {
			s.Workers = append(s.Workers, l.workerStatus(w))
		}
	}
	s.Workers = append(s.Workers, l.missing()...)
	s.Shares = l.shares()
	slices.SortFunc(s.Workers, func(a, b WorkerStatus) int { return a.compare(b.Worker) })
	return s
}

// missing are the workers that the live generation is short of.
func (l *loop) missing() []WorkerStatus {
	if l.live == nil || l.ending.stopping {
		return nil
	}
	var none []WorkerStatus
	for slot, record := range l.slots[:l.sizes.size] {
		w, next := l.live.in(slot), l.starting.in(slot)
		if w.exists() || next.exists() {
			continue
		}
		m := WorkerStatus{
			Worker: Worker{Generation: l.live.number, Slot: slot}, State: StateMissing, Starts: record.starts, Ended: record.ended,
		}
		if w == nil && next == nil { // otherwise it is being spawned
			m.Next = record.next(l.Interval)
		}
		none = append(none, m)
	}
	return none
}

// shares are those of the generations, the newest last.
func (l *loop) shares() []Share {
	if l.Traffic == nil {
		return nil
	}
	var all []Share
	for _, g := range []*generation{l.standby, l.live, l.starting} {
		if g == nil {
			continue
		}
		s := Share{Generation: g.number, Side: g.side, Share: l.share(g)}
		switch {
		case g == l.standby:
			s.Until, s.CanGoBack = l.standbyEnds, l.canGoBack()
		case g == l.starting && g.canary():
			s.Until, s.Given = g.stepEnds, l.given()
		}
		all = append(all, s)
	}
	return all
}

func (l *loop) phase() Phase {
	switch {
	case l.ending.stopping:
		return PhaseStopping
	case l.ending.later != nil:
		return PhaseStopDelay
	case l.live == nil:
		return PhaseStarting
	case l.starting.canary():
		return PhaseCanary
	case l.starting != nil || l.wanted:
		return PhaseRestarting
	case !l.live.whole(l.sizes.size, 0):
		return PhaseRefilling
	case len(l.leaving) > 0:
		return PhaseDraining
	}
	return PhaseServing
}

func (l *loop) workerStatus(w *worker) WorkerStatus {
	slot := l.slots[w.slot]
	state := w.state()
	if state == StateLive && w.role == starting && l.starting.canary() {
		state = StateCanary
	}
	return WorkerStatus{
		Worker: w.id(), State: state, Began: w.began, After: w.after, Said: w.said,
		Starts: slot.starts, Ended: slot.ended,
	}
}

func (w *worker) state() WorkerState {
	switch {
	case w.role == failed:
		return StateFailed
	case w.told != 0:
		return StateDraining
	case w.stopping:
		return StateStopping
	case w.role == standby:
		return StateStandby
	case w.role == retired:
		return StateOld
	case !w.proven:
		return StateProving
	}
	return StateLive
}
