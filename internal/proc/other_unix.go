//go:build unix && !linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// pidfd is Linux's handle on a process. Here a process is known by its number,
// and waiting for it takes a thread.
type pidfd struct{}

func sysProcAttr(c Command, _ *int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: c.Group}
}

// itself is our executable for us to start again. It must not have been replaced
// by something else than a later version of it.
func itself() (path string, err error) { return os.Executable() }

// BecomeSubreaper says that only Linux knows subreapers.
func BecomeSubreaper() (undo func(), err error) {
	return nil, fmt.Errorf("cannot become a subreaper: %w: only Linux has them", errors.ErrUnsupported)
}

func newPidfd(int) *pidfd { return nil }

func (*pidfd) await() {}

func (*pidfd) signal(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

func (*pidfd) close() {}

// ended cannot tell: without waitid(2) a child cannot be looked at before it is
// waited for.
func (*pidfd) ended(int) bool { return false }

// MaxFiles is 0: another process's limit cannot be known here.
func (*Process) MaxFiles() uint64 { return 0 }

func sealRange() error { return errors.ErrUnsupported }

// nextEnded finds nothing: without waitid(2) a child cannot be looked at before
// it is waited for.
func nextEnded() (pid int, err error) { return 0, nil }

func maySetUID() bool { return syscall.Geteuid() == 0 }
func maySetGID() bool { return syscall.Geteuid() == 0 }
func maySignal() bool { return syscall.Geteuid() == 0 }

func mayNice(add int) bool { return add >= 0 || syscall.Geteuid() == 0 }

func otherIDs(uid, gid int) (user, group bool) {
	return syscall.Getuid() != uid || syscall.Geteuid() != uid, syscall.Getgid() != gid || syscall.Getegid() != gid
}
