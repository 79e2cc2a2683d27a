package report

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

const (
	// acceptTime is how long a connection may wait before nobody seems to accept any.
	acceptTime = 5 * time.Second
	// looks are so many after a generation went live, acceptTime apart.
	looks = 3
	// glances are so many within a look, so long apart: in the queue of a busy server
	// the number of connections goes up and down.
	glances     = 10
	glancePause = 20 * time.Millisecond
)

// Sockets looks after the sockets when a worker has gone, and a few times after a
// generation went live: it has those listen again that a worker has shut down, and tells
// of connections that nobody accepts, and of a server that binds the port itself. When
// nothing happens it does nothing.
type Sockets struct {
	Out *output.Output
	// Set is what it looks after. It is asked from several goroutines.
	Set func() *socket.Set
	// Tail is the last lines of the log of a generation that has failed.
	Tail func(generation int) []string

	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	round  int             // of looks: another one has begun, or the end of them, since
	left   int             // looks
	looked bool            // a look for what a worker has shut down is to come
	lost   map[string]bool // it was said
	queues map[string]queue
	taken  bool // it was said that a port is ours
}

// queue is one in which connections wait.
type queue struct {
	waiting int
	since   time.Time // nobody has accepted any since, as far as is known
	told    bool
}

// Hear looks at the sockets when an event calls for that, from other goroutines.
func (s *Sockets) Hear(e supervise.Event) {
	switch e := e.(type) {
	case supervise.Died:
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.looked {
			s.looked = true
			s.Out.Do(s.revive)
		}
	case supervise.AttemptFailed:
		go s.lookForTaken(e.Generation) // which waits for the output
	case supervise.WentLive:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stop()
		s.queues, s.left = nil, looks
		round := s.round
		s.timer = time.AfterFunc(0, func() { s.look(round) })
	case supervise.StopAsked:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stop()
	}
}

// Watch has sockets listen again, as long as the set is open, as soon as a worker shuts one
// down that a generation has for itself; if that comes again and again, once a second at
// most. It blocks until then.
func (s *Sockets) Watch() {
	pause, last := revivePause, time.Now()
	for set := s.Set(); set.Deaf(); last = time.Now() {
		pause = nextPause(pause, time.Since(last))
		s.revive()
		time.Sleep(pause)
	}
}

// revivePause is the least time between two that are shut down one after the other.
const revivePause = time.Millisecond

// nextPause is the pause after the next one, which comes so long after the last pause.
func nextPause(last, quiet time.Duration) time.Duration {
	if quiet > 10*time.Second {
		return revivePause
	}
	return min(2*last, time.Second)
}

// stop ends the looks, also the one that is under way.
func (s *Sockets) stop() {
	s.round++
	if s.timer != nil {
		s.timer.Stop()
	}
}

// revive has sockets listen again.
func (s *Sockets) revive() {
	s.mu.Lock()
	s.looked = false
	s.mu.Unlock()
	revived, lost, err := s.Set().Revive()
	for _, name := range revived {
		s.Out.Warnf("a worker has shut down the listening socket %s, which all workers share: listening again", name)
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") { // one of each port
			s.Out.Warnf("%s", line)
		}
	}
	for _, name := range lost {
		s.mu.Lock()
		told := s.lost[name]
		if s.lost == nil {
			s.lost = map[string]bool{}
		}
		s.lost[name] = true
		s.mu.Unlock()
		switch {
		case told:
		case s.isForDatagrams(name):
			s.Out.Warnf("a worker has shut down the socket %s, which all workers share: nothing can be read from it or sent until the superdaemon itself is started anew", name)
		default:
			s.Out.Warnf("a worker has shut down the listening socket %s, which all workers share: connections to it fail until the superdaemon itself is started anew or upgraded", name)
		}
	}
}

// isForDatagrams tells that a socket is for datagrams.
func (s *Sockets) isForDatagrams(name string) bool {
	return slices.ContainsFunc(s.Set().Sockets, func(s socket.Socket) bool { return s.Name == name && !s.Accepts() })
}

// look is one of those after a generation went live.
func (s *Sockets) look(round int) {
	s.revive()
	for n := 0; n < glances && s.waits(); n++ {
		time.Sleep(glancePause)
	}
	for _, q := range s.glance() {
		s.tell(q, round)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.round != round {
		return
	}
	if s.left--; s.left == looks-1 || s.left > 0 && len(s.queues) > 0 {
		s.timer.Reset(acceptTime)
	}
}

// waiting is a queue with what is known of how long nobody has accepted from it.
type waiting struct {
	socket.Queue
	For time.Duration
}

// glance looks at the queues once.
func (s *Sockets) glance() []waiting {
	found := s.Set().Queues()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	queues := make([]waiting, len(found))
	for i, f := range found {
		queues[i].Queue = f
		if f.Waiting == 0 {
			delete(s.queues, f.Name)
			continue
		}
		q, known := s.queues[f.Name]
		if !known || f.Waiting < q.waiting {
			q = queue{since: now}
		}
		q.waiting = f.Waiting
		if s.queues == nil {
			s.queues = map[string]queue{}
		}
		s.queues[f.Name] = q
		queues[i].For = now.Sub(q.since)
	}
	return queues
}

// waits glances, and tells whether anything waits.
func (s *Sockets) waits() bool {
	return slices.ContainsFunc(s.glance(), func(w waiting) bool { return w.Waiting > 0 })
}

// Status tells of each socket in order, and of its queue. It does not block.
func (s *Sockets) Status() []control.Socket {
	sockets := []control.Socket{}
	for _, socket := range s.Set().Sockets {
		sockets = append(sockets, control.Socket{Name: socket.Name, Network: socket.Addr.Network(), Address: socket.Addr.String(), FD: socket.FD})
	}
	for i, q := range s.glance() {
		sockets[i].Waiting, sockets[i].WaitingFor = q.Waiting, q.For.Seconds()
	}
	return sockets
}

// tell tells once of a queue from which nobody accepts.
func (s *Sockets) tell(w waiting, round int) {
	if w.Waiting == 0 || w.For < acceptTime {
		return
	}
	s.mu.Lock()
	q, known := s.queues[w.Name] // unless somebody has accepted meanwhile
	news := known && !q.told && s.round == round
	if news {
		q.told = true
		s.queues[w.Name] = q
	}
	s.mu.Unlock()
	if news {
		s.Out.Warnf("nobody accepts on %s: %s %s for %s s; the server has to take the socket from SERVER_STARTER_PORT or descriptor %d",
			w.Name, text.Count(w.Waiting, "connection"), text.Verb(w.Waiting, "waits", "wait"), text.Seconds(w.For.Round(time.Second)), w.FD)
	}
}

// lookForTaken tells once of a server that has failed as it binds the port itself.
func (s *Sockets) lookForTaken(generation int) {
	words := strings.ToLower(strings.Join(s.Tail(generation), "\n"))
	if !strings.Contains(words, "address already in use") && !strings.Contains(words, "eaddrinuse") {
		return
	}
	s.mu.Lock()
	told := s.taken
	s.taken = true
	s.mu.Unlock()
	sockets := s.Set().Sockets
	if told || len(sockets) == 0 {
		return
	}
	ours := fmt.Sprintf("the socket %s is ours: the server has to take it from SERVER_STARTER_PORT or descriptor %d", sockets[0].Name, sockets[0].FD)
	if n := len(sockets); n > 1 {
		ours = fmt.Sprintf("the %d sockets are ours: the server has to take them from SERVER_STARTER_PORT or descriptors %d and so on", n, sockets[0].FD)
	}
	s.Out.Warnf("%s, and bind none itself", ours)
}
