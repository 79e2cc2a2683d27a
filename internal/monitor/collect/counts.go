package collect

import (
	"maps"
	"slices"
	"strings"
)

// Counts counts a superdaemon's events since the monitor first heard of it.
type Counts struct {
	Failures   map[string]uint64 // of attempts to start workers, by Reasons
	Exits      map[string]uint64 // of workers, by Exits
	Kills      uint64            // of workers that did not end in time
	Reconnects uint64
	Ready      Histogram // seconds from a worker's start until it had proven itself
}

// The classes of failures. ReasonOther is for what a newer superdaemon may say.
const (
	ReasonStart    = "start"       // no process could be started
	ReasonExit     = "exit"        // the worker ended by itself
	ReasonSignal   = "signal"      // the worker was killed by a signal
	ReasonLate     = "late"        // it was not ready in time
	ReasonProbe    = "probe"       // it did not pass its probe
	ReasonUnfit    = "unfit"       // it said that it is not fit to serve
	ReasonRollback = "rolled_back" // an operator asked for that
	ReasonRefill   = "refill"      // a worker of the live generation could not be replaced
	ReasonOther    = "other"
)

// Reasons are all classes of failures.
var Reasons = []string{ReasonStart, ReasonExit, ReasonSignal, ReasonLate, ReasonProbe, ReasonUnfit, ReasonRollback, ReasonRefill, ReasonOther}

// The ways in which a worker may end.
const (
	ExitZero    = "zero"    // exit code 0
	ExitNonzero = "nonzero" // another exit code
	ExitSignal  = "signal"
	ExitTold    = "told" // by a signal or with another exit code, after it was told to go
)

// Exits are all ways in which a worker may end.
var Exits = []string{ExitZero, ExitNonzero, ExitSignal, ExitTold}

// buckets are the upper bounds of Counts.Ready, in seconds: from a server that listens at
// once to one that loads for minutes.
var buckets = []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180}

// Histogram counts values in buckets.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64 // by bound, how many values are not above it
}

func newCounts() Counts {
	c := Counts{Failures: map[string]uint64{}, Exits: map[string]uint64{}, Ready: Histogram{Buckets: map[float64]uint64{}}}
	for _, reason := range Reasons {
		c.Failures[reason] = 0
	}
	for _, how := range Exits {
		c.Exits[how] = 0
	}
	for _, bound := range buckets {
		c.Ready.Buckets[bound] = 0
	}
	return c
}

// copied returns a copy that shares nothing with c.
func (c Counts) copied() Counts {
	c.Failures, c.Exits, c.Ready.Buckets = maps.Clone(c.Failures), maps.Clone(c.Exits), maps.Clone(c.Ready.Buckets)
	return c
}

func (h *Histogram) add(value float64) {
	h.Count++
	h.Sum += value
	for _, bound := range buckets {
		if value <= bound {
			h.Buckets[bound]++
		}
	}
}

func (c *Counts) hear(e Event) {
	switch e.Event {
	case "failed":
		c.Failures[reason(e.Reason)]++
	case "refill-failed":
		c.Failures[ReasonRefill]++
	case "proven":
		c.Ready.add(e.Seconds)
	case "killed":
		c.Kills++
	case "exited":
		if e.Status != nil {
			c.Exits[ended(*e.Status, e.Signal != "")]++
		}
	}
}

// ended returns how a process ended, from its raw status (wait(2)). told is for one that was told
// to go: many programs have no handler for TERM, or then exit with 143.
func ended(status int, told bool) string {
	switch {
	case told && status != 0:
		return ExitTold
	case status&0x7f != 0:
		return ExitSignal
	case status>>8 != 0:
		return ExitNonzero
	}
	return ExitZero
}

// phrases are what a reason is recognized by. A reason holds one at most, except that of a canary:
// what it was rolled back for may hold any of the others, so the canary's phrase comes last.
var phrases = []struct{ class, phrase string }{
	{ReasonStart, "could not be started"},
	{ReasonUnfit, "not fit to serve"},
	{ReasonProbe, "not passed its probe"},
	{ReasonProbe, "not pass its probe"},
	{ReasonLate, "was not ready after"},
	{ReasonSignal, "signal"},
	{ReasonExit, "exit code"},
	{ReasonRollback, "of the connections, "},
}

// reason returns the class of a failure's reason. The worker's own status, which may be anything,
// is left out.
func reason(why string) string {
	why, _, _ = strings.Cut(why, "; its last status: ")
	i := slices.IndexFunc(phrases, func(p struct{ class, phrase string }) bool { return strings.Contains(why, p.phrase) })
	if i < 0 {
		return ReasonOther
	}
	return phrases[i].class
}
