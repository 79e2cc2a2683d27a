//go:build unix

package fd

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// OpenFile is os.OpenFile for a regular file whose path may lead through directories of
// other users. It follows no symlink that another user could have put there. In a directory
// that other users may change it opens no file that has several links. Anything but a regular
// file is an error. Nothing there makes it block. The error is an *os.PathError; if it unwraps
// to a *LinkError, a symlink was not followed.
func OpenFile(path string, flags int, mode os.FileMode) (*os.File, error) {
	return openFile(path, flags, mode, isRegular)
}

// OpenLog opens a file to append to, and makes it with mode 0644 if there is none. It may also
// be a character device, or a FIFO that a process reads, if only root or we can have put it
// there. Writing to a full FIFO blocks.
func OpenLog(path string) (*os.File, error) {
	return openFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644, func(w *way, st *unix.Stat_t) error {
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR, unix.S_IFIFO:
			if !w.trusted || !w.link && st.Mode&unix.S_IFMT == unix.S_IFIFO && !trusts(st.Uid) {
				return errors.New("another user may have put it there, and it is not a regular file")
			}
			return nil
		}
		if w.link {
			return nil // it is open already
		}
		return isRegular(w, st)
	})
}

// openFile opens a file. If right refuses the file that is an error, and the file stays as it is.
func openFile(path string, flags int, mode os.FileMode, right func(*way, *unix.Stat_t) error) (*os.File, error) {
	const tries = 10 // the file may come and go
	for try := 1; ; try++ {
		w, err := find(path, true)
		if err != nil {
			return nil, err
		}
		f, err := w.openRight(flags, mode, right)
		w.close()
		if flags&os.O_CREATE == 0 || try == tries || !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
	}
}

// openRight opens what is there, if right accepts it.
func (w *way) openRight(flags int, mode os.FileMode, right func(*way, *unix.Stat_t) error) (*os.File, error) {
	if w.found { // opening a device may have an effect
		if err := w.check(&w.stat, right); err != nil && !w.link {
			return nil, err
		}
	}
	f, err := w.open(flags, uint32(mode.Perm()))
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil {
		err = w.check(&st, right)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (w *way) check(st *unix.Stat_t, right func(*way, *unix.Stat_t) error) error {
	if err := right(w, st); err != nil {
		return &os.PathError{Op: "open", Path: w.path, Err: err}
	}
	return nil
}

func isRegular(w *way, st *unix.Stat_t) error {
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return errDirectory
	case kind != unix.S_IFREG:
		return ErrNotRegular
	case w.shared && st.Nlink > 1:
		return fmt.Errorf("it is one of %d links to a file, in a directory that other users may change", st.Nlink)
	}
	return nil
}

// errDirectory is ErrNotRegular in the system's words.
var errDirectory error = isDirectory{unix.EISDIR}

type isDirectory struct{ error }

func (isDirectory) Is(target error) bool { return target == ErrNotRegular }

// OpenDir opens a directory to be read, as OpenFile does a file.
func OpenDir(path string) (*os.File, error) {
	w, err := find(path, true)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.open(unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// OpenIn opens a regular file in an open directory to be read, as OpenFile does.
func OpenIn(dir *os.File, name string) (*os.File, error) {
	w, err := within(dir, name)
	if err != nil {
		return nil, err
	}
	defer w.close()
	return w.openRight(os.O_RDONLY, 0, isRegular)
}

// Owner is the user that a file belongs to, and whether that is root or the one that we
// run as.
func Owner(info os.FileInfo) (uid int, trusted bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, false
	}
	return int(st.Uid), trusts(st.Uid)
}

// IsAt tells whether a file stands at a path.
func IsAt(path string, file os.FileInfo) bool {
	w, err := find(path, true)
	if err != nil {
		return false
	}
	defer w.close()
	return w.is(file)
}

// is tells whether a file is what is there.
func (w *way) is(file os.FileInfo) bool {
	st, ok := file.Sys().(*syscall.Stat_t)
	return ok && w.found && uint64(st.Dev) == uint64(w.stat.Dev) && st.Ino == w.stat.Ino && st.Mode&unix.S_IFMT == w.stat.Mode&unix.S_IFMT
}

// RemoveFile removes a file from a path. If something else stands there the error
// unwraps to ErrOther; if nothing stands there it is nil.
func RemoveFile(path string, file os.FileInfo) error {
	w, err := find(path, true)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.close()
	switch {
	case !w.found:
		return nil
	case !w.is(file):
		return &os.PathError{Op: "remove", Path: path, Err: ErrOther}
	}
	return w.remove(w.name)
}

func (w *way) remove(name string) error {
	if err := unix.Unlinkat(w.dir, name, 0); err != nil {
		return &os.PathError{Op: "remove", Path: w.path, Err: err}
	}
	return nil
}

// RemoveRegular removes the regular file, or the symlink, at a path. Nothing there is
// no error; anything else is, and stays.
func RemoveRegular(path string) error {
	w, err := find(path, false)
	if err != nil {
		return err
	}
	defer w.close()
	if !w.found {
		return nil
	}
	if err := w.replaceable(); err != nil {
		return err
	}
	return w.remove(w.name)
}

// replaceable returns an error if a file may not replace what is there: it may replace a
// regular file and a symlink.
func (w *way) replaceable() error {
	if kind := w.stat.Mode & unix.S_IFMT; w.found && kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return &os.PathError{Op: "replace", Path: w.path, Err: ErrNotRegular}
	}
	return nil
}

// ReplaceFile puts a file with that text in the place of what stands at a path, in one
// step. It replaces a symlink, not what that leads to. Anything else but a regular file is an
// error, and stays.
func ReplaceFile(path string, text []byte, mode os.FileMode) (os.FileInfo, error) {
	w, err := find(path, false)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.replaceable(); err != nil {
		return nil, err
	}
	beside := &way{path: path, dir: w.dir, name: w.name + "." + strconv.FormatUint(rand.Uint64(), 36)}
	f, err := beside.open(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, uint32(mode.Perm()))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(text)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.NewSyscallError("rename", unix.Renameat(w.dir, beside.name, w.dir, w.name))
	}
	if err != nil {
		return nil, errors.Join(err, beside.remove(beside.name))
	}
	return info, nil
}
