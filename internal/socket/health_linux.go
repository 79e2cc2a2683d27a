package socket

import "golang.org/x/sys/unix"

// isDeaf tells whether a socket that should listen was shut down. A TCP socket then does not
// listen any more (SO_ACCEPTCONN, socket(7)). A unix socket still says that it does, but poll(2)
// says that it has hung up.
func isDeaf(fd int) bool {
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return false
	}
	return listens == 0 || hangsUp(fd)
}

// hangsUp tells whether a listening unix socket or a socket for datagrams was shut down. Reading
// from such a datagram socket never blocks again: it returns nothing.
func hangsUp(fd int) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(poll, 0)
	return err == nil && n > 0 && poll[0].Revents&(unix.POLLHUP|unix.POLLRDHUP) != 0
}
