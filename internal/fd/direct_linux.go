package fd

import (
	"os"

	"golang.org/x/sys/unix"
)

// buffered takes O_DIRECT away from a file, and tells whether it was there.
func buffered(file *os.File) (done bool) {
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	err = conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err != nil || flags&unix.O_DIRECT == 0 {
			return
		}
		_, err = unix.FcntlInt(fd, unix.F_SETFL, flags&^unix.O_DIRECT)
		done = err == nil
	})
	return done && err == nil
}
