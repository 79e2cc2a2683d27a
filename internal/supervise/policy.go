package supervise

import (
	"errors"
	"fmt"
	"time"
)

// Replace is how a new generation replaces the live one: AtOnce, Beside, or
// Rolling.
type Replace struct {
	surge int // of Rolling; 0: it is not Rolling
	stay  bool
}

var (
	// AtOnce tells the old workers to go when all the new ones are proven.
	AtOnce = Replace{}
	// Beside tells no old worker to go: they stay until they end by themselves, or
	// everything is stopped.
	Beside = Replace{stay: true}
)

// Rolling replaces the workers slot by slot: each new one takes over as soon as
// it is proven. There are at most surge processes beyond Config.Workers; less than 1
// is taken as 1.
func Rolling(surge int) Replace { return Replace{surge: max(surge, 1)} }

// Proof is how a worker proves that it has started: Lived, Notified, or Probed.
type Proof struct {
	notice, probe bool
	time          time.Duration
}

// Lived is the proof of a worker that is still there after d, which is at least
// MinInterval.
func Lived(d time.Duration) Proof { return Proof{time: max(d, MinInterval)} }

// Notified is the proof of a worker that says that it is ready. One that has not
// said so within d has failed.
func Notified(d time.Duration) Proof { return Proof{notice: true, time: d} }

// Probed is the proof of a worker that lives on for Config.Interval and has passed
// Config.Probe. One that has not passed within d has failed.
func Probed(d time.Duration) Proof { return Proof{probe: true, time: d} }

// Check says what is wrong with r for a number of workers; 0: no number is given.
func (r Replace) Check(workers int) error {
	switch {
	case r.surge > 0 && workers == 0:
		return errors.New("rolling restarts need the number of workers")
	case r.surge > max(workers, 1):
		return fmt.Errorf("surge %d is more than the number of workers, %d", r.surge, workers)
	case r.stay && workers > 0:
		return fmt.Errorf("workers %d cannot be combined with old workers that stay", workers)
	}
	return nil
}

// Check says what is wrong with p.
func (p Proof) Check() error {
	if (p.notice || p.probe) && p.time <= 0 {
		return fmt.Errorf("ready timeout %v is too short for any worker", p.time)
	}
	return nil
}

// Probed tells whether workers are asked.
func (p Proof) Probed() bool { return p.probe }

// Notified tells whether workers have to say that they are ready.
func (p Proof) Notified() bool { return p.notice }
