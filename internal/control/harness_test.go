package control

import (
	"fmt"
	"strings"
	"sync"
)

// told collects what Config.Refused hears.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (r *told) refused(why string, more int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%s, and %d more", why, more))
}

func (r *told) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.lines...)
}

// echo answers as a superdaemon that does everything at once.
func echo(_ Peer, r Request) Answer {
	switch r.Command {
	case "big":
		return Answer{OK: true, Log: []string{strings.Repeat("x", 1<<20)}}
	case "nosuch":
		return Answer{Error: "there is no such command"}
	case "subscribe":
		return Subscription()
	}
	return Answer{OK: true, Log: []string{r.Command}}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// connected is how many clients there are.
func (s *Server) connected() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}
