package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Hand returns the socket for the next image. Until release is called no client is accepted, and
// no request read. The context of requests under way ends with ErrHandedOver; a request that is
// not carried out because of that is left to the next image. With clients, so are all
// connections, except those of clients that Farewell has told to connect again and that have
// asked for nothing. Hand waits for answers that are under way, for parkTime at most.
func (s *Server) Hand(clients bool) (h *Held, release func(), err error) {
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
	parked, goOn := s.park()
	if clients {
		h.Clients = held(parked)
	}
	return h, func() {
		unix.Close(n)
		for _, c := range h.Clients {
			unix.Close(c.FD)
		}
		_ = l.SetDeadline(time.Time{})
		go s.accept(l)
		goOn()
	}, nil
}

// parkTime is how long answers that are under way may take.
const parkTime = time.Second

// park stops the reading of requests until goOn is called, and returns the clients that wait for
// that.
func (s *Server) park() (parked []*client, goOn func()) {
	s.mu.Lock()
	over := make(chan struct{})
	s.parking = over
	s.stop(ErrHandedOver)
	s.mu.Unlock()
	for end := time.Now().Add(parkTime); ; time.Sleep(time.Millisecond) {
		var busy bool
		if parked, busy = s.parked(); !busy || time.Now().After(end) {
			break
		}
	}
	return parked, func() {
		s.mu.Lock()
		s.parking = nil
		s.context, s.stop = context.WithCancelCause(context.Background())
		s.mu.Unlock()
		close(over)
	}
}

// parked returns the clients from which nothing is read any more. busy says that there are others.
func (s *Server) parked() (parked []*client, busy bool) {
	busy = s.accepting.Load() > 0 // then a client may not be on the list yet
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		switch {
		case c.ended || c.waits:
		case c.parked && c.unread.Load() == 0:
			parked = append(parked, c)
		default:
			c.expectNothing()
			busy = true
		}
	}
	return parked, busy
}

// held returns the connections of clients that are parked.
func held(parked []*client) (all []HeldClient) {
	for _, c := range parked {
		conn, ok := c.conn.(*net.UnixConn)
		if !ok {
			continue
		}
		n, err := duplicate(conn)
		if err != nil {
			continue
		}
		if c.told && c.rest == "" && !readable(n) { // it will connect again
			unix.Close(n)
			continue
		}
		all = append(all, HeldClient{n, c.events != nil, c.rest})
	}
	return all
}

// readable reports whether there is something to read, which may be the end.
func readable(n int) bool {
	fds := []unix.PollFd{{Fd: int32(n), Events: unix.POLLIN}}
	ready, err := unix.Poll(fds, 0)
	return err == nil && ready > 0
}

// GoOn serves the clients that the last image has handed over.
func (s *Server) GoOn(h *Held) {
	for _, c := range h.Clients {
		if conn, err := connOf(c.FD); err == nil {
			s.welcome(conn, &c)
		}
	}
}

// Refuse hangs up on the clients, for an image that has no control socket. A client that has
// asked for something is told why.
func (h *Held) Refuse(why error) {
	for _, c := range h.Clients {
		conn, err := connOf(c.FD)
		if err != nil {
			continue
		}
		if c.Unread != "" {
			_ = conn.SetWriteDeadline(time.Now().Add(farewellTime))
			_, _ = conn.Write((&Answer{Version: Version, Error: why.Error()}).encode())
		}
		conn.Close()
	}
}

// connOf makes a connection of a descriptor, and closes the descriptor.
func connOf(n int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(n), "client")
	defer f.Close() // net.FileConn has one of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if conn, ok := conn.(*net.UnixConn); ok {
		return conn, nil
	}
	conn.Close()
	return nil, errors.New("it is no unix socket")
}

// duplicate returns a descriptor of a socket that belongs to no os.File.
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

// adopt returns a listener on the last image's socket, which stays open; nil: its file is gone.
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

// Wait returns the client of a request, for the next image to answer. Only the goroutine that
// carries the request out may call it.
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
	s := r.client.server
	s.mu.Lock()
	defer s.mu.Unlock()
	r.client.waits = true
	return &Waiting{n, r.client.peer.Pid, r.client.peer.UID, string(r.ID), r.client.events != nil, r.client.buffered()}, nil
}

// answer returns what do returns, as the answer to the client's request.
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
	conn, err := connOf(w.FD)
	a := w.answer(do)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, _ = conn.Write(a.encode())
}

// Answer sends a client what do returns, and then goes on serving it. It does not block.
func (s *Server) Answer(w *Waiting, do func() Answer) {
	conn, err := connOf(w.FD)
	if err != nil {
		go do()
		return
	}
	c := &client{server: s, conn: conn, peer: Peer{Pid: w.Pid, UID: w.UID}, gone: make(chan struct{}), busy: true, rest: w.Unread}
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
