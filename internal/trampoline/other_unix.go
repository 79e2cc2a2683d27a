//go:build unix && !linux

package trampoline

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Privileged says whether the executable's file has a set-user-ID or
// set-group-ID bit that gives us rights that who runs it does not have. Anybody
// may give such a program instructions, so it takes none.
func Privileged() bool {
	return unix.Getuid() != unix.Geteuid() || unix.Getgid() != unix.Getegid()
}

func renice(add int) error {
	niceness, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness+add)
}

func dieWith(int) error { return syscall.ENOSYS }

func setGID(gid int) error { return syscall.Setregid(gid, gid) }

func setUID(uid int) error { return syscall.Setreuid(uid, uid) }

const lastSig = 31

// Hold returns the signals that a program that is started directly would find
// ignored. It holds none back here: one that comes in the moment before the
// program runs is dealt with by Go's runtime.
func Hold() (had Signals, release func()) {
	for sig := 1; sig <= lastSig; sig++ {
		if signal.Ignored(syscall.Signal(sig)) {
			had.Ignored = append(had.Ignored, sig)
		}
	}
	return had, func() {}
}

// ignore makes those ignored that a program is to find so; exec does the rest.
func (s Signals) ignore() {
	for _, sig := range s.Ignored {
		signal.Ignore(syscall.Signal(sig))
	}
}

func (s Signals) unblock() {}
