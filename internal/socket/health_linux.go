package socket

import "golang.org/x/sys/unix"

// isDeaf tells that a socket that should listen was shut down. TCP then is not listening
// (SO_ACCEPTCONN, socket(7)); a unix socket still says that it is, and hangs up.
func isDeaf(fd int) bool {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return false
	}
	poll := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(poll, 0)
	return listens == 0 || err == nil && n > 0 && poll[0].Revents&unix.POLLHUP != 0
}
