package supervise

import (
	"cmp"
	"os"
	"time"
)

// Observer hears of what the loop does and sees, from the loop's own goroutine:
// it must not block.
type Observer interface {
	Hear(Event) // in order
}

// Event is something that the loop did or saw. Observers switch on its type. It
// states facts, so that no observer has to know the loop's options.
type Event interface{ event() }

// Worker names one process.
type Worker struct {
	Generation, Slot, Pid int
}

func (w Worker) compare(o Worker) int {
	return cmp.Or(cmp.Compare(w.Generation, o.Generation), cmp.Compare(w.Slot, o.Slot), cmp.Compare(w.Pid, o.Pid))
}

type (
	// RestartAsked comes with every request for a restart.
	RestartAsked struct {
		Cause   string
		Pending bool // it waits until the attempt under way is decided
	}
	// Refused is a request that came after one to stop.
	Refused struct{ Cause string }
	// AutoRestart is a restart that the clock asks for.
	AutoRestart struct {
		After  time.Duration
		Forced bool // although old workers are still there
	}
	// Started is a new worker process, not yet proven.
	Started struct {
		Worker
		Refill bool // it fills a slot of the live generation
		Heir   bool // it is to replace a live worker that still has the slot
	}
	// Proven is a worker that has proved itself.
	Proven struct {
		Worker
		After time.Duration // from its start
		Ready bool          // by a notice or a probe; otherwise by living so long
	}
	// Noticed is a worker's STATUS line.
	Noticed struct {
		Worker
		Status string
	}
	// StrangeNotice came from a process that is neither a worker nor a descendant
	// of one, and was ignored. There is one event a minute at most.
	StrangeNotice struct {
		Pid  int
		More int // others ignored since the last one
	}
	// NotReady is a worker of the live generation that was not ready in time,
	// and is told to go; the others serve on.
	NotReady struct {
		Failure
		Signal os.Signal
	}
	// AttemptFailed tells that a starting generation is given up.
	AttemptFailed struct {
		Failure
		Pause time.Duration // until the next attempt; negative: there is none
		Slow  bool          // the pause has grown, as attempts keep failing
		// Decided tells that this answers the requests for a restart: no other
		// restart was asked for since the attempt began and, if attempts are
		// bounded, it was the last.
		Decided bool
		// Hopeless tells that the very first generation could not be started: no
		// other attempt is made, and the supervisor ends.
		Hopeless bool
	}
	// GaveUp follows an AttemptFailed after which no other attempt is made: attempts
	// are bounded, or a canary has failed.
	GaveUp struct {
		Failure  // of the last attempt
		Attempts int
		Serving  bool // older workers serve on; otherwise the supervisor ends
		Replaced int  // workers of the attempt that have taken over from old ones
	}
	// TookOver tells that a worker of a starting generation serves in the
	// place of an old one.
	TookOver struct {
		Worker
		Old    Worker        // Pid is 0 if there was none
		Signal os.Signal     // that the old one is sent
		Delay  time.Duration // until then
	}
	// WentLive tells that a generation is live: all its workers are proven, or with
	// FirstServes one is.
	WentLive struct {
		Generation int
		Asked      bool // by a restart; false at the start and after a crash
		Rolled     bool // its workers took over one by one
		Old        []Worker
		Signal     os.Signal     // that the old ones are sent; nil: they stay
		Delay      time.Duration // until then
		Standby    bool          // until then they could be live again
		Due        bool          // another restart was asked for, and begins now
	}
	// Retiring is the moment at which old workers are told to go.
	Retiring struct {
		Workers []Worker
		Signal  os.Signal
	}
	// Died tells that a worker has ended. One that was starting, or a successor, has
	// this event only if it is in excess, or all workers were told to stop.
	Died struct {
		Worker
		Status   int           // raw wait status
		Lived    time.Duration // since its start
		Old      bool          // another one has its place or will have it, or it was one too many
		Replaced bool          // it served, and another one is started for it
		Stop     bool          // all workers were told to stop
		Signal   os.Signal     // by which it was told to go; nil: it was not
	}
	// RefillFailed tells that a worker of the live generation that was to take
	// the place of one that died could not be started, or has not proved itself;
	// the others serve on.
	RefillFailed struct {
		Failure
		Pause time.Duration // until the next try
		Slow  bool          // the pause has grown, as the slot keeps failing
	}
	// Resized tells that a number of workers was asked for.
	Resized struct {
		Cause   string
		Workers int
	}
	// Shrinking is the moment at which workers are told to go because there are
	// to be fewer.
	Shrinking struct {
		Workers []Worker
		Signal  os.Signal
	}
	// StopDelayed comes with every request to stop after a delay, in which the
	// workers serve on and no restart is accepted. A repeated one changes nothing:
	// Delay is then what is left of it.
	StopDelayed struct {
		Cause    string
		Delay    time.Duration
		Repeated bool
	}
	// StopAsked comes with every request to stop. A repeated one, with a signal that was
	// asked for before, changes nothing. Kill is then the time until all workers have
	// been sent KILL; 0: they are waited for without end.
	StopAsked struct {
		Cause    string
		Signal   os.Signal
		Repeated bool
		Workers  []Worker
		Kill     time.Duration
	}
	// Killed tells that a worker did not go in time and was sent KILL.
	Killed struct {
		Worker
		After time.Duration
	}
	// Signalled tells of a signal that was asked for.
	Signalled struct {
		Cause   string
		Signal  os.Signal
		Workers []Worker
	}
	// SignalFailed tells that a worker could not be sent a signal.
	SignalFailed struct {
		Worker
		Signal os.Signal
		Err    error
	}
	// Serving lists the live and the retiring workers in ascending order
	// of generation and slot, each time that the list has changed.
	Serving struct{ Workers []Worker }
)

func (RestartAsked) event()  {}
func (Refused) event()       {}
func (AutoRestart) event()   {}
func (Started) event()       {}
func (Proven) event()        {}
func (Noticed) event()       {}
func (StrangeNotice) event() {}
func (NotReady) event()      {}
func (AttemptFailed) event() {}
func (GaveUp) event()        {}
func (TookOver) event()      {}
func (WentLive) event()      {}
func (Retiring) event()      {}
func (Died) event()          {}
func (RefillFailed) event()  {}
func (Resized) event()       {}
func (Shrinking) event()     {}
func (StopDelayed) event()   {}
func (StopAsked) event()     {}
func (Killed) event()        {}
func (Signalled) event()     {}
func (SignalFailed) event()  {}
func (Serving) event()       {}
func (Tally) event()         {}

// Tally is the state of things in a few numbers. It comes each time that the loop has done
// all that messages or the clock called for, after the events of that.
type Tally struct {
	Generation int // the live one; 0: none
	Starting   int // the one that is starting; 0: none
	Serving    int // workers that have proved themselves and were not told to go
	Draining   int // workers that have served, and were told to go; in a stop, all that were
	// Deadline is the time by which something happens in the start, restart or stop
	// under way: the loop itself keeps that bound. Zero: there is no bound.
	Deadline time.Time
}
