//go:build unix

package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Process is a process that was started and is to be waited for once.
type Process struct {
	pid   int
	pidfd *pidfd // nil where the system has none
	group bool   // it leads one of its own
}

// Start starts the command. It returns once the program is being executed, or
// says why it is not.
//
// It is syscall.ForkExec and not os/exec, because os.File.Fd, through which
// that takes descriptors, has set the file blocking, which all workers that
// share it would feel.
func Start(c Command) (*Process, error) {
	paths, err := c.check()
	if err != nil {
		return nil, err
	}
	if c.prepared() {
		return c.startPrepared(paths)
	}
	path := paths[0]
	files := make([]uintptr, len(c.Files))
	for i, fd := range c.Files {
		files[i] = uintptr(fd) // -1: closed in the child
	}
	handle := -1
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: sysProcAttr(c, &handle)}
	pid, err := children.start(path, c.Args, attr)
	if errors.Is(err, syscall.ENOEXEC) { // as execvp(3) does for a script without a #! line
		pid, err = children.start("/bin/sh", append([]string{"/bin/sh", path}, c.Args[1:]...), attr)
	}
	if err != nil {
		return nil, fmt.Errorf("program %q: %w%s", c.Args[0], err, hint(err))
	}
	return &Process{pid: pid, pidfd: newPidfd(handle), group: c.Group}, nil
}

// hint says what the bare error of execve(2) leaves out for a file that is
// there and executable.
func hint(err error) string {
	if errors.Is(err, syscall.ENOENT) {
		return "; its interpreter, named in its first line or its ELF header, is missing"
	}
	return ""
}

func accessExecute(path string) error {
	return unix.Access(path, unix.X_OK)
}

// Pid is the process's number.
func (p *Process) Pid() int { return p.pid }

// Signal sends a signal; KILL goes to the whole group that the process leads. A
// process that has ended meanwhile is no error. KILL must not be sent after Wait
// has returned: the number of the group may be another's then.
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

// Ended tells that the process has ended, also when Wait has not returned yet. It does
// not block.
func (p *Process) Ended() bool { return p.pidfd.ended(p.pid) }

// Wait blocks until the process has ended, and returns its raw wait status as
// wait(2) has it. It must be called once.
func (p *Process) Wait() int {
	p.pidfd.await()
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(p.pid, &status, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			children.waitedFor(p.pid)
			p.pidfd.close()
			return int(status)
		}
	}
}
