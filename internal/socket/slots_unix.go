//go:build unix

package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// Every socket of a group that shares an address is held until Close: closing
// one would drop the connections in its queue, and have the last one take its
// place in the group (reuseport_detach_sock of Linux, net/core/sock_reuseport.c).

// fill makes sockets for all slots of one with Reuseport. The place in the group
// is that of the slot: TCP sockets join at listen(2), UDP sockets at bind(2).
func (s *Socket) fill(slots int, o Options) error {
	if !s.Reuseport || slots <= 1+len(*s.others) {
		return nil
	}
	// The group gets its program first, or what has no worker yet would get
	// connections. A UDP group begins with its second socket, and takes it then:
	// a packet in between waits there. Without a program the system spreads all
	// over all: Steer says so, and nobody else has to.
	_ = s.steer(o.steered)
	for 1+len(*s.others) < slots {
		fd, err := s.open(s.bound, true, o)
		if err != nil {
			return err
		}
		*s.others = append(*s.others, fd)
		if len(*s.others) == 1 {
			_ = s.steer(o.steered)
		}
	}
	return nil
}

// waiting is 1 if there is something to accept or to read.
func waiting(fd int) (int, error) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != unix.EINTR {
			return n, os.NewSyscallError("poll", err)
		}
	}
}
