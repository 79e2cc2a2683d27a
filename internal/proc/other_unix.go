//go:build unix && !linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd exists on Linux only. Here a process is known by its pid, and each Wait takes a
// thread.
type pidfd struct{}

func sysProcAttr(c Command, _ *int) *syscall.SysProcAttr {
	apart := c.apart()
	return &syscall.SysProcAttr{Setpgid: c.Group && !apart, Setsid: apart}
}

const getTermios = unix.TIOCGETA

// itself is the path of our own executable. Its file may have been replaced since, but
// only by a version that understands the same instructions.
func itself() (path string, err error) { return os.Executable() }

// becomeSubreaper says that only Linux knows subreapers.
func becomeSubreaper() (undo func(), err error) {
	return nil, fmt.Errorf("cannot become a subreaper: %w: only Linux has them", errors.ErrUnsupported)
}

func newPidfd(int) *pidfd { return nil }

func (*pidfd) await() {}

func (*pidfd) signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

func (*pidfd) close() {}

// ended cannot tell: without waitid(2) a child cannot be looked at before it is
// waited for.
func (*pidfd) ended(int) bool { return false }

// MaxFiles is 0: this system does not show another process's limit.
func (*Process) MaxFiles() uint64 { return 0 }

func sealRange() error { return errors.ErrUnsupported }

// nextEnded finds nothing: without waitid(2) an ended child cannot be looked at before it
// is waited for.
func nextEnded() (pid int, err error) { return 0, nil }

func maySetUID() bool { return syscall.Geteuid() == 0 }
func maySetGID() bool { return syscall.Geteuid() == 0 }
func maySignal() bool { return syscall.Geteuid() == 0 }

func mayNice(add int) bool { return add >= 0 || syscall.Geteuid() == 0 }

func otherIDs(uid, gid int) (user, group bool) {
	return syscall.Getuid() != uid || syscall.Geteuid() != uid, syscall.Getgid() != gid || syscall.Getegid() != gid
}
