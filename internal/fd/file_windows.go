package fd

import (
	"errors"
	"os"
	"path/filepath"
)

// OpenFile is os.OpenFile.
func OpenFile(path string, flags int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flags, mode)
}

// OpenDir is os.Open.
func OpenDir(path string) (*os.File, error) { return os.Open(path) }

// OpenIn opens a file in a directory.
func OpenIn(dir *os.File, name string) (*os.File, error) {
	f, err := os.Open(filepath.Join(dir.Name(), name))
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, ErrNotRegular)
	}
	return f, nil
}

// Owner is not known.
func Owner(os.FileInfo) (uid int, trusted bool) { return -1, true }

// IsAt tells whether a file stands at a path.
func IsAt(path string, file os.FileInfo) bool {
	now, err := os.Stat(path)
	return err == nil && os.SameFile(now, file)
}

// RemoveFile removes a file from a path. If something else stands there the error
// unwraps to ErrOther; if nothing stands there it is nil.
func RemoveFile(path string, file os.FileInfo) error {
	now, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !os.SameFile(now, file):
		return &os.PathError{Op: "remove", Path: path, Err: ErrOther}
	}
	return os.Remove(path)
}

// RemoveRegular removes the regular file at a path. Nothing there is no error.
func RemoveRegular(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &os.PathError{Op: "replace", Path: path, Err: ErrNotRegular}
	}
	return os.Remove(path)
}

// ReplaceFile puts a file with that text in the place of what stands at a path.
func ReplaceFile(path string, text []byte, mode os.FileMode) (os.FileInfo, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return os.Stat(path)
}
