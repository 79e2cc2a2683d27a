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

	"github.com/lestrrat/go-server-starter/internal/fd"
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
// left behind is taken over. One that only processes of other users hold is replaced. If
// another process holds it, it is left as it is, and the error is a *HeldError. Hold may
// block for a tenth of a second.
func Hold(path string) (*PidFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	deadline, others := time.Now().Add(grace), 0
	for first := true; ; first = false {
		f, err := fd.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, fmt.Errorf("pid file: %w", err)
		}
		if err := isOurs(f); err != nil {
			f.Close()
			return nil, err
		}
		held, err := lock(f)
		switch {
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("cannot lock pid file %q: %w", path, err)
		case held:
			pid, _ := readPid(f)
			removed, err := letGo(f, path)
			f.Close()
			if err != nil {
				return nil, err
			}
			if time.Now().After(deadline) && !(removed && first) { // a busy machine may be late the first time
				return nil, &HeldError{path, pid}
			}
			time.Sleep(time.Millisecond)
			continue
		case !same(f, path): // its last owner removed it between open and lock
			f.Close()
			if others++; others > maxOthers {
				return nil, fmt.Errorf("pid file %q: what is opened there is not the file that stands there: use another path", path)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		if err := write(f); err != nil {
			_ = remove(f, path)
			f.Close()
			return nil, fmt.Errorf("cannot write pid file %q: %w", path, err)
		}
		return &PidFile{path, f}, nil
	}
}

// grace is time for a client to test the lock, and for a new owner to write its pid.
const grace = 100 * time.Millisecond

// maxOthers is how often another file may stand at the path than was opened. Of a descriptor, as
// /dev/stdout names one, that is always so.
const maxOthers = 100

func write(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// same tells whether path is still the file f.
func same(f *os.File, path string) bool {
	info, err := f.Stat()
	return err == nil && fd.IsAt(path, info)
}

// remove removes the open file f from path, if it is there.
func remove(f *os.File, path string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := fd.RemoveFile(path, info); !errors.Is(err, fd.ErrOther) {
		return err
	}
	return nil
}

// isOurs refuses a file of another user: that user could name any process in it.
func isOurs(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	if uid, trusted := fd.Owner(info); !trusted {
		return fmt.Errorf("pid file %q is user %d's, who is neither root nor the user that runs this: remove it, or use another pid file", f.Name(), uid)
	}
	return nil
}

// letGo removes the file f from path if only processes of other users hold it: any process
// that can read a file can lock it.
func letGo(f *os.File, path string) (removed bool, err error) {
	if !heldByStrangers(f) {
		return false, nil
	}
	if err := remove(f, path); err != nil {
		return false, fmt.Errorf("pid file %q is locked by another user's process: %w", path, err)
	}
	return true, nil
}

// Release removes the file and then unlocks it, so that no process locks a file that is
// about to vanish.
func (p *PidFile) Release() error {
	return errors.Join(remove(p.file, p.path), p.file.Close())
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

// Owner returns the pid of the running process that holds the pid file. The file names it,
// but that counts only if the process has the lock itself, and if the file is its user's,
// ours or root's. The error tells a missing file from one that no process holds. Owner may
// block for a tenth of a second.
func Owner(path string) (int, error) {
	f, err := fd.OpenFile(path, os.O_RDONLY, 0)
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
		late := time.Now().After(deadline)
		switch {
		case err == nil && held && holds(f, pid):
			return pid, belongs(f, pid)
		case err == nil && held && !late: // a new owner is about to write its own
		case err == nil && held:
			return 0, fmt.Errorf("pid file %q names process %d, but another process has locked it: nothing was signalled", path, pid)
		case err == nil && alive(pid):
			return 0, nobody("pid file %q is held by nobody: process %d, which it names, is running, but is not the start_server that wrote it; it was not signalled", path, pid)
		case err == nil:
			return 0, nobody("pid file %q is stale: process %d, which it names, is gone", path, pid)
		case !held || late:
			return 0, err
		}
	}
}

// belongs refuses a file whose user is neither root nor ours nor that of the process which
// it names.
func belongs(f *os.File, pid int) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	if uid, trusted := fd.Owner(info); !trusted && !runsAs(pid, uid) {
		return fmt.Errorf("pid file %q is user %d's, but process %d, which it names, is not: nothing was signalled", f.Name(), uid, pid)
	}
	return nil
}
