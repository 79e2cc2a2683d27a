package supervise

import (
	"slices"
	"time"
)

// Status is a picture of the supervisor at one moment.
type Status struct {
	State      string         // starting, serving, refilling, restarting, draining, stop delay or stopping
	Began, Now time.Time      // the supervisor's start, and the moment
	StopAt     time.Time      // when the stop delay is over; zero: there is none
	Generation int            // the live one; 0: none
	Starting   int            // the one that is starting; 0: none
	Wanted     int            // workers in a generation
	Restarts   int            // generations that went live after the first attempt
	Workers    []WorkerStatus // in ascending order of generation and slot
	Failure    *FailureStatus // of the last attempt; nil: it did not fail
}

// WorkerStatus is one worker.
type WorkerStatus struct {
	Worker
	// State is proving, live, old (not yet told to go), draining, stopping (as it
	// says itself), failed, or missing: then it has no Pid, and is yet to be started.
	State  string
	Began  time.Time
	After  time.Duration // from its start until it was proven; 0: it is not
	Said   string        // its last STATUS line
	Starts int           // of processes in its slot, this one included
	Ended  *Exit         // the last process of its slot that did; nil: none has
	Next   time.Time     // when a missing one is started
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

// Tally is how many workers there are.
type Tally struct {
	Generation int // the live one; 0: none
	Starting   int // the one that is starting; 0: none
	Serving    int // workers that have proved themselves and were not told to go
	Draining   int // workers that have served, and were told to go; all there are when stopping
}

// tally copies no list: it is made after every message.
func (l *loop) tally() Tally {
	var t Tally
	count := func(g *generation) {
		for w := range g.workers() {
			switch {
			case w.process == nil:
			case w.told != 0 && (l.stopping || g.serves()):
				t.Draining++
			case w.proven && g.serves():
				t.Serving++
			}
		}
	}
	if l.live != nil {
		t.Generation = l.live.number
		count(l.live)
	}
	if l.starting != nil {
		t.Starting = l.starting.number
		count(l.starting)
	}
	for _, g := range l.leaving {
		count(g)
	}
	return t
}

func (l *loop) status() Status {
	s := Status{
		State: l.state(), Began: l.began, Now: l.now,
		Wanted: l.target, Restarts: l.restarts, Failure: l.failure,
	}
	if l.stopLater != nil {
		s.StopAt = l.stopAt
	}
	if l.live != nil {
		s.Generation = l.live.number
	}
	if l.starting != nil {
		s.Starting = l.starting.number
	}
	for _, g := range l.generations() {
		for w := range g.workers() {
			if w.process != nil {
				s.Workers = append(s.Workers, l.workerStatus(w))
			}
		}
	}
	s.Workers = append(s.Workers, l.missing()...)
	slices.SortFunc(s.Workers, func(a, b WorkerStatus) int { return a.compare(b.Worker) })
	return s
}

// missing are the workers that the live generation is short of.
func (l *loop) missing() []WorkerStatus {
	if l.live == nil || l.stopping {
		return nil
	}
	var none []WorkerStatus
	for slot, record := range l.slots[:l.Workers] {
		covered := l.starting != nil && slot < len(l.starting.slots) && l.starting.slots[slot] != nil
		if slot < len(l.live.slots) && l.live.slots[slot] == nil && !covered {
			none = append(none, WorkerStatus{
				Worker: Worker{Generation: l.live.number, Slot: slot}, State: "missing",
				Starts: record.starts, Ended: record.ended, Next: record.next(l.Interval),
			})
		}
	}
	return none
}

func (l *loop) state() string {
	switch {
	case l.stopping:
		return "stopping"
	case l.stopLater != nil:
		return "stop delay"
	case l.live == nil:
		return "starting"
	case l.starting != nil || l.wanted:
		return "restarting"
	case !l.live.whole(l.Workers):
		return "refilling"
	case len(l.leaving) > 0 || len(l.live.excess) > 0:
		return "draining"
	}
	return "serving"
}

func (l *loop) workerStatus(w *worker) WorkerStatus {
	slot := l.slots[w.slot]
	return WorkerStatus{
		Worker: w.id(), State: w.state(), Began: w.began, After: w.after, Said: w.status,
		Starts: slot.starts, Ended: slot.ended,
	}
}

func (w *worker) state() string {
	switch {
	case w.generation.state == Failed:
		return "failed"
	case w.told != 0:
		return "draining"
	case w.leaving:
		return "stopping"
	case w.generation.state == Retired:
		return "old"
	case !w.proven:
		return "proving"
	}
	return "live"
}
