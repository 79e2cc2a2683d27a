package supervise

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Failure is why an attempt to start a worker failed. As an error it is the
// answer to the restart that asked for it.
type Failure struct {
	Worker     // Pid is 0 if the process could not be started at all
	Status int // raw wait status, if it has ended
	Lived  time.Duration
	Said   string // its last STATUS line
	Late   bool   // it is still there, but was not ready in time
	Last   bool   // it was not new: it was the last worker, and none replaces it
	Err    error  // why the process could not be started

	Probe      string // why it has failed its probes; "": it has not
	Unfit      bool   // it has said that it is not fit to serve
	RolledBack string // the request for a rollback; "": there was none
	Share      int    // the share of All that its generation got as a canary
	Given      int    // how many connections that were, at least
}

func (f *Failure) Error() string {
	var why string
	switch {
	case f.Share > 0 && f.Err == nil:
		return f.ofCanary()
	case f.Err != nil:
		return fmt.Sprintf("generation %d could not be started: %v", f.Generation, f.Err)
	case f.Unfit:
		why = fmt.Sprintf("new worker %d of generation %d says that it is not fit to serve", f.Pid, f.Generation)
	case f.Probe != "":
		return fmt.Sprintf("new worker %d of generation %d has not passed its probe within %v: %s", f.Pid, f.Generation, f.Lived.Round(time.Millisecond), f.Probe)
	case f.Late:
		why = fmt.Sprintf("new worker %d of generation %d was not ready after %v", f.Pid, f.Generation, f.Lived.Round(time.Millisecond))
	case f.Last:
		why = fmt.Sprintf("worker %d of generation %d was the last, and ended after %v: %s",
			f.Pid, f.Generation, f.Lived.Round(time.Millisecond), text.Exit(f.Status))
	default:
		why = fmt.Sprintf("new worker %d of generation %d failed after %v: %s",
			f.Pid, f.Generation, f.Lived.Round(time.Millisecond), text.Exit(f.Status))
	}
	if f.Said != "" {
		why += fmt.Sprintf("; its last status: %q", f.Said)
	}
	return why
}

// ofCanary is why a canary has failed.
func (f *Failure) ofCanary() string {
	begin := fmt.Sprintf("generation %d failed with %s of the connections, %d so far: ", f.Generation, Percent(f.Share), f.Given)
	switch {
	case f.RolledBack != "":
		return begin + f.RolledBack
	case f.Unfit:
		begin += fmt.Sprintf("worker %d says that it is not fit to serve", f.Pid)
	case f.Probe != "":
		return begin + fmt.Sprintf("worker %d did not pass its probe again: %s", f.Pid, f.Probe)
	default:
		begin += fmt.Sprintf("worker %d ended after %v: %s", f.Pid, f.Lived.Round(time.Millisecond), text.Exit(f.Status))
	}
	if f.Said != "" {
		begin += fmt.Sprintf("; its last status: %q", f.Said)
	}
	return begin
}

// Percent is a share in words.
func Percent(share int) string {
	return strconv.FormatFloat(PercentOf(share), 'f', -1, 64) + " %"
}

func (f *Failure) Unwrap() error { return f.Err }

// Ended tells whether the worker has failed by ending, so that its Status counts.
func (f *Failure) Ended() bool {
	return f.Err == nil && !f.Late && !f.Unfit && f.Probe == "" && f.RolledBack == ""
}

// ExitCode is the exit code that a shell would give for the worker: its own, or 128 plus
// the signal that killed it. It is 1 if the worker could not be started, or is still there.
func (f *Failure) ExitCode() int {
	switch sig := f.Status & 0x7f; {
	case !f.Ended():
		return 1
	case sig != 0:
		return 128 + sig
	}
	return f.Status >> 8
}
