//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a child of this process. Wait must be called for it once.
type Process struct {
	pid   int
	pidfd *pidfd // nil where the system has none
	group bool   // it leads a process group of its own

	waited bool // guarded by children.waits
	status int  // raw

	then func() // nil: nothing
}

// Start starts the command. It blocks until the program is executed, or returns why it
// is not.
//
// It does not use os/exec, which takes descriptors by os.File.Fd: that makes the open
// file blocking, for all workers that share it.
func Start(c Command) (*Process, error) { return StartContext(context.Background(), c) }

// StartContext is Start within the time that ctx gives. When ctx ends no process is started
// any more, and one that needs preparation and is not yet the program is killed; the error
// wraps the cause of that.
func StartContext(ctx context.Context, c Command) (*Process, error) {
	paths, err := c.check()
	if err != nil {
		return nil, err
	}
	path := paths[0]
	if !c.prepared() {
		c.open(path)
	}
	if cause := context.Cause(ctx); cause != nil { // a file system may have hung until now
		return nil, fmt.Errorf("program %q: was not started, as it was %w", c.Args[0], cause)
	}
	if c.prepared() {
		return c.startPrepared(ctx, paths)
	}
	files := make([]uintptr, len(c.Files))
	for i, fd := range c.Files {
		files[i] = uintptr(fd) // -1: closed in the child
	}
	handle := -1
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: sysProcAttr(c, &handle)}
	pid, err := children.start(path, c.Args, attr)
	if errors.Is(err, syscall.ENOEXEC) { // a script without a #! line, as in execvp(3)
		pid, err = children.start("/bin/sh", append([]string{"/bin/sh", path}, c.Args[1:]...), attr)
	}
	if err != nil {
		return nil, fmt.Errorf("program %q: %w%s", c.Args[0], err, hint(err))
	}
	return &Process{pid: pid, pidfd: newPidfd(handle), group: c.Group}, nil
}

// open opens the program's file, and closes it again. If a file system hangs, open hangs.
// Otherwise the fork would: Go's fork returns when the program is executed, and until then its
// thread cannot be stopped for a garbage collection, so everything else would stand still. An
// error is nothing new: the program need not be readable.
func (c *Command) open(path string) {
	if c.Dir != "" {
		_ = accessExecute(c.Dir) // asks the file system what chdir(2) asks it
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Dir, path)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a FIFO would block
		return
	}
	if f, err := os.Open(path); err == nil {
		_, _ = f.Read(make([]byte, 4096)) // what execve(2) reads first
		f.Close()
	}
}

// hint explains ENOENT of execve(2) for a file that is there.
func hint(err error) string {
	if errors.Is(err, syscall.ENOENT) {
		return "; its interpreter, named in its first line or its ELF header, is missing"
	}
	return ""
}

func accessExecute(path string) error {
	return unix.Access(path, unix.X_OK)
}

// Pid is the process's pid.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal. KILL goes to the whole process group if the process leads one.
// It is no error if the process has ended. KILL must not be sent after Wait has returned:
// the group's number may be another group's by then.
func (p *Process) Signal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %v is not known to this system", sig)
	}
	var err error
	if p.group && number == syscall.SIGKILL {
		err = syscall.Kill(-p.pid, number)
	} else {
		err = p.pidfd.signal(p.pid, number)
	}
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// SignalGroup sends a signal to the whole process group if the process leads one, and to the
// process alone otherwise. It is no error if all have ended. As KILL it must not be sent after
// Wait has returned.
func (p *Process) SignalGroup(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	if !ok || !p.group {
		return p.Signal(sig)
	}
	if err := syscall.Kill(-p.pid, number); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Ended tells whether the process has ended, also when Wait has not returned yet. It does
// not block.
func (p *Process) Ended() bool { return p.pidfd.ended(p.pid) }

// Then has Wait call do before it returns. Call it before Wait. The next image does not know
// of do.
func (p *Process) Then(do func()) { p.then = do }

// Wait blocks until the process has ended, and returns its raw wait status (wait(2)). It
// must be called once.
func (p *Process) Wait() int {
	status := p.wait()
	if p.then != nil {
		p.then()
	}
	return status
}

func (p *Process) wait() int {
	p.pidfd.await()
	children.waits.RLock()
	defer children.waits.RUnlock()
	if p.waited { // by the last image
		return p.status
	}
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			children.waitedFor(p.pid)
			p.pidfd.close()
			p.waited, p.status = true, int(status)
			return p.status
		}
	}
}
