package starter

import (
	"errors"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Failure is why a worker, or the attempt to start one, has failed. Find it in an
// error of Restart or Run with [errors.As].
type Failure struct {
	Generation int
	Slot       int           // the worker's number, from 0
	Pid        int           // 0: the process could not be started at all
	Status     int           // raw, as of wait(2), if it has ended
	Lived      time.Duration // from its start until it failed
	Said       string        // its last STATUS line (sd_notify(3))
	Late       bool          // it is still there, but was not ready in time
	Last       bool          // it was not new: it is the last one that ended, and none replaces it
	Err        error         // why the process could not be started
	Probe      string        // why it did not pass a probe (Config.Probes)
	Unfit      bool          // it has said that it is not fit to serve, by ABORT=1
	RolledBack string        // somebody has asked for a rollback, and who
	Percent    float64       // of the connections, that its generation had got as a canary
	Given      int           // so many connections, at least
}

func (f *Failure) Error() string { return f.internal().Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// ExitCode is what a shell makes of how the worker ended: its exit code, or 128
// plus the signal that has killed it; 1 if it never came to be, or is still there.
func (f *Failure) ExitCode() int { return f.internal().ExitCode() }

func (f *Failure) internal() *supervise.Failure {
	return &supervise.Failure{
		Worker: supervise.Worker{Generation: f.Generation, Slot: f.Slot, Pid: f.Pid},
		Status: f.Status, Lived: f.Lived, Said: f.Said, Late: f.Late, Last: f.Last, Err: f.Err,
		Probe: f.Probe, Unfit: f.Unfit, RolledBack: f.RolledBack, Share: supervise.ShareOf(f.Percent), Given: f.Given,
	}
}

// failed is an error in which a *Failure can be found.
type failed struct {
	error
	why *supervise.Failure
}

// withFailure has a *Failure found in err if there is one of the supervisor's.
func withFailure(err error) error {
	var why *supervise.Failure
	if !errors.As(err, &why) {
		return err
	}
	return &failed{err, why}
}

func (f *failed) Unwrap() error { return f.error }

// As is for errors.As.
func (f *failed) As(target any) bool {
	found, is := target.(**Failure)
	if is {
		w := f.why
		*found = &Failure{
			Generation: w.Generation, Slot: w.Slot, Pid: w.Pid,
			Status: w.Status, Lived: w.Lived, Said: w.Said, Late: w.Late, Last: w.Last, Err: w.Err,
			Probe: w.Probe, Unfit: w.Unfit, RolledBack: w.RolledBack, Percent: supervise.PercentOf(w.Share), Given: w.Given,
		}
	}
	return is
}
