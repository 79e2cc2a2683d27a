package trampoline

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// secureExec is AT_SECURE of getauxval(3).
const secureExec = 23

// privileged says whether the executable's file has given us more rights than
// who runs it has: a set-user-ID bit, or capabilities. Anybody may give such a
// program instructions, so it takes none.
func privileged() bool {
	vector, err := unix.Auxv()
	if err != nil {
		return true
	}
	for _, pair := range vector {
		if pair[0] == secureExec {
			return pair[1] != 0
		}
	}
	return true
}

// renice adds to the niceness of the calling thread. The kernel cuts it to what there is.
func renice(add int) error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - niceness, see getpriority(2)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PROCESS, 0, 20-raw+add)
}

// dieWith has TERM sent to us when the parent's thread that made us is gone.
func dieWith(parent int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return err
	}
	if unix.Getppid() != parent { // gone before the kernel knew
		return unix.Kill(unix.Getpid(), unix.SIGTERM)
	}
	return nil
}

func otherIDs(uid, gid int) (user, group bool) {
	r, e, s := unix.Getresuid()
	user = r != uid || e != uid || s != uid
	r, e, s = unix.Getresgid()
	return user, r != gid || e != gid || s != gid
}

func setGID(gid int) error { return syscall.Setresgid(gid, gid, gid) }

// setUID also drops ambient capabilities, if the user is another one: setresuid
// does so for root only.
func setUID(uid int, other bool) error {
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	if other && uid != 0 {
		// Before Linux 4.3 there are none.
		_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	}
	return nil
}
