package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Hand is the socket. Clients that wait to be accepted wait for the next image, or until
// release is called.
func (s *Server) Hand() (h *Held, release func(), err error) {
	s.socket.Lock()
	defer s.socket.Unlock()
	l := s.listener
	n, err := duplicate(l.UnixListener)
	if err != nil {
		return nil, nil, err
	}
	h = &Held{FD: n}
	h.Path, h.Dev, h.Ino = l.made.File()
	_ = l.SetDeadline(time.Now())
	return h, func() {
		unix.Close(n)
		_ = l.SetDeadline(time.Time{})
		go s.accept(l)
	}, nil
}

// duplicate is a descriptor of a socket that is not Go's.
func duplicate(socket interface{ File() (*os.File, error) }) (int, error) {
	f, err := socket.File()
	if err != nil {
		return -1, err
	}
	defer f.Close()
	return fd.Dup(int(f.Fd()))
}

// Drop removes the socket's file, which this image has no use for.
func (h *Held) Drop() { _ = fd.Known(h.Path, h.Dev, h.Ino).Remove() }

// adopt is a listener of the last image's socket, which stays open; nil: its file is not there
// any more.
func (h *Held) adopt(worker int) (*listener, error) {
	made, err := fd.Rebound(h.Path, h.Dev, h.Ino, mode(worker), -1, -1)
	if errors.Is(err, fd.ErrLost) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := fd.Dup(h.FD)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), h.Path)
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	l := &listener{made: made, UnixListener: ln.(*net.UnixListener)}
	l.SetUnlinkOnClose(false)
	return l, nil
}

// Try says why Listen could not make a socket at path. It makes one there, and removes it.
func Try(path string) error {
	path, err := Claim(path)
	if err != nil {
		return err
	}
	l, err := listen(path, 0)
	if err == nil {
		err = l.close()
	}
	if err != nil {
		return fmt.Errorf("control socket %q: %w", path, err)
	}
	return nil
}

// Abandon removes the socket's file, unless it is the last image's, which goes on with it.
func (s *Server) Abandon() error {
	s.socket.Lock()
	defer s.socket.Unlock()
	if h := s.Held; h != nil && s.listener.made.Is(h.Path, h.Dev, h.Ino) {
		return nil
	}
	return s.listener.made.Remove()
}

// Wait is the client of a request, for the next image.
func (r *Request) Wait() (*Waiting, error) {
	if r.client == nil {
		return nil, errors.New("no client waits for this")
	}
	conn, ok := r.client.conn.(*net.UnixConn)
	if !ok {
		return nil, errors.New("the client's connection cannot be handed over")
	}
	n, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	return &Waiting{n, r.client.peer.Pid, r.client.peer.UID, string(r.ID), r.client.events != nil}, nil
}

// conn is the connection of the client.
func (w *Waiting) conn() (net.Conn, error) {
	f := os.NewFile(uintptr(w.FD), "client")
	defer f.Close() // net.FileConn has one of its own
	return net.FileConn(f)
}

// answer is what do returns, for the client's request.
func (w *Waiting) answer(do func() Answer) Answer {
	a := do()
	a.Version = Version
	if w.ID != "" {
		a.ID = []byte(w.ID)
	}
	return a
}

// Answer sends the client what do returns, for an image that has no control socket, and hangs
// up.
func (w *Waiting) Answer(do func() Answer) {
	conn, err := w.conn()
	a := w.answer(do)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, _ = conn.Write(a.encode())
}

// Answer sends a client what do returns, and then serves it on. It does not block.
func (s *Server) Answer(w *Waiting, do func() Answer) {
	conn, err := w.conn()
	if err != nil {
		go do()
		return
	}
	c := &client{server: s, conn: conn, peer: Peer{Pid: w.Pid, UID: w.UID}, gone: make(chan struct{}), busy: true}
	if _, err := s.admit(c); err != nil {
		conn.Close()
		go do()
		return
	}
	if w.Subscribed && s.subscribe(c) {
		go c.tell()
	}
	go func() {
		err := c.send(w.answer(do))
		s.finished(c)
		if err == nil {
			c.talk()
			return
		}
		c.end()
		s.remove(c)
	}()
}
