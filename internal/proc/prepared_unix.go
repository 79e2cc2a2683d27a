//go:build unix

package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/trampoline"
	"golang.org/x/sys/unix"
)

// prepared says whether there is something to do that fork and exec cannot.
func (c *Command) prepared() bool {
	return c.PidVariable != "" || c.Umask != nil || c.Nice != 0 || c.Credential != nil || c.DieWithParent
}

// checkTrampoline says why our executable cannot be started again for it, if so.
func checkTrampoline() error {
	path, err := itself()
	if err == nil {
		_, err = os.Stat(path)
	}
	switch {
	case err != nil:
		return fmt.Errorf("systemd's export, user, group, umask, nice and die-with-parent need our own executable, as /proc shows it: %w", err)
	case trampoline.Privileged():
		return errors.New("systemd's export, user, group, umask, nice and die-with-parent cannot be had with a set-user-ID bit or file capabilities:" +
			" use ambient ones (AmbientCapabilities= of systemd, setpriv --ambient-caps)")
	}
	return nil
}

// forker runs functions on one thread that lives as long as the process. The
// kernel takes the end of the thread that has forked for the end of the parent,
// and Go ends threads when it likes.
var forker struct {
	once sync.Once
	work chan func()
}

func onForker(do func()) {
	forker.once.Do(func() {
		forker.work = make(chan func())
		go func() {
			runtime.LockOSThread() // and never unlocks it
			for do := range forker.work {
				do()
			}
		}()
	})
	done := make(chan struct{})
	forker.work <- func() { defer close(done); do() }
	<-done
}

// flight is a process that is a trampoline still.
type flight struct {
	process *Process
	socket  int    // our end
	unsent  []byte // what did not fit into the socket's buffer
}

// startPrepared starts the command by way of a trampoline.
func (c *Command) startPrepared(paths []string) (*Process, error) {
	f, err := c.takeOff(paths)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", c.Args[0], err)
	}
	failed, err := f.land()
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", c.Args[0], err)
	}
	if failed != nil {
		return nil, c.explain(*failed)
	}
	return f.process, nil
}

// takeOff forks. The instructions are in the socket before that, as far as they
// fit, so that the trampoline need not wait.
func (c *Command) takeOff(paths []string) (*flight, error) {
	path, err := itself()
	if err != nil {
		return nil, fmt.Errorf("cannot find our own executable: %w", err)
	}
	ours, theirs, err := fd.Pair()
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	job := c.job(paths)
	files, at := place(c.Files, theirs)
	job.Closed = closed(c.Files)
	handle := -1
	attr := &syscall.ProcAttr{Env: trampolineEnv(at), Files: files, Sys: sysProcAttr(*c, &handle)}
	f := &flight{socket: ours}
	var pid int
	onForker(func() {
		signals, release := trampoline.Hold()
		defer release()
		job.Signals = signals
		f.unsent = job.Encode()
		if err = f.sendNow(); err == nil {
			pid, err = children.start(path, c.Args[:1], attr)
		}
	})
	if err != nil {
		unix.Close(ours)
		return nil, fmt.Errorf("cannot be prepared by way of %s: %w", path, err)
	}
	f.process = &Process{pid: pid, pidfd: newPidfd(handle), group: c.Group}
	return f, nil
}

func (c *Command) job(paths []string) *trampoline.Job {
	job := &trampoline.Job{
		Paths:       paths,
		Args:        c.Args,
		Env:         c.Env,
		Nice:        c.Nice,
		Identity:    c.Credential.identity(),
		Umask:       -1,
		Dir:         c.Dir,
		PidVariable: c.PidVariable,
	}
	if c.Umask != nil {
		job.Umask = *c.Umask
	}
	if c.DieWithParent {
		job.Parent = os.Getpid()
	}
	if c.PidVariable != "" {
		stale := func(pair string) bool { return strings.HasPrefix(pair, c.PidVariable+"=") }
		job.Env = slices.DeleteFunc(slices.Clone(c.Env), stale)
	}
	return job
}

// place finds a number for the socket that the program's table has no use for.
// Go's runtime would open /dev/null where 0, 1 or 2 is missing; the socket is
// there instead.
func place(table []int, socket int) (files []uintptr, at int) {
	at = 3
	for at < len(table) && table[at] >= 0 {
		at++
	}
	files = make([]uintptr, max(len(table), at+1))
	for i := range files {
		files[i] = ^uintptr(0) // none
	}
	for i, fd := range table {
		files[i] = uintptr(fd)
	}
	for _, i := range append(closed(table), at) {
		files[i] = uintptr(socket)
	}
	return files, at
}

