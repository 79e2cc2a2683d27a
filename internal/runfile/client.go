package runfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// poll is how often a waiting client looks at the files.
const poll = 10 * time.Millisecond

// Restart sends HUP to the superdaemon that holds the pid file. It blocks until the status
// file lists only one generation, newer than before, whose workers were started after the
// call: a generation that was starting already does not count. It fails when the attempt
// fails, when the superdaemon ends, or when ctx ends; the error says what the status file
// held last.
func Restart(ctx context.Context, pidFile, statusFile string) error {
	pid, err := Owner(pidFile)
	if err != nil {
		return err
	}
	before, err := ReadStatus(statusFile)
	if err != nil {
		return err
	}
	asked := nextTick()
	if err := send(pidFile, pid, syscall.SIGHUP); err != nil {
		return err
	}
	serving := before // the last one with workers: at the end the status file is already gone
	for last := before; ; {
		if err := wait(ctx); err != nil {
			return fmt.Errorf("%w, and no newer generation is serving alone yet; start_server (pid:%d) goes on; last seen in its status file: %s", err, pid, last)
		}
		now, err := ReadStatus(statusFile)
		if err != nil {
			return err
		}
		if now.Newest() > before.Newest() && now.Alone() && now.bornSince(asked) {
			return nil
		}
		if now.RenewedSince(last) {
			return fmt.Errorf("restart failed: the new worker did not stay up; still serving: %s; the log of start_server (pid:%d) says more", now, pid)
		}
		if hasLetGo(pidFile, pid) {
			return fmt.Errorf("start_server (pid:%d) has ended instead of restarting; last seen in the status file: %s", pid, serving)
		}
		last = now
		if len(now.Entries) > 0 {
			serving = now
		}
	}
}

// Stop sends TERM to the superdaemon that holds the pid file, and blocks until it has
// released the file, or ctx ends. started is called with its pid first.
func Stop(ctx context.Context, pidFile string, started func(pid int)) error {
	pid, err := Owner(pidFile)
	if err != nil {
		return err
	}
	started(pid)
	if err := send(pidFile, pid, syscall.SIGTERM); err != nil {
		return err
	}
	for {
		if hasLetGo(pidFile, pid) {
			return nil
		}
		if err := wait(ctx); err != nil {
			return fmt.Errorf("start_server (pid:%d) still holds pid file %q: %w", pid, pidFile, err)
		}
	}
}

// hasLetGo tells whether the superdaemon has let its pid file go. If that cannot be known, as
// when there are no descriptors left, it has if it is gone.
func hasLetGo(pidFile string, pid int) bool {
	owner, err := Owner(pidFile)
	var nobody *NobodyError
	return owner != pid && (owner != 0 || errors.As(err, &nobody) || !alive(pid))
}

// send sends a signal to the process that holds the pid file. It looks at the file again: the
// pid may be another process's by now. After that p stays the same process (pidfd_open(2)).
func send(pidFile string, pid int, sig syscall.Signal) error {
	p, err := os.FindProcess(pid)
	if err == nil {
		defer p.Release()
		switch now, gone := Owner(pidFile); {
		case now == pid && gone != nil: // the file is not to be believed
			return gone
		case gone != nil:
			return fmt.Errorf("start_server (pid:%d) has ended: %w", pid, gone)
		case now != pid:
			return fmt.Errorf("start_server (pid:%d) has ended: pid file %q is held by process %d now", pid, pidFile, now)
		}
		err = p.Signal(sig)
	}
	if err != nil {
		return fmt.Errorf("cannot signal start_server (pid:%d): %w", pid, err)
	}
	return nil
}

// wait blocks for one poll. The error is ctx's cause if that ends.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(poll):
		return nil
	}
}
