//go:build unix

package output

import (
	"os"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// pipe makes a pipe for the output of a process: r is our end, and w the blocking end for the
// process. Both are close-on-exec. The caller closes them.
func pipe() (r *os.File, w int, err error) {
	ours, w, err := fd.Pipe()
	if err != nil {
		return nil, -1, err
	}
	_ = syscall.SetNonblock(ours, true) // our end alone: each end has a flag of its own
	return os.NewFile(uintptr(ours), "pipe from a worker"), w, nil
}

// closePipe closes the end that is for a process.
func closePipe(w int) { _ = syscall.Close(w) }
