package proc

import (
	"os"
	"time"
)

// Orphans are the processes that come to this one as their parents end: to PID 1, and to any other
// process only if it asks for that. To a nil Orphans none come.
type Orphans struct {
	spare []int
	stop  func()
}

// AdoptOrphans waits for the orphans that come to this process until Stop is called. subreaper
// has it ask for them. Children in spare are none.
func AdoptOrphans(subreaper bool, spare []int) (*Orphans, error) {
	stop, err := adoptOrphans(subreaper)
	if err != nil {
		return nil, err
	}
	return &Orphans{spare, stop}, nil
}

// Spare are the children that are no orphans.
func (o *Orphans) Spare() []int {
	if o == nil {
		return nil
	}
	return o.spare
}

// Stop waits for no more of them.
func (o *Orphans) Stop() error {
	o.stop()
	return nil
}

// End sends TERM to the orphans, and to what they leave behind in turn, and KILL to those that
// are still there after limit. It blocks until none is there, but for limit and a second at
// most. tell is called with those that were sent a signal.
func (o *Orphans) End(limit time.Duration, tell func(pids []int, sig os.Signal)) {
	if o != nil {
		endOrphans(o.spare, limit, tell)
	}
}
