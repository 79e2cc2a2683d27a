//go:build unix

package output

import (
	"os"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// pipe is a pipe for what a process writes: r is ours, and w the blocking end that
// it is to have. Both are close-on-exec, and the caller's to close.
func pipe() (r *os.File, w int, err error) {
	ours, w, err := fd.Pipe()
	if err != nil {
		return nil, -1, err
	}
	_ = syscall.SetNonblock(ours, true) // ours alone: the flag is of each end, not of the pipe
	return os.NewFile(uintptr(ours), "pipe from a worker"), w, nil
}

// closePipe closes the end that a process was to have.
func closePipe(w int) { _ = syscall.Close(w) }
