package proc

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pidfd is a handle on a child (pidfd_open(2)). It becomes readable when the child has
// ended, so Go's poller can wait for many children without a thread for each. Unlike a
// pid it never names another process.
type pidfd struct{ file *os.File }

func sysProcAttr(c Command, handle *int) *syscall.SysProcAttr {
	apart := c.apart() // the leader of a session leads a group, too
	return &syscall.SysProcAttr{Setpgid: c.Group && !apart, Setsid: apart, PidFD: handle}
}

// newPidfd takes over the descriptor that fork returned. Before Linux 5.4 there is
// none, and the result is nil.
func newPidfd(fd int) *pidfd {
	if fd < 0 {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil
	}
	return &pidfd{os.NewFile(uintptr(fd), "pidfd")}
}

// await blocks until the process has ended. Without a pidfd it returns at once, and
// wait4(2) has to block.
func (p *pidfd) await() {
	if p == nil {
		return
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	// An error says that Go's poller cannot watch it: then wait4(2) blocks, too.
	_ = conn.Read(readable)
}

func (p *pidfd) signal(pid int, sig syscall.Signal) error {
	if p == nil {
		return syscall.Kill(pid, sig)
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) {
		result = unix.PidfdSendSignal(int(fd), sig, nil, 0)
	}); err != nil {
		return syscall.ESRCH // the pidfd is closed: the process was waited for
	}
	if result == unix.EPERM || result == unix.ENOSYS {
		return syscall.Kill(pid, sig) // a seccomp filter may not know the call
	}
	return result
}

// ended tells whether the process has ended: its pidfd is readable then. Before Linux 5.4
// it is looked at by its number.
func (p *pidfd) ended(pid int) bool {
	if p == nil {
		found, err := ended(unix.P_PID, pid)
		return found != 0 || err == unix.ECHILD // it was waited for
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return true // closed: it was waited for
	}
	ended := true
	_ = conn.Control(func(fd uintptr) { ended = readable(fd) })
	return ended
}

// readable does not block.
func readable(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return n > 0
}

func (p *pidfd) close() {
	if p != nil {
		p.file.Close()
	}
}
