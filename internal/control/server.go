package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Limits of what clients can cost.
const (
	maxClients     = 64                     // connected at a time by one user
	maxOfProcess   = 16                     // connected at a time by one process
	maxEvents      = 1024                   // waiting for a subscriber to read them
	maxUnread      = 4 << 20                // bytes of events waiting for a subscriber
	writeTime      = 10 * time.Second       // for a client to read a line
	farewellTime   = 100 * time.Millisecond // for a client to read why it is turned away
	finishTime     = 2 * time.Second        // for a client to read the rest when its connection ends
	requestTime    = 10 * time.Second       // from the first byte of a request to the last
	idleTime       = 5 * time.Minute        // between requests, of a client that has not subscribed
	refusedPause   = time.Minute            // between two calls of Config.Refused
	exhaustedPause = 100 * time.Millisecond // after a failed accept(2)
)

// Peer is the process that has connected, as the kernel knows it.
type Peer struct {
	Pid, UID  int
	Ancestors []int // its pid, its parent and so on; nil if Config.Ancestors is
	OfWorkers bool  // its user is Config.Worker
}

// Config is what a server needs of the superdaemon.
type Config struct {
	Name string // of the superdaemon
	// Do carries a request out, and may block for as long as that takes. It is called
	// from many goroutines, but never for two requests of one client at the same time.
	Do func(Peer, Request) Answer
	// Picture returns how things stand, for a subscriber that has missed events. It may block.
	// It returns nil if the superdaemon is ending.
	Picture func() *Status
	// Ancestors finds a process's ancestors. It is called as soon as the process has
	// connected, because the process may end at any moment. nil: they are not looked for.
	Ancestors func(pid int) []int
	// Worker is the user that workers run as. It may connect, too. 0: workers run as our
	// own user.
	Worker int
	// Refused hears why a client was turned away, once a minute at most; more is how
	// many others were turned away since the last call. It must not block.
	Refused func(why string, more int)
	// Held is the socket of the last image of this program; nil: there is none.
	Held *Held
}

// Server is a control socket and its clients.
type Server struct {
	Config
	path     string
	refusals refusals
	aside    *fd.Aside // closes connections

	events  chan happening
	watched atomic.Int32  // number of subscribers
	missed  atomic.Bool   // there was no room for an event
	closing chan struct{} // closed when the server closes
	done    chan struct{} // closed after that, when the last event is passed on

	mu      sync.Mutex // guards what follows, and the state of each client
	closed  bool
	clients []*client       // the one that has asked nothing for the longest first
	parking chan struct{}   // nothing is read until it is closed; nil: requests are read
	context context.Context // of requests
	stop    context.CancelCauseFunc

	accepting atomic.Int32 // calls of accept that have not returned

	socket   sync.Mutex // guards what follows
	listener *listener
	retired  bool // it is not to be made anew
}

// Claim returns path as an absolute one. It reports early what Listen would report: that the
// path is too long, that a process listens there already, or that what is there is not a
// socket.
func Claim(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("control socket %q: %w", path, err)
	}
	if err = fd.CheckPath(absolute); err == nil {
		err = check(absolute)
	}
	if err != nil {
		return "", fmt.Errorf("control socket %q: %w", absolute, err)
	}
	return absolute, nil
}

// Listen makes the socket at path. Its mode is 0600, or 0666 if workers have a user of
// their own; the server looks at the user of each client in any case. A stale socket
// there is replaced. A socket on which a process listens, or anything else, is an error.
func Listen(path string, c Config) (*Server, error) {
	var l *listener
	var err error
	if c.Held != nil && c.Held.Path == path {
		l, err = c.Held.adopt(c.Worker)
	}
	if err == nil && l == nil {
		l, err = listen(path, c.Worker)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket %q: %w", path, err)
	}
	s := newServer(c)
	s.path, s.listener = path, l
	go s.accept(l)
	return s, nil
}

// newServer makes a Server without a socket.
func newServer(c Config) *Server {
	s := &Server{Config: c, events: make(chan happening, maxEvents), closing: make(chan struct{}), done: make(chan struct{}), aside: fd.NewAside()}
	s.refusals.tell = c.Refused
	s.context, s.stop = context.WithCancelCause(context.Background())
	go s.deliver()
	return s
}

// StopListening removes the socket, so that another server may have its path. Open
// connections stay.
func (s *Server) StopListening() error {
	s.socket.Lock()
	defer s.socket.Unlock()
	s.retired = true
	return s.listener.close()
}

// Close removes the socket and ends all connections. It blocks, for finishTime at most,
// until what is left is written to them. It must be called once. On a nil Server it does
// nothing.
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
	s.accepting.Add(1)
	defer s.accepting.Add(-1)
	for {
		s.aside.Wait(s.done)
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded): // it is handed over
			return
		case err != nil: // as when descriptors run out
			s.refusals.add(err.Error())
			select {
			case <-s.done:
				return
			case <-time.After(exhaustedPause):
			}
		default:
			s.welcome(conn, &HeldClient{})
		}
	}
}

// welcome asks the kernel which process has connected, and serves it if it may connect. known is
// what the last image knew of it.
func (s *Server) welcome(conn *net.UnixConn, known *HeldClient) {
	peer, err := peerOf(conn)
	peer.OfWorkers = peer.UID != 0 && peer.UID != os.Geteuid() && peer.UID == s.Worker
	if err == nil && peer.UID != 0 && peer.UID != os.Geteuid() && !peer.OfWorkers {
		err = fmt.Errorf("process %d runs as user %d, neither as user %d nor as root: ask as one of these", peer.Pid, peer.UID, os.Geteuid())
	}
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	if s.Ancestors != nil {
		peer.Ancestors = s.Ancestors(peer.Pid)
	}
	s.serve(conn, peer, known)
}

// serve talks to a client, if there is room for it.
func (s *Server) serve(conn net.Conn, peer Peer, known *HeldClient) {
	c := &client{server: s, conn: conn, peer: peer, gone: make(chan struct{}), rest: known.Unread}
	loser, err := s.admit(c)
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	if loser != nil {
		s.turnAway(loser.conn, errors.New("too many clients: this one was idle for the longest time, and is disconnected"))
	}
	if known.Subscribed && s.subscribe(c) {
		go c.tell()
	}
	go c.talk()
}

// turnAway tells a client why it has to go, for farewellTime at most, and ends its
// connection. It does not block.
func (s *Server) turnAway(conn net.Conn, why error) {
	s.refusals.add(why.Error())
	s.aside.Do(func() {
		_ = conn.SetWriteDeadline(time.Now().Add(farewellTime))
		_, _ = conn.Write((&Answer{Version: Version, Error: why.Error()}).encode())
		conn.Close()
	})
}
