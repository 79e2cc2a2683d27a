//go:build unix

package prober

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/lestrrat/go-server-starter/internal/text"
	"golang.org/x/sys/unix"
)

// shell runs the commands. It is where POSIX systems have it, whatever PATH is.
const shell = "/bin/sh"

// outputTime is how long processes that a command has started may write after it has ended.
const outputTime = 100 * time.Millisecond

// execute runs a command, which gets the connections from descriptor 3 on. It leads a
// process group, which is killed when ctx ends.
func execute(ctx context.Context, r *wire.Request, connections []*os.File) wire.Answer {
	for _, file := range connections {
		if err := unix.SetNonblock(int(file.Fd()), false); err != nil { // most programs expect it to block
			return failed("%v", err)
		}
	}
	var output lastLine
	command := exec.CommandContext(ctx, shell, "-c", r.Command)
	stale := func(pair string) bool { return strings.HasPrefix(pair, "SERVER_STARTER_PROBE=") }
	command.Env = append(slices.DeleteFunc(os.Environ(), stale), r.Env...)
	command.ExtraFiles = connections
	command.Stdout, command.Stderr = &output, &output
	command.SysProcAttr = attributes()
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = outputTime
	// Linux takes the thread that has started the command for the parent that it ends with.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := command.Run()
	line := output.text()
	var exited *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay) && command.ProcessState.Success():
		return wire.Answer{Result: wire.Passed}
	case ctx.Err() != nil:
		return wire.Answer{Result: wire.Late, Reason: line}
	case errors.As(err, &exited):
		return failed("%s", describe(exited.Sys().(syscall.WaitStatus), line))
	}
	return failed("%v", err)
}

// describe tells how a command has ended.
func describe(status syscall.WaitStatus, line string) string {
	how := fmt.Sprintf("exit code %d", status.ExitStatus())
	if status.Signaled() {
		how = "killed by signal " + text.SignalName(status.Signal())
	}
	if line != "" {
		how += ": " + line
	}
	return how
}

// lastLine keeps the last line of what is written to it that is not empty.
type lastLine struct {
	mu         sync.Mutex
	last, this []byte
}

// Write is io.Writer's.
func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for part := range bytes.Lines(p) {
		l.this = append(l.this, part[:min(len(part), max(0, maxBody-len(l.this)))]...)
		if part[len(part)-1] == '\n' {
			l.end()
		}
	}
	return len(p), nil
}

func (l *lastLine) end() {
	if line := bytes.TrimSpace(l.this); len(line) > 0 {
		l.last = append(l.last[:0], line...)
	}
	l.this = l.this[:0]
}

func (l *lastLine) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	return cut(string(l.last))
}
