package control

import (
	"sync"
	"time"
)

// Watched reports whether a client has subscribed. It is false for a nil Server.
func (s *Server) Watched() bool { return s != nil && s.watched.Load() > 0 }

// Publish sends an event to the subscribers. It never blocks and takes no lock. A
// subscriber that does not keep up gets one "missed" event instead of those that it missed,
// see behind.go.
func (s *Server) Publish(e Event) {
	if !s.Watched() {
		return
	}
	e.Version, e.Time = Version, time.Now()
	select {
	case s.events <- happening{event: e}:
	default:
		s.missed.Store(true)
		select { // wakes deliver, which may have emptied the channel meanwhile
		case s.events <- happening{}:
		default:
		}
	}
}

// Farewell publishes the last event before another image of this program goes on, and blocks
// until it is written, for limit at most. On a nil Server it does nothing.
func (s *Server) Farewell(e Event, limit time.Duration) {
	if !s.Watched() {
		return
	}
	s.Publish(e)
	var reading sync.WaitGroup
	for _, c := range s.subscribers() {
		reading.Go(func() {
			c.catchUp()
			s.mu.Lock()
			defer s.mu.Unlock()
			c.told = true
		})
	}
	read := make(chan struct{})
	go func() { reading.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(limit):
	}
}

// deliver passes events on to the subscribers until the server closes and no event is left.
func (s *Server) deliver() {
	defer close(s.done)
	for {
		select {
		case e := <-s.events:
			s.pass(e)
		case <-s.closing:
			for {
				select {
				case e := <-s.events:
					s.pass(e)
				default:
					return
				}
			}
		}
	}
}

// happening is an event, or a mark between two events, or neither.
type happening struct {
	event Event
	mark  *mark // nil: it is an event
}

// mark is a place in the events for one client: it tells when all events before it are written.
// With resumes, it tells when the client is no longer behind: no event after it is skipped.
type mark struct {
	client  *client
	reached chan struct{} // closed when that is so
	resumes bool
}

// catchUp blocks until all events published so far are written to the client, so that an
// answer does not overtake them.
func (c *client) catchUp() {
	m := &mark{client: c, reached: make(chan struct{})}
	select {
	case c.server.events <- happening{mark: m}:
	case <-c.gone:
	case <-c.server.done:
	}
	select {
	case <-m.reached:
	case <-c.gone:
	case <-c.server.done:
	}
}

func (s *Server) pass(h happening) {
	if s.missed.Swap(false) {
		for _, c := range s.subscribers() {
			c.fallBehind()
		}
	}
	switch {
	case h.mark != nil && h.mark.resumes:
		h.mark.client.behind.Store(false)
		close(h.mark.reached)
		return
	case h.mark != nil:
		h.mark.client.mark(h.mark.reached)
		return
	case h.event.Event == "":
		return
	}
	text := h.event.encode()
	for _, c := range s.subscribers() {
		c.put(written{text: text})
	}
}

// written is for one subscriber: the line of an event, or a mark to close in its turn, or
// neither at the end.
type written struct {
	text []byte // shared by all subscribers
	mark chan struct{}
}

// put queues w for writing, unless the client is behind. It does not block.
func (c *client) put(w written) {
	switch {
	case c.behind.Load():
	case len(c.events) >= maxEvents || c.unread.Load()+int64(len(w.text)) > maxUnread:
		c.fallBehind()
	default:
		c.unread.Add(int64(len(w.text)))
		c.events <- w // there is room: no other goroutine puts events in
	}
}

// tell writes what put has queued, until the client is gone or the end is reached.
func (c *client) tell() {
	defer c.end()
	var marks []chan struct{} // reached when the client has caught up
	for {
		select {
		case w := <-c.events:
			switch {
			case w.mark != nil:
				marks = append(marks, w.mark)
			case w.text == nil || c.write(w.text) != nil:
				return
			default:
				c.unread.Add(-int64(len(w.text)))
			}
		case <-c.gone:
			return
		}
		if c.behind.Load() {
			if len(c.events) > 0 {
				continue // they came before what is missed
			}
			if !c.resume() {
				return
			}
		}
		for _, m := range marks {
			close(m)
		}
		marks = nil
	}
}

// finish blocks until the events that are there are written, for finishTime at most, and
// ends the connection.
func (c *client) finish() {
	late := time.AfterFunc(finishTime, c.end)
	defer late.Stop()
	select {
	case c.events <- written{}:
		<-c.gone
	case <-c.gone:
	}
}
