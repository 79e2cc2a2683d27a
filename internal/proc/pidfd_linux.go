package proc

import (
	"math"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfd is a handle on a child (pidfd_open(2)). It becomes readable when the
// child has ended, so that Go's poller waits for any number of children with
// no thread each, and it never comes to mean another process.
type pidfd struct{ file *os.File }

func sysProcAttr(c Command, handle *int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: c.Group, PidFD: handle}
}

// itself is our executable for us to start again, even if its file has been
// replaced meanwhile.
func itself() (path string, err error) { return "/proc/self/exe", nil }

// BecomeSubreaper makes this process the parent of all descendants whose own
// parents end, as PID 1 is otherwise (PR_SET_CHILD_SUBREAPER of prctl(2)). They
// are to be waited for then: see ReapOrphans. undo makes it what it was.
func BecomeSubreaper() (undo func(), err error) {
	var was int32
	if err := unix.Prctl(unix.PR_GET_CHILD_SUBREAPER, uintptr(unsafe.Pointer(&was)), 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl: are we a subreaper", err)
	}
	set := func(on int32) error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, uintptr(on), 0, 0, 0) }
	if err := set(1); err != nil {
		return nil, os.NewSyscallError("prctl: become subreaper", err)
	}
	return func() { _ = set(was) }, nil
}

// newPidfd takes over the descriptor that fork gave. It is nil before Linux 5.4.
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

// await blocks until the process has ended, or does nothing where it cannot.
func (p *pidfd) await() {
	if p == nil {
		return
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	// A poller that cannot watch it gives an error, and wait4 blocks instead.
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
		return syscall.ESRCH // closed: it was waited for
	}
	if result == unix.EPERM || result == unix.ENOSYS {
		return syscall.Kill(pid, sig) // a seccomp filter that does not know the call
	}
	return result
}

// ended tells that the process has ended: its pidfd is readable then. Before Linux 5.4
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

// MaxFiles is the process's soft RLIMIT_NOFILE, 0 if it is not known.
func (p *Process) MaxFiles() uint64 {
	var limit unix.Rlimit
	if unix.Prlimit(p.pid, unix.RLIMIT_NOFILE, nil, &limit) != nil {
		return 0
	}
	return limit.Cur
}

// sealRange marks all descriptors from 3 on at once. It fails before Linux 5.11.
func sealRange() error {
	return unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
}

// nextEnded is a child that has ended, which is left to be waited for; 0 if
// there is none.
func nextEnded() (pid int, err error) { return ended(unix.P_ALL, 0) }

// ended is the child that has ended of those that waitid(2) is asked for.
func ended(which, id int) (pid int, err error) {
	var info struct { // siginfo_t as waitid(2) fills it in
		signo, errno, code int32
		_                  [unsafe.Sizeof(uintptr(0)) - 4]byte
		pid                int32
		_                  [128]byte
	}
	_, _, errno := unix.Syscall6(unix.SYS_WAITID, uintptr(which), uintptr(id), uintptr(unsafe.Pointer(&info)),
		unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(info.pid), nil
}
