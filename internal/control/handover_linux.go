package control

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Hand is the socket. Clients that wait to be accepted wait for the next image.
func (s *Server) Hand() (*Held, error) {
	s.socket.Lock()
	defer s.socket.Unlock()
	n, err := duplicate(s.listener.UnixListener)
	if err != nil {
		return nil, err
	}
	h := &Held{FD: n}
	h.Path, h.Dev, h.Ino = s.listener.made.File()
	return h, nil
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

// Drop removes the socket, which this image has no use for.
func (h *Held) Drop() {
	_ = fd.Known(h.Path, h.Dev, h.Ino).Remove()
	_ = os.NewFile(uintptr(h.FD), h.Path).Close()
}

// adopt takes over the socket from the last image; nil: its file is not there any more.
func (h *Held) adopt(worker int) (*listener, error) {
	made, err := fd.Rebound(h.Path, h.Dev, h.Ino, mode(worker), -1, -1)
	if errors.Is(err, fd.ErrLost) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(h.FD), h.Path)
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	l := &listener{made: made, UnixListener: ln.(*net.UnixListener)}
	l.SetUnlinkOnClose(false)
	return l, nil
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

// Answer sends the client what do returns, for an image that has no control socket, and hangs
// up.
func (w *Waiting) Answer(do func() Answer) {
	f := os.NewFile(uintptr(w.FD), "client")
	conn, err := net.FileConn(f)
	f.Close()
	a := do()
	if err != nil {
		return
	}
	defer conn.Close()
	a.Version = Version
	if w.ID != "" {
		a.ID = []byte(w.ID)
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, _ = conn.Write(a.encode())
}

// Answer sends a client what do returns, and then serves it on. It does not block.
func (s *Server) Answer(w *Waiting, do func() Answer) {
	f := os.NewFile(uintptr(w.FD), "client")
	conn, err := net.FileConn(f)
	f.Close()
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
		a := do()
		if w.ID != "" {
			a.ID = []byte(w.ID)
		}
		err := c.send(a)
		s.finished(c)
		if err == nil {
			c.talk()
			return
		}
		c.end()
		s.remove(c)
	}()
}
