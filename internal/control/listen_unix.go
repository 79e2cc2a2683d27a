//go:build unix

package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// listener is the bound socket.
type listener struct {
	*net.UnixListener
	path string
	made os.FileInfo // of the socket's file
	once sync.Once   // of close
}

// backlog is how many clients may wait to be accepted.
const backlog = 128

// listen makes a listening socket at path. Its mode is set before listen(2), so that no
// client can connect with another mode.
func listen(path string, worker int) (*listener, error) {
	fd, err := fd.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() // net.FileListener makes a duplicate
	if err := bind(fd, path); err != nil {
		return nil, err
	}
	l := &listener{path: path}
	if err = l.open(fd, f, worker); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return l, nil
}

// bind binds path. A socket there on which no process listens is replaced.
func bind(fd int, path string) error {
	address := &syscall.SockaddrUnix{Name: path}
	err := syscall.Bind(fd, address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return os.NewSyscallError("bind", err)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was removed just now
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errNoSocket
	case inUse(path):
		return errTaken
	default:
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot replace the stale socket: %w", err)
		}
	}
	return os.NewSyscallError("bind", syscall.Bind(fd, address))
}

// inUse tells whether a process may listen on a socket. Only a refused connection proves
// that none does.
func inUse(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}

// Check is the error of Listen if a process listens at path, or something else than a
// socket is there.
func Check(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil: // nothing is there, or Listen will fail
		return nil
	case info.Mode().Type() != fs.ModeSocket:
		err = errNoSocket
	case inUse(path):
		err = errTaken
	}
	if err != nil {
		return fmt.Errorf("control socket %q: %w", path, err)
	}
	return nil
}

var (
	errNoSocket = errors.New("what is there is not a socket, and is left alone")
	errTaken    = errors.New("a process listens there already")
)

func (l *listener) open(fd int, f *os.File, worker int) (err error) {
	mode := os.FileMode(0o600)
	if worker != 0 {
		mode = 0o666 // but we own it: workers could replace a file of their own
	}
	if err = os.Chmod(l.path, mode); err != nil {
		return err
	}
	if l.made, err = os.Lstat(l.path); err != nil {
		return err
	}
	refuseRights(fd)
	if err = syscall.Listen(fd, backlog); err != nil {
		return os.NewSyscallError("listen", err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	l.UnixListener = ln.(*net.UnixListener)
	l.SetUnlinkOnClose(false) // the path may be another server's by then
	return nil
}

// close removes the socket's file, if that is still ours, and stops listening: in this
// order, as the inode number of a closed socket may be another file's. A second call does
// nothing.
func (l *listener) close() (err error) {
	l.once.Do(func() {
		if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.made) {
			err = os.Remove(l.path)
		}
		// It frees what those have passed that were not accepted yet, and may take as
		// long as they like.
		go l.Close()
	})
	return err
}

// refuseRights keeps clients from passing descriptors, which nobody expects, if the
// kernel can. Otherwise a read(2) from a client, and each close(2), may be held up.
func refuseRights(n int) { _ = fd.RefuseRights(n) }
