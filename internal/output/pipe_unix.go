//go:build unix

package output

import (
	"os"
	"syscall"
)

// pipe is a pipe for what a process writes: r is ours, and w the blocking end that
// it is to have. Both are close-on-exec, and the caller's to close.
func pipe() (r *os.File, w int, err error) {
	syscall.ForkLock.RLock() // no child may be made before both are close-on-exec
	defer syscall.ForkLock.RUnlock()
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		return nil, -1, os.NewSyscallError("pipe", err)
	}
	syscall.CloseOnExec(ends[0])
	syscall.CloseOnExec(ends[1])
	// Ours alone: the flag is of each end, not of the pipe.
	if err := syscall.SetNonblock(ends[0], true); err != nil {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
		return nil, -1, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(ends[0]), "pipe from a worker"), ends[1], nil
}

// closePipe closes the end that a process was to have.
func closePipe(w int) { _ = syscall.Close(w) }
