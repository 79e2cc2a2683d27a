package runfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// FindOrphans finds the workers that a status file lists and that are there. It leaves out our
// own children, and each process that was started after the file was written: that only has the
// pid of a worker. This does not tell whose workers they are. A missing file lists none.
func FindOrphans(path string) (*Orphans, error) {
	found := &Orphans{}
	status, err := ReadStatus(path)
	if err != nil || status.info == nil {
		return found, err
	}
	if _, trusted := fd.Owner(status.info); !trusted {
		return found, fmt.Errorf("status file: %q is another user's", path)
	}
	for _, e := range status.Entries {
		o, err := findOrphan(e.Pid, status.info.ModTime())
		if err != nil {
			found.Keep(func(*Orphan) bool { return false })
			return &Orphans{}, fmt.Errorf("worker %d of status file %q: %w", e.Pid, path, err)
		}
		if o != nil {
			found.All = append(found.All, o)
		}
	}
	return found, nil
}

// findOrphan returns nil if the worker is gone, another process has its pid, or it is our child.
func findOrphan(pid int, written time.Time) (*Orphan, error) {
	n, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // it is no pid
		return nil, nil // or a thread's by now: that is EINVAL, and ENOENT with newer kernels
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	o := &Orphan{Pid: pid, Handle: n}
	stat, err := fd.ReadStat(pid) // of that process, unless it is gone by now
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
		o.close()
		return nil, err
	}
	// Both are in whole ticks, and the time of a file lags behind by a tick, too. A worker that is
	// ready at once may be listed in the tick in which it was started.
	started := time.Now().Add(stat.Started - fd.Uptime() - 2*fd.Tick)
	if err != nil || o.gone() || stat.Parent == os.Getpid() || started.After(written) {
		o.close()
		return nil, nil
	}
	o.Parent = stat.Parent
	return o, nil
}

// signal ignores errors: a process that cannot be signalled is still there.
func (o *Orphan) signal(sig os.Signal) {
	if s, is := sig.(syscall.Signal); is {
		_ = unix.PidfdSendSignal(o.Handle, s, nil, 0)
	}
}

// gone tells that it has ended: its pidfd is readable then.
func (o *Orphan) gone() bool {
	fds := []unix.PollFd{{Fd: int32(o.Handle), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

func (o *Orphan) close() { unix.Close(o.Handle) }
