//go:build unix

package logsink

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// command is a log command that is started again whenever it ends. The reading
// end of its pipe stays open here: what it has not read waits for the next one,
// and nobody who writes meanwhile gets SIGPIPE.
type command struct {
	args           []string
	reader         *os.File
	stdout, stderr *os.File // what they were before the log was put there
	died           func(pid, status int, err error)
	closing        atomic.Bool
	quit           chan struct{} // closed when the superdaemon writes no more
	given          chan struct{} // closed when nobody waits for it any longer
	ended          chan struct{} // closed when the last run is over
}

// respawnPause spaces the runs of a command that keeps ending.
const respawnPause = time.Second

// startCommand starts the command of line, and returns the writing end of its
// pipe. Close-on-exec on all else: the command holds no port open.
func startCommand(line string, died func(pid, status int, err error)) (*os.File, *command, error) {
	reader, writer, err := blockingPipe()
	if err != nil {
		return nil, nil, err
	}
	c := &command{
		args:   argv(line),
		reader: reader,
		died:   died,
		quit:   make(chan struct{}),
		given:  make(chan struct{}),
		ended:  make(chan struct{}),
	}
	if c.stdout, err = dup(os.Stdout); err == nil {
		c.stderr, err = dup(os.Stderr)
	}
	var run *exec.Cmd
	if err == nil {
		run, err = c.start()
	}
	if err != nil {
		writer.Close()
		c.release()
		return nil, nil, err
	}
	go c.keep(run)
	return writer, c, nil
}

// blockingPipe is os.Pipe, but for O_NONBLOCK: the workers share that flag, and
// most programs cannot handle a write to their stdout that would block.
func blockingPipe() (reader, writer *os.File, err error) {
	var ends [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(ends[:]); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	for _, fd := range ends {
		unix.CloseOnExec(fd)
	}
	return os.NewFile(uintptr(ends[0]), "log command's stdin"), os.NewFile(uintptr(ends[1]), "log command"), nil
}

func dup(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (c *command) start() (*exec.Cmd, error) {
	run := exec.Command(c.args[0], c.args[1:]...)
	run.Stdin, run.Stdout, run.Stderr = c.reader, c.stdout, c.stderr
	// A group of its own: Ctrl-C in a terminal must not end the log first.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return run, run.Start()
}

// keep waits for each run and begins the next, until there is nothing left to
// read and nobody to write.
func (c *command) keep(run *exec.Cmd) {
	defer close(c.ended)
	quit := c.quit
	for {
		began := time.Now()
		if run != nil {
			_ = run.Wait() // the status says it all
			if c.done() {
				return
			}
			c.died(run.Process.Pid, int(run.ProcessState.Sys().(syscall.WaitStatus)), nil)
		}
		if time.Since(began) < respawnPause && !c.pause(&quit) {
			return
		}
		next, err := c.start()
		if err != nil {
			c.died(0, 0, err)
			next = nil
		}
		run = next
	}
}

// pause waits before another run, but not when the end has come: what is unread
// then is tried once more at once. It tells whether there is to be another run.
func (c *command) pause(quit *chan struct{}) bool {
	select {
	case <-time.After(respawnPause):
	case <-*quit:
		*quit = nil
	case <-c.given:
		return false
	}
	return !c.done()
}

// done tells that nobody will write and everything was read.
func (c *command) done() bool {
	fds := []unix.PollFd{{Fd: int32(c.reader.Fd()), Events: unix.POLLIN}}
	n, _ := unix.Poll(fds, 0)
	return c.closing.Load() && (n == 0 || fds[0].Revents&unix.POLLIN == 0)
}

// drain waits until the command has ended with nothing left to read.
func (c *command) drain(limit time.Duration) error {
	c.closing.Store(true)
	close(c.quit)
	select {
	case <-c.ended:
		c.release()
		return nil
	case <-time.After(limit):
		close(c.given)
		return fmt.Errorf("log command %q is still reading after %v; it was left running", c.args, limit)
	}
}

func (c *command) release() {
	for _, f := range []*os.File{c.reader, c.stdout, c.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
