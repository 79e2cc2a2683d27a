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
	maxClients     = 64                     // connected at a time
	maxOfProcess   = 16                     // of them, of one process
	maxEvents      = 1024                   // that wait for a subscriber to read them
	maxUnread      = 4 << 20                // bytes of them
	writeTime      = 10 * time.Second       // for a client to take a line
	farewellTime   = 100 * time.Millisecond // to take the line that it is turned away with
	finishTime     = 2 * time.Second        // to take what is left when the connection is to end
	requestTime    = 10 * time.Second       // for a request to come whole, once it has begun
	idleTime       = 5 * time.Minute        // between requests, of a client that has not subscribed
	refusedPause   = time.Minute            // between two calls of Config.Refused
	exhaustedPause = 100 * time.Millisecond // after a failed accept(2)
)

// Peer is the process that has connected.
type Peer struct {
	Pid, UID  int
	Ancestors []int // the process itself first; see Config
	OfWorkers bool  // it is of the workers' user, and neither of ours nor root's
}

// Config is what a server needs of the superdaemon.
type Config struct {
	// Name is that of the superdaemon. "": start_server.
	Name string
	// Do carries a request out and may block as long as that takes. It is called
	// from many goroutines; of one client, for one request after the other.
	Do func(Peer, Request) Answer
	// Ancestors finds the parents of a process. It is called as soon as one has
	// connected, as it may be gone any moment. nil: nobody wants to know them.
	Ancestors func(pid int) []int
	// Worker is the user that workers run as, if that is not ours: it may connect,
	// and Do is told that it is theirs. 0: it is ours.
	Worker int
	// Refused hears of clients that were turned away, and why, once a minute at
	// most; more is how many others there were since the last time. It must not
	// block.
	Refused func(why string, more int)
}

// Server is a control socket, and who is connected to it.
type Server struct {
	Config
	path     string
	refusals refusals

	events  chan happening
	watched atomic.Int32 // subscribers
	missed  atomic.Bool  // there was no room for an event
	closing chan struct{}
	done    chan struct{} // closed when the server closes, and the last event is on its way

	mu      sync.Mutex // guards what follows, and the state of each client
	closed  bool
	clients []*client // the one idle for the longest first

	socket   sync.Mutex // guards what follows
	listener *listener
	retired  bool // it is not to be made anew
}

// Listen makes the socket at path, with mode 0600, or 0666 if workers have a user of
// their own: who has connected is looked at in any case. A stale one there is
// replaced; one on which a process listens, or what is not a socket, is an
// error.
func Listen(path string, c Config) (*Server, error) {
	l, err := listen(path, c.Worker)
	if err != nil {
		return nil, fmt.Errorf("control socket %q: %w", path, err)
	}
	s := newServer(c)
	s.path, s.listener = path, l
	go s.accept(l)
	return s, nil
}

// newServer is one that nobody can connect to yet.
func newServer(c Config) *Server {
	if c.Name == "" {
		c.Name = "start_server"
	}
	s := &Server{Config: c, events: make(chan happening, maxEvents), closing: make(chan struct{}), done: make(chan struct{})}
	s.refusals.tell = c.Refused
	go s.deliver()
	return s
}

// StopListening removes the socket, so that another server may have its path. The
// connections that there are stay.
func (s *Server) StopListening() error {
	s.socket.Lock()
	defer s.socket.Unlock()
	s.retired = true
	return s.listener.close()
}

// Close removes the socket and ends all connections, after what is to be
// written to them, which may take finishTime. It must be called once.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	err := s.StopListening()
	s.disconnect()
	return err
}

func (s *Server) disconnect() {
	s.mu.Lock()
	s.closed = true
	clients := slices.Clone(s.clients)
	s.mu.Unlock()
	close(s.closing)
	<-s.done
	late := time.AfterFunc(finishTime, func() {
		for _, c := range clients {
			c.end()
		}
	})
	defer late.Stop()
	for _, c := range clients {
		c.expectNothing()
	}
	for _, c := range clients {
		<-c.gone
	}
}

func (s *Server) accept(l *listener) {
	for {
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, for one
			s.refusals.add(err.Error())
			select {
			case <-s.done:
				return
			case <-time.After(exhaustedPause):
			}
		default:
			s.welcome(conn)
		}
	}
}

// welcome finds out who has connected, and whether it may.
func (s *Server) welcome(conn *net.UnixConn) {
	peer, err := peerOf(conn)
	peer.OfWorkers = peer.UID != 0 && peer.UID != os.Geteuid() && peer.UID == s.Worker
	if err == nil && peer.UID != 0 && peer.UID != os.Geteuid() && !peer.OfWorkers {
		err = fmt.Errorf("process %d is of user %d, neither of user %d nor root", peer.Pid, peer.UID, os.Geteuid())
	}
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	if s.Ancestors != nil {
		peer.Ancestors = s.Ancestors(peer.Pid)
	}
	s.serve(conn, peer)
}

// serve takes a client in, if there is room.
func (s *Server) serve(conn net.Conn, peer Peer) {
	c := &client{server: s, conn: conn, peer: peer, gone: make(chan struct{})}
	loser, err := s.admit(c)
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	if loser != nil {
		s.turnAway(loser.conn, errors.New("too many clients: the one that has been idle for the longest has to go"))
	}
	go c.talk()
}

// turnAway tells a client why it has to go, if it can be told at once.
func (s *Server) turnAway(conn net.Conn, why error) {
	s.refusals.add(why.Error())
	_ = conn.SetWriteDeadline(time.Now().Add(farewellTime))
	_, _ = conn.Write((&Answer{Version: Version, Error: why.Error()}).encode())
	conn.Close()
}
