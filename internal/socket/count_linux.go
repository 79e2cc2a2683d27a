package socket

import (
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Count counts the connections that come to a side from now on, without those that Connect
// makes. Several that reach one socket within a few microseconds may count as one, so the
// count is a lower bound. Each wakes this process. stop ends that. Neither function blocks.
func (s *Set) Count(side int) (counted func() int, stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	none := func() int { return 0 }
	n, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return none, func() {}
	}
	_ = unix.SetNonblock(n, true) // for Go's poller
	for socket := range s.sided() {
		for _, fd := range socket.from(0, side) {
			_ = unix.EpollCtl(n, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)})
		}
	}
	_ = happened(n) // connections that wait already do not count
	file := os.NewFile(uintptr(n), "count")
	control, _ := file.SyscallConn() // fails only without a file
	var total atomic.Int64
	own := s.own[side]
	go func() {
		_ = control.Read(func(epoll uintptr) bool {
			total.Add(happened(int(epoll)))
			return false // until it is closed
		})
	}()
	return func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return max(0, int(total.Load())-(s.own[side]-own))
	}, func() { file.Close() }
}

// happened takes all events from an epoll(7) instance, and returns how many there were.
func happened(epoll int) (all int64) {
	events := make([]unix.EpollEvent, 16)
	for {
		n, err := unix.EpollWait(epoll, events, 0)
		if n <= 0 || err != nil {
			return all
		}
		all += int64(n)
	}
}
