package proc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// nextEnded is the pid of a child that has ended, and does not wait for it; 0 if no
// child has ended.
func nextEnded() (pid int, err error) { return ended(unix.P_ALL, 0) }

// ended is the same of those children that waitid(2) is asked for.
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
