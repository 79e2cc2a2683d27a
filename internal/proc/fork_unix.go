//go:build unix

package proc

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/trampoline"
	"golang.org/x/sys/unix"
)

// forker runs functions on one thread that lives as long as the process. For
// DieWithParent the kernel takes the end of the forking thread for the end of the
// parent, and Go ends threads when it likes.
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

// ForkOnMain calls run, and starts children on the thread that has called ForkOnMain. This must
// be the main thread: after an exec the children of the last image are the main thread's, and
// the kernel ends those with DieWithParent if another thread executes the next image. Lock the
// main goroutine to the main thread in an init function (runtime.LockOSThread).
func ForkOnMain(run func() int) int {
	forker.once.Do(func() { forker.work = make(chan func()) })
	code := make(chan int)
	go func() { code <- run() }()
	for {
		select {
		case do := <-forker.work:
			do()
		case n := <-code:
			return n
		}
	}
}

// forked is a process that is still the trampoline.
type forked struct {
	process *Process
	socket  int    // our end
	unsent  []byte // what did not fit into the socket's buffer
}

// fork starts the trampoline. The instructions are written before, as far as they fit
// into the socket's buffer, so the trampoline need not wait.
func (c *Command) fork(paths []string) (*forked, error) {
	path, err := itself()
	if err != nil {
		return nil, fmt.Errorf("cannot find our own executable: %w", err)
	}
	ours, theirs, err := fd.Pair()
	if err != nil {
		return nil, err
	}
	defer unix.Close(theirs)
	table, handedOver, err := c.withoutTerminal()
	if err != nil {
		unix.Close(ours)
		return nil, err
	}
	defer handedOver()
	job := c.job(paths)
	files, at := place(table, theirs)
	job.Closed = closed(c.Files)
	handle := -1
	attr := &syscall.ProcAttr{Env: trampolineEnv(at), Files: files, Sys: sysProcAttr(*c, &handle)}
	f := &forked{socket: ours}
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
		return nil, fmt.Errorf("cannot be started by way of %s: %w", path, err)
	}
	f.process = &Process{pid: pid, pidfd: newPidfd(handle), group: c.Group}
	return f, nil
}

// place adds the socket to the program's table, at a number that the table leaves free.
// It is also put where 0, 1 or 2 is missing: Go's runtime would open /dev/null there.
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

// trampolineEnv is the environment of the trampoline itself. The program's environment
// is among the instructions: its GOMAXPROCS and GODEBUG are not for the trampoline.
// GOTRACEBACK=none keeps an early QUIT from writing a traceback to the program's stderr.
// The dynamic loader needs the variables that it has needed to start us.
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
func (f *forked) sendNow() error {
	total := len(f.unsent)
	for len(f.unsent) > 0 {
		n, err := unix.SendmsgN(f.socket, f.unsent, nil, nil, unix.MSG_DONTWAIT)
		f.unsent = f.unsent[max(n, 0):]
		switch {
		case err == unix.EINTR:
		case err != nil && total-len(f.unsent) >= trampoline.HeaderSize:
			return nil // awaitExec writes the rest when the trampoline reads
		case err != nil:
			return os.NewSyscallError("sendmsg", err)
		}
	}
	return nil
}

// awaitExec blocks until the program is executed, or returns why it is not; the process
// is gone then, and was waited for. If a signal has ended the trampoline that is no
// failure: Wait tells of it, as of a program that a signal has ended. When ctx ends the
// process is killed: its user may have stopped it.
func (f *forked) awaitExec(ctx context.Context) (*trampoline.Failure, error) {
	defer unix.Close(f.socket)
	inTime := context.AfterFunc(ctx, func() { _ = f.process.pidfd.signal(f.process.pid, syscall.SIGKILL) })
	for len(f.unsent) > 0 {
		// If the trampoline has ended, Go's runtime ignores the PIPE that this raises.
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
			break // an error says that the trampoline ended before it had read all
		}
		n += more
	}
	if !inTime() {
		f.process.Wait()
		return nil, fmt.Errorf("was killed, as it was %w", context.Cause(ctx))
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
