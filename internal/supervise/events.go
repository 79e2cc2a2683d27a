package supervise

import (
	"cmp"
	"fmt"
	"os"
	"time"
)

// Event is something the loop did or saw. Observers switch on its type.
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
	// AutoRestart is the clock asking.
	AutoRestart struct {
		After  time.Duration
		Forced bool // although old workers are still there
	}
	// Started is a new worker process, not yet proven.
	Started struct {
		Worker
		Refill bool // in the place of one that died, or of none; not of a starting generation
	}
	// Proven is a worker that has proved itself.
	Proven struct {
		Worker
		After time.Duration
	}
	// Noticed is a worker's STATUS line.
	Noticed struct {
		Worker
		Status string
	}
	// StrangeNotice came from a process that is not a worker's, and was
	// ignored. There is one in a minute at most.
	StrangeNotice struct {
		Pid  int
		More int // others ignored since the last one
	}
	// NotReady is a worker of the live generation that was not ready in time,
	// and is told to go; the others serve on.
	NotReady struct{ Failure }
	// AttemptFailed tells that a starting generation is given up.
	AttemptFailed struct {
		Failure
		Pause time.Duration // until the next attempt; negative: there is none
		// Decided tells that whoever waits for a restart has the answer by
		// this: no other restart was asked for since the attempt began, and
		// where attempts are bounded it was the last.
		Decided bool
	}
	// GaveUp follows the last AttemptFailed when attempts are bounded.
	GaveUp struct {
		Failure  // of the last attempt
		Attempts int
		Serving  bool // older workers serve on
		Replaced int  // workers that took over from an old one before that
	}
	// TookOver tells that a worker of a starting generation serves in the
	// place of an old one.
	TookOver struct {
		Worker
		Old   Worker        // Pid is 0 if there was none
		Delay time.Duration // until the old one is told to go
	}
	// WentLive tells that all workers of a generation are proven.
	WentLive struct {
		Generation int
		Asked      bool // by a restart; false at the start and after a crash
		Rolled     bool // its workers took over one by one
		Old        []Worker
		Delay      time.Duration // until the old ones are told to go
	}
	// Retiring is the moment at which old workers are told to go.
	Retiring struct {
		Workers []Worker
		Signal  os.Signal
	}
	// Died is a worker gone.
	Died struct {
		Worker
		Status int   // raw wait status
		State  State // of its generation
		Proven bool  // it had proved itself
		Heir   bool  // a newer generation is starting already
		Stop   bool  // all workers were told to stop
		Excess bool  // it was one too many since the number of workers shrank
	}
	// RefillFailed tells that a worker of the live generation that was to take
	// the place of one that died could not be started, or has not proved itself;
	// the others serve on.
	RefillFailed struct {
		Failure
		Pause time.Duration // until the next try
	}
	// Resized tells that another number of workers is wanted.
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
	// StopAsked comes with every request to stop. A repeated one changes
	// nothing.
	StopAsked struct {
		Cause    string
		Signal   os.Signal
		Repeated bool
		Workers  []Worker
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

// Failure is why an attempt to start a worker failed. As an error it is the
// answer to the restart that asked for it.
type Failure struct {
	Worker     // Pid is 0 if the process could not be started at all
	Status int // raw wait status, if it has ended
	Lived  time.Duration
	Said   string // its last STATUS line
	Late   bool   // it is still there, but was not ready in time
	Last   bool   // it was not new: it is the last one that ended, and none replaces it
	Err    error  // why the process could not be started
}

func (f *Failure) Error() string {
	var text string
	switch {
	case f.Err != nil:
		return fmt.Sprintf("generation %d could not be started: %v", f.Generation, f.Err)
	case f.Late:
		text = fmt.Sprintf("new worker %d of generation %d was not ready after %v", f.Pid, f.Generation, f.Lived.Round(time.Millisecond))
	case f.Last:
		text = fmt.Sprintf("worker %d of generation %d was the last, and ended after %v: %s",
			f.Pid, f.Generation, f.Lived.Round(time.Millisecond), DescribeStatus(f.Status))
	default:
		text = fmt.Sprintf("new worker %d of generation %d failed after %v: %s",
			f.Pid, f.Generation, f.Lived.Round(time.Millisecond), DescribeStatus(f.Status))
	}
	if f.Said != "" {
		text += fmt.Sprintf("; its last status: %q", f.Said)
	}
	return text
}

func (f *Failure) Unwrap() error { return f.Err }

// ExitCode is what a shell makes of how the worker ended: its exit code, or 128
// plus the signal that has killed it; 1 if it never came to be, or is still there.
func (f *Failure) ExitCode() int {
	switch sig := f.Status & 0x7f; {
	case f.Err != nil || f.Late:
		return 1
	case sig != 0:
		return 128 + sig
	}
	return f.Status >> 8
}

// DescribeStatus puts a raw wait status into words, as wait(2) lays it out.
func DescribeStatus(status int) string {
	if sig := status & 0x7f; sig != 0 {
		return fmt.Sprintf("killed by signal %d", sig)
	}
	return fmt.Sprintf("exit code %d", status>>8)
}
