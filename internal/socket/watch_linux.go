package socket

import (
	"os"

	"golang.org/x/sys/unix"
)

// watch has the kernel tell when a process shuts a socket with sides down: until the socket
// listens again clients may go to the wrong generation. Connections do not wake this process.
func (s *Set) watch() error {
	for i := range s.Sockets {
		socket := &s.Sockets[i]
		if !socket.Sided || socket.fd < 0 {
			continue
		}
		if s.watched == nil {
			n, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			if err != nil {
				return os.NewSyscallError("epoll_create", err)
			}
			_ = unix.SetNonblock(n, true) // for Go's poller
			s.watched = os.NewFile(uintptr(n), "shutdown")
		}
		if err := socket.watch(s.watched); err != nil {
			return err
		}
	}
	return nil
}

// watch adds the sockets that are not watched yet.
func (s *Socket) watch(all *os.File) error {
	control, _ := all.SyscallConn() // fails only without a file
	var failed error
	err := control.Control(func(epoll uintptr) {
		for _, n := range s.files() {
			err := unix.EpollCtl(int(epoll), unix.EPOLL_CTL_ADD, n, &unix.EpollEvent{Events: unix.EPOLLET, Fd: int32(n)})
			if err != nil && err != unix.EEXIST {
				failed = os.NewSyscallError("epoll_ctl", err)
			}
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// Deaf blocks until a process has shut a socket with sides down: call Revive then. It returns
// false when the Set is closed, or has no such sockets.
func (s *Set) Deaf() bool {
	s.mu.Lock()
	file := s.watched
	s.mu.Unlock()
	if file == nil {
		return false
	}
	control, _ := file.SyscallConn()
	err := control.Read(func(epoll uintptr) bool {
		n, err := unix.EpollWait(int(epoll), make([]unix.EpollEvent, 16), 0)
		return n > 0 || err != nil && err != unix.EINTR
	})
	return err == nil
}
