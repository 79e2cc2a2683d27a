package runfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// NobodyError tells that no superdaemon runs with a file, and why that is known.
type NobodyError struct{ why string }

func (e *NobodyError) Error() string { return e.why }

func nobody(format string, args ...any) error { return &NobodyError{fmt.Sprintf(format, args...)} }

// Standing is what the files of a superdaemon say.
type Standing struct {
	Pid    int    // of the process that holds the pid file; 0: no pid file was looked at
	Status Status // as its status file has it
	Known  bool   // a status file was looked at
}

// Look tells what the pid file and the status file say, one of which may be "". The
// error is a *NobodyError if no superdaemon runs; another tells that this cannot be
// known. Without a pid file no superdaemon runs if the status file is missing, or if
// all workers that it lists are gone. Look may block for a tenth of a second.
func Look(pidFile, statusFile string) (Standing, error) {
	var s Standing
	var err error
	if pidFile != "" {
		if s.Pid, err = Owner(pidFile); err != nil {
			return s, err
		}
	}
	if statusFile == "" {
		return s, nil
	}
	if s.Status, err = ReadStatus(statusFile); err != nil {
		return s, err
	}
	s.Known = true
	if s.Pid != 0 {
		return s, nil // a file that is not there yet lists nothing
	}
	if _, err := os.Lstat(statusFile); errors.Is(err, fs.ErrNotExist) {
		return s, nobody("status file %q does not exist: no start_server is running with it", statusFile)
	}
	for _, e := range s.Status.Entries {
		if running(e.Pid) {
			return s, nil
		}
	}
	if len(s.Status.Entries) > 0 {
		return s, nobody("status file %q is stale: it lists %s, and none of them is running", statusFile, s.Status)
	}
	return s, nil
}
