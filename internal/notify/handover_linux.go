package notify

import (
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"golang.org/x/sys/unix"
)

// Hand hands the socket over to the next image of this program, with the messages that were read
// and not handled. It ends the context of handle: a message that handle then does not take is
// kept. Nothing more is read until release is called. FD is a duplicate, which release closes.
func (l *Listener) Hand() (h *Held, release func(), err error) {
	l.deafen()
	_ = l.conn.SetReadDeadline(time.Now())
	l.reading.Lock()
	h = &Held{Path: l.dir, FD: -1, Unheard: l.unheard}
	f, err := l.conn.File()
	if err == nil {
		h.FD, err = fd.Dup(int(f.Fd()))
		f.Close()
	}
	return h, func() {
		l.hear()
		_ = l.conn.SetReadDeadline(time.Time{})
		if h.FD >= 0 {
			unix.Close(h.FD)
		}
		go l.goOn(h.Unheard)
	}, err
}

// goOn handles what was not heard, and reads on.
func (l *Listener) goOn(unheard []supervise.Notice) {
	for _, notice := range unheard {
		l.tell(notice)
	}
	ended := l.ended
	l.ended = false
	l.reading.Unlock()
	if ended {
		l.read()
	}
}

// Adopt is like Listen, with the socket of the last image, and with the messages that it has
// read and not handled. The descriptor stays the caller's.
func Adopt(h *Held, handle Handler) (*Listener, error) {
	own, err := fd.Dup(h.FD)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(own), "notify socket")
	defer f.Close()
	conn, err := net.FilePacketConn(f)
	if err != nil {
		return nil, err
	}
	l := &Listener{conn: conn.(*net.UnixConn), dir: h.Path, ended: true}
	l.start(handle)
	l.reading.Lock()
	go l.goOn(h.Unheard)
	return l, nil
}
