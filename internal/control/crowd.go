package control

import (
	"context"
	"fmt"
	"slices"
)

// admit puts a client on the list. If its user has maxClients already, one client of that user
// is the loser, and has to go. It is the one that has asked nothing for the longest, and waits
// for no answer; a subscriber goes only if there is no other. If the process has maxOfProcess
// already, the loser is one of its own clients: so other processes lose no room to it. Other
// users lose none in any case: root and our own user get in whatever the workers' user does.
func (s *Server) admit(c *client) (loser *client, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("%s is ending", s.Name)
	}
	kin, users := 0, 0
	for _, o := range s.clients {
		if o.peer.UID != c.peer.UID {
			continue
		}
		users++
		if o.peer.Pid == c.peer.Pid {
			kin++
		}
	}
	if kin >= maxOfProcess || users >= maxClients {
		mayGo := func(o *client) bool {
			return !o.busy && o.peer.UID == c.peer.UID && (kin < maxOfProcess || o.peer.Pid == c.peer.Pid)
		}
		i := slices.IndexFunc(s.clients, func(o *client) bool { return mayGo(o) && o.events == nil })
		if i < 0 {
			i = slices.IndexFunc(s.clients, mayGo)
		}
		switch {
		case i >= 0:
			loser = s.clients[i]
			s.clients = slices.Delete(s.clients, i, i+1)
		case kin >= maxOfProcess:
			return nil, fmt.Errorf("%d clients of process %d are connected and wait for an answer", kin, c.peer.Pid)
		default:
			return nil, fmt.Errorf("%d clients are connected and wait for an answer", users)
		}
	}
	s.clients = append(s.clients, c)
	return loser, nil
}

// begin marks a client busy, and returns the context of its request. It returns false if the
// client had to go or the server closes.
func (s *Server) begin(c *client) (ctx context.Context, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !slices.Contains(s.clients, c) {
		return nil, false
	}
	c.busy = true
	return s.context, true
}

// finished marks a client idle, and moves it to the end of the list.
func (s *Server) finished(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy, c.waits = false, false
	if i := slices.Index(s.clients, c); i >= 0 {
		s.clients = append(slices.Delete(s.clients, i, i+1), c)
	}
}

// subscribe keeps events for a client from now on. It returns false if it did so already,
// or if the client is gone.
func (s *Server) subscribe(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.events != nil || c.ended {
		return false
	}
	c.events = make(chan written, maxEvents+spareMarks)
	s.watched.Add(1)
	return true
}

// unsubscribe keeps no more events for a client, because its connection ends.
func (s *Server) unsubscribe(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ended = true
	if c.events != nil {
		s.watched.Add(-1)
	}
}

func (s *Server) subscribers() []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*client
	for _, c := range s.clients {
		if c.events != nil && !c.ended {
			found = append(found, c)
		}
	}
	return found
}

// remove takes a client off the list.
func (s *Server) remove(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = slices.DeleteFunc(s.clients, func(o *client) bool { return o == c })
}
