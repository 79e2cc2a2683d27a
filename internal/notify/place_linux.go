package notify

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// A socket in a directory is preferred to an abstract one. An abstract one leaves no file
// behind, but Puma and others cannot write to it. Nothing can remove the file when this
// process is killed. So it stands in a directory that is emptied at a boot, and the next
// start removes what others have left.

// places are the directories that are tried for the socket, the best first.
func places() []string {
	var dirs []string
	if os.Geteuid() == 0 {
		dirs = append(dirs, "/run")
	} else if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		dirs = append(dirs, dir)
	}
	return append(dirs, os.TempDir(), "/tmp")
}

// bindIn makes a socket in the first directory that allows it. With others, any user must be
// able to enter that directory. The result is nil if there is none.
func bindIn(dirs []string, others bool) (*Listener, error) {
	var last error
	for _, dir := range dirs {
		if others && !open(dir) {
			continue
		}
		l, err := bindFile(dir)
		if err == nil {
			go sweep(dir)
			return l, nil
		}
		last = err
	}
	return nil, last
}

// prefix begins the name of a directory that holds a socket.
const prefix = "start_server-"

// bindFile makes a socket that any user may write to, in a new directory that only our user
// may list.
func bindFile(in string) (*Listener, error) {
	dir, err := os.MkdirTemp(in, prefix)
	if err != nil {
		return nil, err
	}
	l := &Listener{dir: dir}
	if err = l.bind(filepath.Join(dir, socketName)); err == nil {
		err = letIn(dir)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

const socketName = "notify"

func (l *Listener) bind(path string) error {
	n, err := fd.Socket(unix.AF_UNIX, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(n), path)
	defer f.Close() // net.FilePacketConn has one of its own
	if _, err = fd.Bind(n, path, 0o666, -1, -1, nil); err != nil {
		return err
	}
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return err
	}
	l.conn = conn.(*net.UnixConn)
	return nil
}

// letIn lets other users open the files of a directory whose names they know.
func letIn(dir string) error {
	d, err := fd.OpenDir(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Chmod(0o711)
}

// beingMade is how long a directory without a socket is left alone: another process may be
// about to make one in it.
const beingMade = time.Minute

// sweep removes our user's sockets that no process has open, and their directories. They are
// of superdaemons that were killed.
func sweep(in string) {
	found, _ := filepath.Glob(filepath.Join(in, prefix+"*"))
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if uid, _ := fd.Owner(info); uid != os.Geteuid() {
			continue
		}
		err = fd.RemoveDead(filepath.Join(dir, socketName))
		if err == nil || errors.Is(err, fs.ErrNotExist) && time.Since(info.ModTime()) > beingMade {
			_ = os.Remove(dir) // if there is nothing else in it
		}
	}
}
