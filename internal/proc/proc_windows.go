package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Process is never made: without descriptors to hand over there is nothing to start.
type Process struct{}

// Start says that workers cannot be started.
func Start(Command) (*Process, error) {
	return nil, errors.New("workers cannot be started on Windows: it has no descriptors to inherit")
}

// StartContext says the same.
func StartContext(_ context.Context, c Command) (*Process, error) { return Start(c) }

// SealInherited does nothing: no worker is ever started.
func SealInherited() error { return nil }

// adoptOrphans says that only Linux knows subreapers.
func adoptOrphans(bool) (stop func(), err error) {
	return nil, fmt.Errorf("cannot become a subreaper: %w: only Linux has them", errors.ErrUnsupported)
}

var errNoUsers = fmt.Errorf("users and groups by number: %w on Windows", errors.ErrUnsupported)

// LookupUser says that there are no user numbers.
func LookupUser(string) (uid int, err error) { return 0, errNoUsers }

// LookupGroup says that there are no group numbers.
func LookupGroup(string) (gid int, err error) { return 0, errNoUsers }

// LookupCredential is nil for none; everything else it refuses.
func LookupCredential(userName, groupName string) (*Credential, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	return nil, errNoUsers
}

// Check refuses everything but nil.
func (c *Credential) Check() error {
	if c == nil {
		return nil
	}
	return errNoUsers
}

func accessExecute(string) error { return nil }

// Pid is 0.
func (*Process) Pid() int { return 0 }

// Signal does nothing.
func (*Process) Signal(os.Signal) error { return nil }

// SignalGroup does nothing.
func (*Process) SignalGroup(os.Signal) error { return nil }

// Ended is not known.
func (*Process) Ended() bool { return false }

// Wait returns at once.
func (*Process) Wait() int { return 0 }

// Then does nothing.
func (*Process) Then(func()) {}

// MaxFiles is 0: there is no such limit.
func (*Process) MaxFiles() uint64 { return 0 }

func (c *Command) prepared() bool { return false }

func checkTrampoline() error { return nil }

func mayNice(int) bool { return true }
