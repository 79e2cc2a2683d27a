//go:build unix

package fd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A way is where a path leads: a directory that is open, and a name in it. What is done
// to the file is done there, so nobody can put another directory in between.
type way struct {
	path string // that was looked for
	dir  int    // descriptor of the directory
	name string

	trusted bool        // all directories so far are root's or ours, and not open to everybody
	shared  bool        // others may put files into the directory
	link    bool        // what is there is a link of /proc that only the kernel can follow
	found   bool        // something is there
	stat    unix.Stat_t // of what is there
	links   int         // how many symlinks were followed
	rest    []string    // of the path, the last part first
}

// maxLinks is how many symlinks the kernel follows.
const maxLinks = 40

// trusts tells whether a user may do as it likes with our files: it is root, or we.
func trusts(uid uint32) bool { return uid == 0 || int(uid) == os.Geteuid() }

// find goes along a path. It follows a symlink only if root or we must have put it there: the
// link, and each directory on the way to it, is root's or ours. With follow it does that for
// the last part, too. The caller has to close the way.
func find(path string, follow bool) (*way, error) {
	if path == "" {
		return nil, &os.PathError{Op: "open", Err: unix.ENOENT}
	}
	if !filepath.IsAbs(path) { // filepath.Abs would take "link/.." away, which may lead elsewhere
		in, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		path = in + "/" + path
	}
	w := &way{path: path, dir: -1, trusted: true}
	w.push(path)
	if err := w.goTo(unix.AT_FDCWD, "/"); err != nil {
		return nil, err
	}
	return w, w.closedOn(w.walk(follow))
}

// within is find for a name in a directory that is open. It leaves the directory as it is.
func within(dir *os.File, name string) (*way, error) {
	n, err := Dup(int(dir.Fd()))
	if err != nil {
		return nil, err
	}
	w := &way{path: filepath.Join(dir.Name(), name), dir: n, trusted: true, rest: []string{name}}
	if err = w.look(); err == nil {
		err = w.walk(true)
	}
	return w, w.closedOn(err)
}

func (w *way) close() { unix.Close(w.dir) }

// closedOn closes the way if there is an error, which gets the path.
func (w *way) closedOn(err error) error {
	if err == nil {
		return nil
	}
	w.close()
	return &os.PathError{Op: "open", Path: w.path, Err: err}
}

// push puts the parts of a path before what is left to go.
func (w *way) push(path string) {
	parts := strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	slices.Reverse(parts)
	w.rest = append(w.rest, parts...)
}

func (w *way) walk(follow bool) error {
	for {
		if len(w.rest) == 0 { // it ends in a directory: that itself is what is there
			w.rest = []string{"."}
		}
		last := len(w.rest) - 1
		w.name, w.rest = w.rest[last], w.rest[:last]
		if w.name == "." && last > 0 {
			continue
		}
		err := unix.Fstatat(w.dir, w.name, &w.stat, unix.AT_SYMLINK_NOFOLLOW)
		w.found = err == nil
		switch {
		case err == unix.ENOENT && last == 0:
			return nil // it may be made
		case err != nil:
			return err
		case w.stat.Mode&unix.S_IFMT == unix.S_IFLNK && (last > 0 || follow):
			if err := w.followLink(last == 0); err != nil || w.link {
				return err
			}
		case last == 0:
			return nil
		default:
			if err := w.goTo(w.dir, w.name); err != nil {
				return err
			}
		}
	}
}

// goTo enters a directory.
func (w *way) goTo(in int, name string) error {
	n, err := unix.Openat(in, name, openDir|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if w.dir >= 0 {
		unix.Close(w.dir)
	}
	w.dir = n
	return w.look()
}

// look finds out who can do what in the directory.
func (w *way) look() error {
	var st unix.Stat_t
	if err := unix.Fstat(w.dir, &st); err != nil {
		return err
	}
	const everybody, group = 0o002, 0o020
	sticky := st.Mode&unix.S_ISVTX != 0
	if !trusts(st.Uid) || st.Mode&everybody != 0 && !sticky {
		w.trusted = false
	}
	w.shared = !trusts(st.Uid) || st.Mode&(everybody|group) != 0
	return nil
}

// followLink goes where the symlink at name leads.
func (w *way) followLink(last bool) error {
	if !w.trusted || !trusts(w.stat.Uid) {
		return &LinkError{int(w.stat.Uid)}
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if last && isProc(w.dir) {
		w.link = true // it stands for what is open already
		return nil
	}
	target := make([]byte, 4096)
	n, err := unix.Readlinkat(w.dir, w.name, target)
	if err != nil {
		return err
	}
	if n > 0 && target[0] == '/' {
		if err := w.goTo(unix.AT_FDCWD, "/"); err != nil {
			return err
		}
	}
	w.push(string(target[:n]))
	return nil
}

// LinkError tells of a symlink that is not followed.
type LinkError struct{ uid int }

func (e *LinkError) Error() string {
	if trusts(uint32(e.uid)) {
		return "a symlink on the way stands in a directory that other users may change, and is not followed"
	}
	return fmt.Sprintf("a symlink on the way is user %d's, who is neither root nor the user that runs this, and is not followed", e.uid)
}

// open opens what is there. A FIFO or a device does not block it.
func (w *way) open(flags int, mode uint32) (*os.File, error) {
	flags |= unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if !w.link {
		flags |= unix.O_NOFOLLOW
	}
	if w.found {
		flags &^= unix.O_CREAT // the system may refuse that for another user's file
	}
	n, err := unix.Openat(w.dir, w.name, flags, mode)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: w.path, Err: err}
	}
	if err := unix.SetNonblock(n, false); err != nil {
		unix.Close(n)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(n), w.path), nil
}
