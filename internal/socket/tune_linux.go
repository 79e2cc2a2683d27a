package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// tuneLinux sets options of Linux. TCP_DEFER_ACCEPT is one second, the shortest time, as
// in nginx and h2o: the server has to time out a client that sends nothing, and does not
// know how long the kernel has waited. TCP_FASTOPEN works if the sysctl
// net.ipv4.tcp_fastopen includes 2.
func (s *Socket) tuneLinux(fd int) error {
	if s.DeferAccept {
		if err := switchOn(fd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT"); err != nil {
			return err
		}
	}
	if s.FastOpen > 0 {
		return os.NewSyscallError("setsockopt(TCP_FASTOPEN)", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, s.FastOpen))
	}
	return nil
}
