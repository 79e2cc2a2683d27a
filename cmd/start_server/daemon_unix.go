//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
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
	daemon := exec.Command("/proc/self/exe")
	if path, err := os.Executable(); err == nil {
		daemon.Path = path
	}
	daemon.Args = os.Args
	daemon.ExtraFiles = []*os.File{w}
	daemon.Env = append(os.Environ(), daemonVariable+"=3")
	daemon.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = daemon.Start()
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
	daemon.Wait() // the exit code says it all
	if code := daemon.ProcessState.ExitCode(); code > 0 {
		return code
	}
	return fail(stderr, exitError, fmt.Errorf("the daemon ended before it was ready: %v", daemon.ProcessState))
}
