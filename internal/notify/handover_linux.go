package notify

import (
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"golang.org/x/sys/unix"
)

// Hand is a descriptor of the socket, with what was not read, and the directory that holds
// it, for the next image of this program. Nothing more is read until release is called, which
// has handle called for what was read and not heard. If handle is under way it has to return
// soon.
func (l *Listener) Hand() (n int, dir string, release func(unheard []supervise.Notice), err error) {
	_ = l.conn.SetReadDeadline(time.Now())
	l.reading.Lock()
	n = -1
	if f, fault := l.conn.File(); fault == nil {
		n, err = fd.Dup(int(f.Fd()))
		f.Close()
	} else {
		err = fault
	}
	return n, l.dir, func(unheard []supervise.Notice) {
		_ = l.conn.SetReadDeadline(time.Time{})
		if n >= 0 {
			unix.Close(n)
		}
		go l.goOn(unheard)
	}, err
}

// goOn handles what was not heard, and reads on.
func (l *Listener) goOn(unheard []supervise.Notice) {
	for _, notice := range unheard {
		l.handle(notice)
	}
	ended := l.ended
	l.ended = false
	l.reading.Unlock()
	if ended {
		l.read(l.handle)
	}
}

// Adopt is like Listen, with the socket of the last image, and with what that has read and
// not heard. n stays the caller's.
func Adopt(n int, dir string, unheard []supervise.Notice, handle func(supervise.Notice)) (*Listener, error) {
	own, err := fd.Dup(n)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "notify socket")
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	l := &Listener{conn: conn.(*net.UnixConn), dir: dir, aside: fd.NewAside(), done: make(chan struct{}), handle: handle, ended: true}
	l.reading.Lock()
	go l.goOn(unheard)
	return l, nil
}
