//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// Go cannot fork, so start_server runs itself again in a new session, with
// this variable naming a pipe. What it writes there is for the caller's
// stderr; a NUL byte is the news that the first worker has been started.
const daemonVariable = "START_SERVER_DAEMON_FD"

// daemonPipe is the daemon's end of the pipe.
type daemonPipe struct{ *os.File }

// daemonReport returns the pipe if this process is the daemon.
func daemonReport() *daemonPipe {
	fd, err := strconv.Atoi(os.Getenv(daemonVariable))
	if err != nil {
		return nil
	}
	os.Unsetenv(daemonVariable) // the workers need not know
	syscall.CloseOnExec(fd)
	return &daemonPipe{os.NewFile(uintptr(fd), "pipe to the caller")}
}

// ready lets the caller go.
func (d *daemonPipe) ready() {
	d.Write([]byte{0}) // a caller that is gone does not matter
	d.Close()
}

// daemonize starts the daemon, and returns once its first worker has been
// started, or it has failed.
func daemonize(stderr io.Writer) int {
	r, w, err := os.Pipe()
	if err != nil {
		return fail(stderr, exitError, fmt.Errorf("cannot daemonize: %w", err))
	}
	defer r.Close()
	path, err := os.Executable()
	if err != nil {
		path = "/proc/self/exe"
	}
	// Not by os/exec, which makes the program a twentieth bigger in memory.
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return fail(stderr, exitError, fmt.Errorf("cannot daemonize: %w", err))
	}
	defer null.Close()
	daemon, err := os.StartProcess(path, os.Args, &os.ProcAttr{
		Files: []*os.File{null, null, null, w},
		Env:   append(os.Environ(), daemonVariable+"=3"),
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	w.Close()
	if err != nil {
		return fail(stderr, exitError, fmt.Errorf("cannot daemonize: %w", err))
	}
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		text, _, ready := bytes.Cut(buffer[:n], []byte{0})
		stderr.Write(text)
		if ready {
			return exitOK
		}
		if err != nil {
			break
		}
	}
	state, err := daemon.Wait()
	if err != nil {
		return fail(stderr, exitError, fmt.Errorf("cannot wait for the daemon: %w", err))
	}
	if code := state.ExitCode(); code > 0 {
		return code // it has said why
	}
	return fail(stderr, exitError, fmt.Errorf("the daemon ended before it was ready: %v", state))
}
