package proc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// nextEnded is the pid of a child that has ended; 0 if none has. It does not wait for the
// child.
func nextEnded() (pid int, err error) { return ended(unix.P_ALL, 0) }

// ended is the same for the children that which and id select (waitid(2)).
func ended(which, id int) (pid int, err error) {
	var info struct { // siginfo_t as waitid(2) fills it in
		signo, errno, code int32
		_                  [unsafe.Sizeof(uintptr(0)) - 4]byte
		pid                int32
		_                  [128]byte
	}
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, uintptr(which), uintptr(id), uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(info.pid), nil
}
