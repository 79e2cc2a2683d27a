package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits that keep clients from costing much, whatever they do.
const (
	maxClients   = 64               // connected at a time
	maxUnread    = 1024             // lines that wait for a client to read them
	writeTime    = 10 * time.Second // for a client to take a line
	finishTime   = 2 * time.Second  // to take what is left when the connection is to end
	requestTime  = 10 * time.Second // for a request to come whole, once it has begun
	idleTime     = 5 * time.Minute  // between requests, of a client that has not subscribed
	refusedPause = time.Minute      // between two calls of Config.Refused
)

// Peer is the process that has connected.
type Peer struct {
	Pid, UID  int
	Ancestors []int // the process itself first; see Config
}

// Config is what a server needs of the superdaemon.
type Config struct {
	// Do carries a request out and may block as long as that takes. It is called
	// from many goroutines; of one client, for one request after the other.
	Do func(Peer, Request) Answer
	// Ancestors finds the parents of a process. It is called as soon as one has
	// connected, as it may be gone any moment. nil: nobody wants to know them.
	Ancestors func(pid int) []int
	// Refused hears of clients that were turned away, and why, once a minute at
	// most; more is how many others there were since the last time.
	Refused func(why string, more int)
}

// Server is a control socket, and who is connected to it.
type Server struct {
	Config
	listener *listener
	events   chan Event
	watched  atomic.Int32 // subscribers
	done     chan struct{}

	mu      sync.Mutex
	clients []*client // the one idle for the longest first
	refused int
	told    time.Time // when Refused was last called
}

// client is a connection.
type client struct {
	server *Server
	conn   *net.UnixConn
	peer   Peer
	out    chan []byte // lines to be written
	gone   chan struct{}
	close  sync.Once

	busy       atomic.Bool // a request is being carried out
	subscribed atomic.Bool
}

// Listen makes the socket at path, with mode 0600. A stale one there is
// replaced; one on which a process listens, or what is not a socket, is an
// error.
func Listen(path string, c Config) (*Server, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %q: %w", path, err)
	}
	s := &Server{Config: c, listener: l, events: make(chan Event, maxUnread), done: make(chan struct{})}
	go s.accept()
	go s.deliver()
	return s, nil
}

// Publish tells the subscribers of an event. It never blocks: one who does not
// keep up is disconnected.
func (s *Server) Publish(e Event) {
	if s == nil || s.watched.Load() == 0 {
		return
	}
	e.Version, e.Time = Version, time.Now()
	select {
	case s.events <- e:
	default:
		s.refuse("events come faster than they can be delivered")
		go s.dropSubscribers()
	}
}

// Close ends all connections, after what is to be written to them, and removes
// the socket.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	err := s.listener.close()
	close(s.done)
	s.mu.Lock()
	clients := slices.Clone(s.clients)
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(c.finish)
	}
	all.Wait()
	return err
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, for one
			s.refuse(err.Error())
			if !s.pause() {
				return
			}
		default:
			s.welcome(conn)
		}
	}
}

// pause waits a little, unless the server closes.
func (s *Server) pause() bool {
	select {
	case <-s.done:
		return false
	case <-time.After(100 * time.Millisecond):
		return true
	}
}

// welcome takes a client in, if it may be one.
func (s *Server) welcome(conn *net.UnixConn) {
	peer, err := peerOf(conn)
	if err == nil && peer.UID != 0 && peer.UID != os.Geteuid() {
		err = fmt.Errorf("process %d is of user %d, neither of user %d nor root", peer.Pid, peer.UID, os.Geteuid())
	}
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	if s.Ancestors != nil {
		peer.Ancestors = s.Ancestors(peer.Pid)
	}
	c := &client{server: s, conn: conn, peer: peer, out: make(chan []byte, maxUnread), gone: make(chan struct{})}
	if !s.admit(c) {
		s.turnAway(conn, fmt.Errorf("%d clients are connected and waiting already", maxClients))
		return
	}
	go c.write()
	go c.read()
}

// admit makes room for a client, if need be by sending the one away that has
// been idle for the longest.
func (s *Server) admit(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) >= maxClients {
		i := slices.IndexFunc(s.clients, func(o *client) bool { return !o.busy.Load() && !o.subscribed.Load() })
		if i < 0 {
			return false
		}
		idle := s.clients[i]
		s.clients = slices.Delete(s.clients, i, i+1)
		idle.send(Answer{Error: "too many clients: the idle ones are disconnected"})
		go idle.finish()
		s.countRefused(fmt.Sprintf("more than %d clients", maxClients))
	}
	s.clients = append(s.clients, c)
	return true
}

// active makes a client the last of the idle ones.
func (s *Server) active(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.clients, c); i >= 0 {
		s.clients = append(slices.Delete(s.clients, i, i+1), c)
	}
}

func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = slices.DeleteFunc(s.clients, func(o *client) bool { return o == c })
}

// turnAway tells a client why it is none, if it can be told at once.
func (s *Server) turnAway(conn *net.UnixConn, why error) {
	s.refuse(why.Error())
	_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
	_, _ = conn.Write((&Answer{Version: Version, Error: why.Error()}).encode())
	conn.Close()
}

func (s *Server) refuse(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countRefused(why)
}

func (s *Server) countRefused(why string) {
	now := time.Now()
	if now.Before(s.told.Add(refusedPause)) {
		s.refused++
		return
	}
	s.Refused(why, s.refused)
	s.refused, s.told = 0, now
}

// deliver passes events to those who have subscribed.
func (s *Server) deliver() {
	for {
		select {
		case e := <-s.events:
			text := e.encode()
			for _, c := range s.subscribers() {
				c.put(text)
			}
		case <-s.done:
			return
		}
	}
}

func (s *Server) subscribers() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*client
	for _, c := range s.clients {
		if c.subscribed.Load() {
			found = append(found, c)
		}
	}
	return found
}

func (s *Server) dropSubscribers() {
	for _, c := range s.subscribers() {
		c.end()
	}
}
