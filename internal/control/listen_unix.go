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

// listen binds path. A socket there on which no process listens is replaced. No client can
// connect before the mode is set: connecting needs listen(2), which comes after that.
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

// mode returns the mode of the socket's file.
func mode(worker int) os.FileMode {
	if worker != 0 {
		return 0o666 // but we own the file: workers could replace one that they own
	}
	return 0o600
}

// check fails if a process listens at path already, or if what is there is not a socket.
func check(path string) error {
	if err := fd.CheckBind(path); errors.Is(err, fd.ErrNoSocket) || errors.Is(err, fd.ErrListening) {
		return err
	}
	return nil // Listen reports any other fault
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
	l.SetUnlinkOnClose(false) // by then the path may belong to another server
	return nil
}

// close removes the socket's file, if that is still ours, and stops listening. It does so in
// this order because another file may get the inode number of a closed socket. A second call
// does nothing.
func (l *listener) close() (err error) {
	l.once.Do(func() {
		err = l.made.Remove()
		// Close frees the descriptors that clients have passed and nothing has accepted. It
		// may take as long as those clients like.
		go l.Close()
	})
	return err
}

// refuseRights keeps clients from passing descriptors, which are never expected, if the
// kernel can. Otherwise they could hold up a read(2) from a client, and each close(2).
func refuseRights(n int) { _ = fd.RefuseRights(n) }
