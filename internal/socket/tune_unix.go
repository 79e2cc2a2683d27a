//go:build unix

package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// applyTuning sets options on a socket that does not listen yet, or is taken.
func (s *Socket) applyTuning(fd int) error {
	if s.NoDelay {
		if err := switchOn(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY"); err != nil {
			return err
		}
	}
	if err := s.tuneLinux(fd); err != nil {
		return err
	}
	return s.unblock(fd)
}

// unblock sets O_NONBLOCK if that is asked for.
func (s *Socket) unblock(fd int) error {
	if s.Nonblock {
		return os.NewSyscallError("fcntl(O_NONBLOCK)", unix.SetNonblock(fd, true))
	}
	return nil
}
