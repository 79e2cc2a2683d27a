package runfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Entry is a line of the status file, for a worker that serves.
type Entry struct{ Generation, Pid int }

// StatusFile is a status file that is written beside its path and renamed, so that a
// reader never sees half of it.
type StatusFile struct {
	path    string
	entries []Entry
	made    fs.FileInfo // the file that is there; nil: none
	lists   []Entry     // what it lists; nil: nobody, or that is not known
	written time.Time   // the last time
	keeps   bool        // leaves the file that is there alone, until Write is called
}

// NewStatusFile makes a StatusFile that is not written yet. A file that stands at path is
// removed: what it says is no longer true.
func NewStatusFile(path string) (*StatusFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("status file: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("status file: %q is not a directory", filepath.Dir(path))
	}
	if err := fd.RemoveRegular(path); errors.Is(err, fd.ErrNotRegular) {
		return nil, fmt.Errorf("status file: %q is not a file", path)
	} else if err != nil {
		return nil, fmt.Errorf("status file: %w", err)
	}
	return &StatusFile{path: path}, nil
}

// Write replaces the file by one with a line GENERATION:PID for each entry. A file that lists
// these already stays, as Renew alone may replace it by one with the same content: the last
// image may have written it.
func (s *StatusFile) Write(entries []Entry) error {
	s.entries, s.keeps = entries, false
	if s.made != nil && s.lists != nil && slices.Equal(entries, s.lists) && fd.IsAt(s.path, s.made) {
		return nil
	}
	return s.replace()
}

// Renew replaces the file by one with the same content: that tells a waiting client that
// its restart has failed. It blocks until every client has had time to read what was
// written last, which takes a few hundredths of a second.
func (s *StatusFile) Renew() error {
	time.Sleep(time.Until(s.written.Add(5 * poll)))
	return s.replace()
}

// Rewrite writes again what Write was given last, if that has failed.
func (s *StatusFile) Rewrite() error { return s.replace() }

func (s *StatusFile) replace() error {
	if s.keeps {
		return nil
	}
	var text bytes.Buffer
	for _, e := range s.entries {
		fmt.Fprintf(&text, "%d:%d\n", e.Generation, e.Pid)
	}
	made, err := fd.ReplaceFile(s.path, text.Bytes(), 0o644)
	if err != nil {
		return fmt.Errorf("status file: %w", err)
	}
	s.made, s.lists, s.written = made, s.entries, time.Now()
	return nil
}

// Remove removes the file if it was made, and is still there.
func (s *StatusFile) Remove() error {
	if s.made == nil {
		return nil
	}
	made := s.made
	s.made = nil
	return fd.RemoveFile(s.path, made)
}

// maxStatus is how many bytes of a status file are read: more than any of ours has.
const maxStatus = 4 << 20

// Status is what a status file said at one moment.
type Status struct {
	Entries []Entry
	info    fs.FileInfo
}

// ReadStatus reads a status file. A missing file is an empty status.
func ReadStatus(path string) (Status, error) {
	f, err := fd.OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("status file: %w", err)
	}
	defer f.Close()
	var s Status
	var text bytes.Buffer
	if s.info, err = f.Stat(); err == nil {
		_, err = text.ReadFrom(io.LimitReader(f, maxStatus))
	}
	if err != nil {
		return Status{}, fmt.Errorf("status file: %w", err)
	}
	for line := range strings.Lines(text.String()) {
		line = strings.TrimSpace(line)
		generation, pid, _ := strings.Cut(line, ":")
		g, errG := strconv.Atoi(generation)
		p, errP := strconv.Atoi(pid)
		if errG != nil || errP != nil {
			return Status{}, fmt.Errorf("status file %q holds the line %q, which is not GENERATION:PID", path, line)
		}
		s.Entries = append(s.Entries, Entry{g, p})
	}
	return s, nil
}

// Newest is the highest generation listed; 0: none is.
func (s Status) Newest() int {
	newest := 0
	for _, e := range s.Entries {
		newest = max(newest, e.Generation)
	}
	return newest
}

// Alone tells whether exactly one generation is listed.
func (s Status) Alone() bool {
	for _, e := range s.Entries {
		if e.Generation != s.Entries[0].Generation {
			return false
		}
	}
	return len(s.Entries) > 0
}

// bornSince tells whether all listed workers were started at that uptime or later.
func (s Status) bornSince(uptime time.Duration) bool {
	for _, e := range s.Entries {
		if !bornSince(e.Pid, uptime) {
			return false
		}
	}
	return true
}

// RenewedSince tells whether s is another file than old with the same content: see
// StatusFile.Renew.
func (s Status) RenewedSince(old Status) bool {
	if s.info == nil || s.String() != old.String() {
		return false
	}
	return old.info == nil || !os.SameFile(s.info, old.info) || !s.info.ModTime().Equal(old.info.ModTime())
}

func (s Status) String() string {
	if len(s.Entries) == 0 {
		return "no worker"
	}
	var words []string
	for _, e := range s.Entries {
		words = append(words, fmt.Sprintf("%d:%d", e.Generation, e.Pid))
	}
	return strings.Join(words, " ")
}
