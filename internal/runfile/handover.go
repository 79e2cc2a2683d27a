package runfile

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Hand is the pid file's path and the descriptor that has its lock, for the next image of
// this program.
func (p *PidFile) Hand() (path string, n int) { return p.path, int(p.file.Fd()) }

// AdoptPidFile takes over a pid file from the last image.
func AdoptPidFile(path string, n int) *PidFile { return &PidFile{path, os.NewFile(uintptr(n), path)} }

// IsAt tells whether the pid file is the one at path.
func (p *PidFile) IsAt(path string) bool {
	abs, err := filepath.Abs(path)
	return err == nil && abs == p.path && same(p.file, p.path)
}

// Path is where the status file is.
func (s *StatusFile) Path() string { return s.path }

// TryStatusFile says why NewStatusFile would fail, as far as that can be known without removing
// what is there.
func TryStatusFile(path string) error {
	if info, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("status file: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("status file: %q is not a directory", filepath.Dir(path))
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("status file: %q is not a file", path)
	}
	return nil
}

// AdoptStatusFile is NewStatusFile for the path of the last image's status file, which is
// true until this one writes its own.
func AdoptStatusFile(path string) (*StatusFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return NewStatusFile(path)
	}
	if _, trusted := fd.Owner(info); !trusted {
		return nil, fmt.Errorf("status file: %q is another user's", path)
	}
	status, _ := ReadStatus(path) // one that cannot be read is replaced when this one is written
	return &StatusFile{path: path, made: info, lists: status.Entries}, nil
}

// KeepStatusFile is NewStatusFile, but a file at path stays until Write is called: it may list
// workers of a superdaemon that was killed.
func KeepStatusFile(path string) (*StatusFile, error) {
	s, err := AdoptStatusFile(path)
	if err == nil {
		s.made, s.keeps = nil, true
	}
	return s, err
}
