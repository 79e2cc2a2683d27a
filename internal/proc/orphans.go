package proc

import (
	"os"
	"time"
)

// Orphans are the processes that this one adopts when their parents end. PID 1 adopts them, and
// another process only if it asks for that. A nil Orphans has none.
type Orphans struct {
	spare []int
	stop  func()
}

// AdoptOrphans reaps the orphans that this process adopts, until Stop is called. With subreaper
// it asks for them. Children in spare are no orphans. It does not block.
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

// Stop ends what AdoptOrphans began: no more orphans are reaped.
func (o *Orphans) Stop() error {
	o.stop()
	return nil
}

// End sends TERM to the orphans, and to what they leave behind in turn, and KILL to those that
// are still there after limit. It blocks until none is left, for limit plus one second at most.
// tell is called with those that were sent a signal.
func (o *Orphans) End(limit time.Duration, tell func(pids []int, sig os.Signal)) {
	if o != nil {
		endOrphans(o.spare, limit, tell)
	}
}
