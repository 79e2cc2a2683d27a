package proc

import (
	"errors"
	"os"
)

// Process is never there: without descriptors to hand over there is nothing
// to start.
type Process struct{}

// Start says that workers cannot be started.
func Start(Command) (*Process, error) {
	return nil, errors.New("workers cannot be started on Windows: it has no descriptors to inherit")
}

func accessExecute(string) error { return nil }

// Pid is 0.
func (*Process) Pid() int { return 0 }

// Signal does nothing.
func (*Process) Signal(os.Signal) error { return nil }

// Wait returns at once.
func (*Process) Wait() int { return 0 }

// MaxFiles is 0: there is no such limit.
func (*Process) MaxFiles() uint64 { return 0 }
