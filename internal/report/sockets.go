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
	// acceptTime is how long connections may wait without an accept before that is told.
	acceptTime = 5 * time.Second
	// looks is how many looks there are after a generation went live, acceptTime apart.
	looks = 3
	// glances is how many glances there are within a look, glancePause apart: in the queue
	// of a busy server the number of connections goes up and down.
	glances     = 10
	glancePause = 20 * time.Millisecond
)

// Sockets looks after the sockets when a worker has ended, and a few times after a
// generation went live. It makes sockets listen again that a worker has shut down. It
// tells of connections that nobody accepts, and of a server that binds the port itself.
// When nothing happens it does nothing.
type Sockets struct {
	Out *output.Output
	// Set is what it looks after. It is asked from several goroutines.
	Set func() *socket.Set
	// Tail is the last lines of the log of a generation that has failed.
	Tail func(generation int) []string

	mu     sync.Mutex // guards what follows
	timer  *time.Timer
	round  int             // the number of the round of looks; looks of an earlier round end
	left   int             // looks that are left
	looked bool            // revive is in the output's queue
	lost   map[string]bool // sockets that were told to be lost
	queues map[string]queue
	taken  bool // it was told that a port is ours
}

// queue is a queue in which connections wait.
type queue struct {
	waiting int
	since   time.Time // no connection was accepted since, as far as is known
	told    bool
}

// Hear has the sockets looked at, from other goroutines, when an event calls for that.
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

// Watch makes a socket that a generation has for itself listen again as soon as a worker shuts
// it down. If that happens again and again, it does so once a second at most. It blocks until
// the set is closed.
func (s *Sockets) Watch() {
	pause, last := revivePause, time.Now()
	for set := s.Set(); set.Deaf(); last = time.Now() {
		pause = nextPause(pause, time.Since(last))
		s.revive()
		time.Sleep(pause)
	}
}

// revivePause is the shortest pause between two revivals.
const revivePause = time.Millisecond

// nextPause is the pause after a revival: revivePause if it comes more than 10 s after the last
// pause, otherwise twice the last one, up to a second.
func nextPause(last, quiet time.Duration) time.Duration {
	if quiet > 10*time.Second {
		return revivePause
	}
	return min(2*last, time.Second)
}

// stop ends all looks, also one that is under way.
func (s *Sockets) stop() {
	s.round++
	if s.timer != nil {
		s.timer.Stop()
	}
}

// revive makes sockets listen again, and tells of each, and of those that cannot.
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
			s.Out.Warnf("a worker has shut down the socket %s, which all workers share: nothing can be read from it or sent until the superdaemon itself is restarted", name)
		default:
			s.Out.Warnf("a worker has shut down the listening socket %s, which all workers share: connections to it fail until the superdaemon itself is restarted or upgraded", name)
		}
	}
}

// isForDatagrams tells whether a socket is for datagrams.
func (s *Sockets) isForDatagrams(name string) bool {
	return slices.ContainsFunc(s.Set().Sockets, func(s socket.Socket) bool { return s.Name == name && !s.Accepts() })
}

// look is one of the looks after a generation went live.
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

// waiting is a queue, and for how long no connection was accepted from it.
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

// waits glances, and tells whether a connection waits.
func (s *Sockets) waits() bool {
	return slices.ContainsFunc(s.glance(), func(w waiting) bool { return w.Waiting > 0 })
}

// Status returns each socket in order, with its queue. It does not block.
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
	q, known := s.queues[w.Name] // a worker may have accepted meanwhile
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

// lookForTaken tells once of a server that has failed because it binds the port itself.
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
