//go:build unix

package control

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// listener is the bound socket.
type listener struct {
	*net.UnixListener
	made *fd.Bound
	once sync.Once // close
}

// backlog is how many clients may wait to be accepted.
const backlog = 128

// listen binds path, also in the place of a socket on which nobody listens. Nobody can
// connect before the mode is set, as that takes listen(2).
func listen(path string, worker int) (*listener, error) {
	n, err := fd.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), path)
	defer f.Close() // net.FileListener makes a duplicate
	made, err := fd.Bind(n, path, mode(worker), -1, -1, nil)
	if err != nil {
		return nil, err
	}
	l := &listener{made: made}
	if err = l.open(n, f); err != nil {
		return nil, errors.Join(err, made.Remove())
	}
	return l, nil
}

// mode is that of the socket's file.
func mode(worker int) os.FileMode {
	if worker != 0 {
		return 0o666 // but we own it: workers could replace a file of their own
	}
	return 0o600
}

// check finds a process that listens at path already, and what is not a socket.
func check(path string) error {
	if err := fd.CheckBind(path); errors.Is(err, fd.ErrNoSocket) || errors.Is(err, fd.ErrListening) {
		return err
	}
	return nil // what else is wrong is for Listen to say
}

func (l *listener) open(n int, f *os.File) (err error) {
	refuseRights(n)
	if err = syscall.Listen(n, backlog); err != nil {
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
		err = l.made.Remove()
		// It frees what those have passed that were not accepted yet, and may take as
		// long as they like.
		go l.Close()
	})
	return err
}

// refuseRights keeps clients from passing descriptors, which nobody expects, if the
// kernel can. Otherwise a read(2) from a client, and each close(2), may be held up.
func refuseRights(n int) { _ = fd.RefuseRights(n) }
