//go:build unix && !linux

package trampoline

import (
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Privileged tells whether our executable's file gives us more rights than the user that runs
// it has, by a set-user-ID or set-group-ID bit. Any user may give such a program instructions,
// so it takes none.
func Privileged() (bool, error) {
	return unix.Getuid() != unix.Geteuid() || unix.Getgid() != unix.Getegid(), nil
}

func renice(add int) error {
	niceness, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, niceness+add)
}

func noNewPrivs() error { return syscall.ENOSYS }

func raise([]Limit) error { return nil } // there are none

func limit([]Limit) error { return nil }

func newKeyring() error { return nil }

func dropCapabilities() error { return nil }

func dieWith(int) error { return syscall.ENOSYS }

func setGID(gid int) error { return syscall.Setregid(gid, gid) }

func setUID(uid int) error { return syscall.Setreuid(uid, uid) }

const lastSig = 31

// Hold returns the signals that a program that is started directly would find ignored.
// It blocks none here: Go's runtime takes a signal that comes before the program runs.
func Hold() (had Signals, release func()) {
	for sig := 1; sig <= lastSig; sig++ {
		if signal.Ignored(syscall.Signal(sig)) {
			had.Ignored = append(had.Ignored, sig)
		}
	}
	return had, func() {}
}

// ignore ignores the signals that the program must find ignored. exec gives all others their
// default action.
func (s Signals) ignore() {
	for _, sig := range s.Ignored {
		signal.Ignore(syscall.Signal(sig))
	}
}

func (s Signals) unblock() {}
