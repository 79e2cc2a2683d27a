//go:build !linux

package proc

import (
	"os"
	"time"
)

// Leftovers are not to be found here: only Linux shows the members of a group.
type Leftovers struct{}

// Leftovers is nil.
func (*Process) Leftovers() *Leftovers { return nil }

// Pids are none.
func (*Leftovers) Pids() []int { return nil }

// Signal does nothing.
func (*Leftovers) Signal(os.Signal) error { return nil }

// Wait does nothing.
func (*Leftovers) Wait() {}

// Strangers are not known here.
func Strangers() []int { return nil }

// endOrphans does nothing: this system has no subreapers, and no superdaemon as PID 1.
func endOrphans([]int, time.Duration, func([]int, os.Signal)) {}
