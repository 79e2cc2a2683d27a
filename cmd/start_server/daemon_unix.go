//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// daemonVariable holds the descriptor of a pipe. Go cannot fork, so start_server runs itself
// again in a new session. The daemon writes to the pipe what is for the caller's stderr, and a
// NUL byte when the first worker has been started.
const daemonVariable = "START_SERVER_DAEMON_FD"

// daemonPipe is the daemon's end of the pipe.
type daemonPipe struct{ *os.File }

// daemonReport returns the pipe if this process is the daemon.
func daemonReport() *daemonPipe {
	fd, err := strconv.Atoi(os.Getenv(daemonVariable))
	if err != nil {
		return nil
	}
	os.Unsetenv(daemonVariable) // workers must not get it
	syscall.CloseOnExec(fd)
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getppid()) {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // what systemd passed to the caller is for us
	}
	return &daemonPipe{os.NewFile(uintptr(fd), "pipe to the caller")}
}

// ready tells the caller that the first worker has been started.
func (d *daemonPipe) ready() {
	d.Write([]byte{0}) // fails if the caller is gone, which does not matter
	d.Close()
}

// daemonize starts the daemon. It blocks until the first worker has been started or the
// daemon has failed, and returns an exit code.
func daemonize(stderr io.Writer) int {
	pid, report, err := startDaemon()
	if err != nil {
		return fail(stderr, exitError, fmt.Errorf("cannot daemonize: %w", err))
	}
	defer report.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := report.Read(buffer)
		text, _, ready := bytes.Cut(buffer[:n], []byte{0})
		stderr.Write(text)
		if ready {
			return exitOK
		}
		if err != nil {
			return daemonEnds(stderr, pid)
		}
	}
}

// startDaemon returns our end of the pipe that the daemon writes to.
func startDaemon() (pid int, report *os.File, err error) {
	path, err := os.Executable()
	if err != nil {
		path = "/proc/self/exe"
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	files, err := inherited(null.Fd())
	if err != nil {
		return 0, nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer w.Close()
	// os/exec would make the program take 5 % more memory.
	pid, _, err = syscall.StartProcess(path, os.Args, &syscall.ProcAttr{
		Files: append(files, w.Fd()),
		Env:   append(os.Environ(), daemonVariable+"="+strconv.Itoa(len(files))),
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		r.Close()
		return 0, nil, err
	}
	return pid, r, nil
}

// daemonEnds waits for the end of a daemon that has closed the pipe, and returns an exit code.
func daemonEnds(stderr io.Writer, pid int) int {
	var status syscall.WaitStatus
	var err error
	ended := 0
	for end := time.Now().Add(endTime); ended == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		ended, err = syscall.Wait4(pid, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			ended = 0
		}
	}
	switch {
	case ended == 0: // the pipe is closed, but the daemon runs: the next image does not have the pipe
		return fail(stderr, exitError, fmt.Errorf("the daemon, process %d, was upgraded before it was ready, and runs: --status tells how it goes on", pid))
	case err != nil:
		return fail(stderr, exitError, fmt.Errorf("cannot wait for the daemon: %w", err))
	case status.Exited() && status.ExitStatus() > 0:
		return status.ExitStatus() // the daemon has said why
	case status.Signaled():
		return fail(stderr, exitError, fmt.Errorf("the daemon ended before it was ready: killed by signal %d", status.Signal()))
	}
	return fail(stderr, exitError, errors.New("the daemon ended before it was ready"))
}

// endTime is how long a process that has closed its files may take to end.
const endTime = 10 * time.Second

// inherited returns the daemon's descriptors: null for 0, 1 and 2, then those that we were
// started with, at the same numbers. They may be sockets for the workers.
func inherited(null uintptr) ([]uintptr, error) {
	files := []uintptr{null, null, null}
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= len(files) {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue // the directory's own descriptor, or one that Go has opened
		}
		for len(files) < fd {
			files = append(files, ^uintptr(0)) // no descriptor has this number
		}
		files = append(files, uintptr(fd))
	}
	return files, nil
}