// closed are those of 0, 1 and 2 that the table leaves out.
func closed(table []int) []int {
	var list []int
	for i := range 3 {
		if i >= len(table) || table[i] < 0 {
			list = append(list, i)
		}
	}
	return list
}

// trampolineEnv is the environment of the trampoline itself. The program's is
// among the instructions, lest its GOMAXPROCS or GODEBUG be followed too early.
// A QUIT that comes before the trampoline has seen to signals is to leave no
// traceback in the program's stderr. What the dynamic loader has needed to start
// us it needs again.
func trampolineEnv(fd int) []string {
	env := []string{trampoline.Variable + "=" + trampoline.Value(fd), "GOMAXPROCS=1", "GOTRACEBACK=none"}
	for _, pair := range os.Environ() {
		if strings.HasPrefix(pair, "LD_") || strings.HasPrefix(pair, "DYLD_") {
			env = append(env, pair)
		}
	}
	return env
}

// sendNow sends what can be sent without waiting.
func (f *flight) sendNow() error {
	total := len(f.unsent)
	for len(f.unsent) > 0 {
		n, err := unix.SendmsgN(f.socket, f.unsent, nil, nil, unix.MSG_DONTWAIT)
		f.unsent = f.unsent[max(n, 0):]
		switch {
		case err == unix.EINTR:
		case err != nil && total-len(f.unsent) >= trampoline.HeaderSize:
			return nil // the rest waits for a reader
		case err != nil:
			return os.NewSyscallError("sendmsg", err)
		}
	}
	return nil
}

// land blocks until the program is being executed, or returns why it is not; the
// process is then gone. One that a signal has ended meanwhile might as well have
// been the program: Wait tells of that.
func (f *flight) land() (*trampoline.Failure, error) {
	defer unix.Close(f.socket)
	for len(f.unsent) > 0 {
		// Go's runtime ignores the PIPE that comes when nobody reads any more.
		n, err := unix.Write(f.socket, f.unsent)
		if err != nil && err != unix.EINTR {
			break
		}
		f.unsent = f.unsent[max(n, 0):]
	}
	var report [trampoline.FailureSize + 1]byte
	n := 0
	for n < len(report) {
		more, err := unix.Read(f.socket, report[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || more == 0 {
			break // an error says that it ended without having read all
		}
		n += more
	}
	if n == 0 {
		return nil, nil
	}
	status := syscall.WaitStatus(f.process.Wait())
	failed, ok := trampoline.DecodeFailure(report[:n])
	if !ok {
		return nil, fmt.Errorf("our own executable has failed to start it, wait status %#x", int(status))
	}
	return &failed, nil
}

// explain says what Start would say of a command that it starts directly, or
// which of the preparations has failed.
func (c *Command) explain(failed trampoline.Failure) error {
	errno := syscall.Errno(failed.Errno)
	as := ""
	if c.Credential != nil && errno == syscall.EACCES {
		as = " for " + c.Credential.who
	}
	name := c.Args[0]
	switch failed.Step {
	case trampoline.StepExec:
		return fmt.Errorf("program %q: %w%s%s", name, errno, as, hint(errno))
	case trampoline.StepDir:
		return fmt.Errorf("working directory: %w%s", &fs.PathError{Op: "chdir", Path: c.Dir, Err: errno}, as)
	case trampoline.StepNice:
		return fmt.Errorf("program %q: cannot be made nicer by %d: %w", name, c.Nice, errno)
	case trampoline.StepGroups:
		return fmt.Errorf("cannot switch to %s: setgroups: %w", c.Credential.who, errno)
	case trampoline.StepGID:
		return fmt.Errorf("cannot switch to %s: setgid %d: %w", c.Credential.who, c.Credential.GID, errno)
	case trampoline.StepUID:
		return fmt.Errorf("cannot switch to %s: setuid %d: %w", c.Credential.who, c.Credential.UID, errno)
	case trampoline.StepParent:
		return fmt.Errorf("program %q: cannot be made to end with us: %w", name, errno)
	case trampoline.StepPrivileged:
		return errors.New("a program whose own file has a set-user-ID bit or capabilities" +
			" cannot set a pid variable, umask, niceness or user")
	default:
		return fmt.Errorf("program %q: cannot be prepared: %w", name, errno)
	}
}
