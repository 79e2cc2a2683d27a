//go:build unix && !linux

package trampoline

import (
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
