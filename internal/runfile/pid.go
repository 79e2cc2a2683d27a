// Package runfile writes the pid file and the status file of a superdaemon, and restarts
// and stops a superdaemon by means of them.
package runfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PidFile is a locked pid file (flock(2)). The lock shows that its owner is alive.
type PidFile struct {
	path string
	file *os.File
}

// HeldError tells that a running process holds the pid file.
type HeldError struct {
	Path string
	Pid  int // 0: the process has not written it
}

func (e *HeldError) Error() string {
	if e.Pid == 0 {
		return fmt.Sprintf("pid file %q is held by another process that has not written its pid", e.Path)
	}
	return fmt.Sprintf("pid file %q is held by running process %d; stop that first, or use another pid file", e.Path, e.Pid)
}

// Hold locks the pid file and writes this process's pid into it. A file that a process has
// left behind is taken over. If a process holds it, it is left as it is, and the error is
// a *HeldError. Hold may block for a tenth of a second.
func Hold(path string) (*PidFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(grace)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
		held, err := lock(f)
		switch {
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("cannot lock pid file %q: %w", path, err)
		case held:
			pid, _ := readPid(f)
			f.Close()
			if time.Now().After(deadline) {
				return nil, &HeldError{path, pid}
			}
			time.Sleep(time.Millisecond)
			continue
		case !same(f, path): // its last owner removed it between open and lock
			f.Close()
			continue
		}
		if err := write(f); err != nil {
			os.Remove(path)
			f.Close()
			return nil, fmt.Errorf("cannot write pid file %q: %w", path, err)
		}
		return &PidFile{path, f}, nil
	}
}

// grace is time for a client to test the lock, and for a new owner to write its pid.
const grace = 100 * time.Millisecond

func write(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// same tells whether path is still the file f.
func same(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// Release removes the file and then unlocks it, so that no process locks a file that is
// about to vanish.
func (p *PidFile) Release() error {
	var err error
	if same(p.file, p.path) {
		err = os.Remove(p.path)
	}
	return errors.Join(err, p.file.Close())
}

func readPid(f *os.File) (int, error) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 64))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("pid file %q does not hold a pid but %q", f.Name(), text)
	}
	return pid, nil
}

// Owner returns the pid of the running process that holds the pid file. The error says
// whether the file is missing or no process holds it. It may block for a tenth of a
// second.
func Owner(path string) (int, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nobody("pid file %q does not exist: no start_server is running with it", path)
	}
	if err != nil {
		return 0, fmt.Errorf("pid file: %w", err)
	}
	defer f.Close()
	for deadline := time.Now().Add(grace); ; time.Sleep(time.Millisecond) {
		held, err := locked(f)
		if err != nil {
			return 0, fmt.Errorf("cannot test the lock of pid file %q: %w", path, err)
		}
		pid, err := readPid(f) // after the test: before it, it may still be the last owner's
		switch {
		case err == nil && held:
			return pid, nil
		case err == nil && alive(pid):
			return 0, nobody("pid file %q is held by nobody: process %d, which it names, is running, but is not the start_server that wrote it; it was not signalled", path, pid)
		case err == nil:
			return 0, nobody("pid file %q is stale: process %d, which it names, is gone", path, pid)
		case !held || time.Now().After(deadline):
			return 0, err
		}
	}
}
