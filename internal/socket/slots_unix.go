//go:build unix

package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// All sockets of a group stay open until Close. To close one would drop the connections in
// its queue, and the last socket would move to its place in the group
// (reuseport_detach_sock of Linux, net/core/sock_reuseport.c).

// fill makes the sockets for all slots of an address with Reuseport. A socket's place in
// the group is its slot and side: TCP sockets join at listen(2), UDP sockets at bind(2).
//
// With Sided one more joins, which is never chosen and which no worker gets: through it the
// group stays ours to steer when the others are locked.
func (s *Socket) fill(slots int, o Options) error {
	if !s.Reuseport || s.count(slots) <= 1+len(*s.others) {
		return nil
	}
	// The group is steered first, or sockets without a worker would get connections. A
	// UDP group exists only with its second socket, and is steered then; a packet that
	// comes in between waits there. An error is not reported here: Steer does that.
	_ = s.steer(min(o.steered, max(1, s.slots())))
	for 1+len(*s.others) < s.count(slots) {
		fd, err := s.open(s.bound, true, o)
		if err != nil {
			return err
		}
		*s.others = append(*s.others, fd)
		if s.split.order != nil {
			s.split.order = append(s.split.order, len(*s.others))
		}
		if len(*s.others) == 1 {
			_ = s.steer(min(o.steered, max(1, s.slots())))
		}
		if s.Sided {
			if len(*s.others) == 1 {
				fd = s.fd // our own socket stays unlocked: we steer through it
			}
			if err := lock(fd); err != nil {
				return err
			}
		}
	}
	_ = s.steer(min(o.steered, s.slots()))
	return nil
}

// waiting is 1 if there is something to accept or to read, and 0 otherwise.
func waiting(fd int) (int, error) {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != unix.EINTR {
			return n, os.NewSyscallError("poll", err)
		}
	}
}
