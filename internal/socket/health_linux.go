package socket

import "golang.org/x/sys/unix"

// isDeaf tells that a socket that should listen was shut down. TCP then is not listening
// (SO_ACCEPTCONN, socket(7)); a unix socket still says that it is, and hangs up.
func isDeaf(fd int) bool {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return false
	}
	return listens == 0 || hangsUp(fd)
}

// hangsUp tells that a unix socket that listens, or a socket for datagrams, was shut down. To
// read from the latter does not block then, and never will again: it returns nothing.
func hangsUp(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0
}
