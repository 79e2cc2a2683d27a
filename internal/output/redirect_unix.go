//go:build unix

package output

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// redirect makes f our own stdout and stderr, until restore is called.
func redirect(f *os.File) (restore func(), err error) {
	var saved []int
	restore = func() {
		for i, fd := range saved {
			_ = unix.Dup2(fd, 1+i) // nothing else would be left to write to
			unix.Close(fd)
		}
	}
	for _, fd := range []int{1, 2} {
		old, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err == nil {
			saved = append(saved, old)
			err = unix.Dup2(int(f.Fd()), fd)
		}
		if err != nil {
			restore()
			return nil, fmt.Errorf("cannot redirect output to the log: %w", os.NewSyscallError("dup2", err))
		}
	}
	return restore, nil
}
