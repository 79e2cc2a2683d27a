package notify

import (
	"net"
	"os"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Hand is a descriptor of the socket, with what was not read, and the directory that holds
// it, for the next image of this program.
func (l *Listener) Hand() (n int, dir string, err error) {
	f, err := l.conn.File()
	if err != nil {
		return -1, "", err
	}
	defer f.Close()
	n, err = fd.Dup(int(f.Fd()))
	return n, l.dir, err
}

// Adopt takes over the socket from the last image, and is like Listen then.
func Adopt(n int, dir string, handle func(supervise.Notice)) (*Listener, error) {
	f := os.NewFile(uintptr(n), "notify socket")
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	l := &Listener{conn: conn.(*net.UnixConn), dir: dir, aside: fd.NewAside(), done: make(chan struct{})}
	go l.read(handle)
	return l, nil
}
