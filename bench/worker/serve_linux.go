package main

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// server answers on its listeners until it is drained.
type server struct {
	listeners []net.Listener
	running   sync.WaitGroup // accept loops and connections

	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	draining bool
}

func serve(listeners []net.Listener) *server {
	s := &server{listeners: listeners, conns: make(map[net.Conn]struct{})}
	for _, l := range listeners {
		s.running.Go(func() { s.accept(l) })
	}
	return s
}

func (s *server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed by drain
		}
		s.add(c)
		s.running.Go(func() {
			s.answer(c)
			s.remove(c)
		})
	}
}

// answer serves one connection until the client closes it.
func (s *server) answer(c net.Conn) {
	buffer := make([]byte, 512)
	for n := 0; n < len(buffer); {
		m, err := c.Read(buffer[n:])
		if err != nil {
			return
		}
		if n += m; !bytes.HasSuffix(buffer[:n], []byte("\r\n\r\n")) {
			continue
		}
		if _, err := c.Write([]byte(protocol.Answer)); err != nil {
			return
		}
		n = 0
	}
}

func (s *server) add(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.draining {
		hurry(c)
	}
}

func (s *server) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// drain stops accepting and returns when every connection has been served.
func (s *server) drain() {
	for _, l := range s.listeners {
		l.Close()
	}
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		hurry(c)
	}
	s.mu.Unlock()
	s.running.Wait()
}

// hurry gives a connection only the time for a request that is on its way.
func hurry(c net.Conn) {
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
}
