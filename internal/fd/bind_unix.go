//go:build unix

package fd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Bound is a unix socket's file.
type Bound struct {
	path     string
	dev, ino uint64
}

// Errors about what stands at a path where a socket is to be bound.
var (
	ErrNoSocket  = errors.New("what is there is not a socket, and is left alone")
	ErrListening = errors.New("a process listens there already")
)

// Bind binds a unix socket that does not listen yet to a path, and gives its file a mode
// and, if these are not -1, an owner and a group. A socket file on which no process listens
// is removed first; removing, unless it is nil, is called before that. Besides the system's
// errors there are ErrNoSocket, ErrListening, and one if another file has taken the place. On
// an error no file of ours is left.
//
// The mode is set on the socket before it has a name: set by name, it could change a file that
// another user has put there. What the umask takes from it is given back by a descriptor.
func Bind(socket int, path string, mode fs.FileMode, uid, gid int, removing func()) (*Bound, error) {
	w, err := find(path, false)
	if why := (*os.PathError)(nil); errors.As(err, &why) {
		return nil, os.NewSyscallError("bind", why.Err)
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.clear(path, removing); err != nil {
		return nil, err
	}
	_ = unix.Fchmod(socket, uint32(mode.Perm())) // only Linux can
	if err := unix.Bind(socket, &unix.SockaddrUnix{Name: SocketName(path)}); err != nil {
		return nil, os.NewSyscallError("bind", err)
	}
	b := &Bound{path: path}
	var st unix.Stat_t
	if err = unix.Fstatat(w.dir, w.name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		err = b.isOurs(&st)
	}
	if err == nil {
		err = b.own(w, mode, uid, gid)
	}
	if err != nil && b.ino != 0 {
		err = errors.Join(err, b.Remove())
	}
	return b, err
}

// clear removes a socket file on which no process listens. Anything else there is an error.
// path is as it was given: it may fit into a socket's address where the absolute one does not.
func (w *way) clear(path string, removing func()) error {
	if !w.found {
		return nil
	}
	if err := w.stale(path); err != nil {
		return err
	}
	if removing != nil {
		removing()
	}
	return w.remove(w.name)
}

func (w *way) stale(path string) error {
	if w.stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return ErrNoSocket
	}
	switch err := connect(path); err {
	case unix.ECONNREFUSED:
		return nil
	case nil, unix.EAGAIN, unix.EPROTOTYPE: // EAGAIN: its queue is full
		return ErrListening
	default:
		return os.NewSyscallError("connect", err)
	}
}

// connect tries to connect, without waiting. Only ECONNREFUSED says that no process listens.
func connect(path string) error {
	n, err := Socket(unix.AF_UNIX, unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer unix.Close(n)
	if err := unix.SetNonblock(n, true); err != nil {
		return err
	}
	return unix.Connect(n, &unix.SockaddrUnix{Name: SocketName(path)})
}

// CheckBind returns the error that Bind would for what stands at a path. It removes nothing.
func CheckBind(path string) error {
	w, err := find(path, false)
	if err != nil {
		return err
	}
	defer w.close()
	if !w.found {
		return nil
	}
	return w.stale(path)
}

// RemoveDead removes a socket file on which no process listens. Anything else is an error, and
// stays.
func RemoveDead(path string) error {
	w, err := find(path, false)
	if err != nil {
		return err
	}
	defer w.close()
	if !w.found {
		return &os.PathError{Op: "remove", Path: path, Err: fs.ErrNotExist}
	}
	return w.clear(path, nil)
}

// isOurs refuses a file that is not the socket that was made just now. A hard link to another
// socket of ours has more than one name.
func (b *Bound) isOurs(st *unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() || st.Nlink != 1 {
		return fmt.Errorf("something else was put there while the socket was bound (mode %o, of user %d)", st.Mode, st.Uid)
	}
	b.dev, b.ino = uint64(st.Dev), st.Ino
	return nil
}

// Lost tells whether the file is not at the path any more: it was removed or replaced, and no
// client can connect.
func (b *Bound) Lost() bool {
	var st unix.Stat_t
	return unix.Lstat(b.path, &st) != nil || uint64(st.Dev) != b.dev || st.Ino != b.ino
}

// Remove removes the file, if it is still there. Call it before the socket is closed: after
// that another file may get the inode number.
func (b *Bound) Remove() error {
	w, err := find(b.path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer w.close()
	if !w.found || uint64(w.stat.Dev) != b.dev || w.stat.Ino != b.ino {
		return nil
	}
	return w.remove(w.name)
}
