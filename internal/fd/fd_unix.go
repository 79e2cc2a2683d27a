//go:build unix

package fd

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is socket(2). The descriptor is close-on-exec, blocks, and is the caller's to
// close. Socket, Pair and Pipe wait while the process forks: not every system makes a
// descriptor close-on-exec from the start.
func Socket(family, kind int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, err := unix.Socket(family, kind, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(n)
	return n, nil
}

// Pair is a connection between two unix stream sockets. Both are close-on-exec, block,
// and are the caller's to close.
func Pair() (a, b int, err error) {
	return two("socketpair", func(ends *[2]int) (err error) {
		*ends, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	})
}

// Pipe is pipe(2). Both ends are close-on-exec, block, and are the caller's to close.
// Those of os.Pipe do not block, which most programs cannot handle as their stdout.
func Pipe() (r, w int, err error) {
	return two("pipe", func(ends *[2]int) error { return unix.Pipe(ends[:]) })
}

func two(call string, open func(*[2]int) error) (a, b int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	var ends [2]int
	if err := open(&ends); err != nil {
		return -1, -1, os.NewSyscallError(call, err)
	}
	unix.CloseOnExec(ends[0])
	unix.CloseOnExec(ends[1])
	return ends[0], ends[1], nil
}

// Dup duplicates a descriptor. The copy is close-on-exec, 3 or more, and the caller's to
// close.
func Dup(n int) (int, error) {
	n, err := unix.FcntlInt(uintptr(n), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return -1, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return n, nil
}

// Replace makes n a duplicate of another descriptor, in one step: what is written to n goes
// to the one file or to the other. n stays close-on-exec.
func Replace(n, by int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Dup2(by, n); err != nil {
		return os.NewSyscallError("dup2", err)
	}
	unix.CloseOnExec(n)
	return nil
}
