package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// tuneLinux sets what is known to Linux only. TCP_DEFER_ACCEPT is one second, as
// nginx and h2o have it, the shortest there is: a client that says nothing is the
// server's to time out, which cannot know how long the kernel has waited before.
// TCP_FASTOPEN works if the sysctl net.ipv4.tcp_fastopen has 2 in it.
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
