package control

import (
	"fmt"
	"time"
)

// Watched tells whether a client has subscribed. It is false for a nil Server.
func (s *Server) Watched() bool { return s != nil && s.watched.Load() > 0 }

// Publish sends an event to the subscribers. It never blocks and takes no lock. A
// subscriber that does not keep up is disconnected.
func (s *Server) Publish(e Event) {
	if !s.Watched() {
		return
	}
	e.Version, e.Time = Version, time.Now()
	select {
	case s.events <- happening{event: e}:
	default:
		s.missed.Store(true)
	}
}

// deliver passes events on to the subscribers until the server closes and none is left.
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

// happening is an event, or a mark between two events.
type happening struct {
	event Event
	mark  *mark // nil: it is an event
}

// mark tells one client when all events before it are written.
type mark struct {
	client  *client
	reached chan struct{} // closed when they are
}

// catchUp blocks until all events published so far are written to the client, so that an
// answer does not overtake them.
func (c *client) catchUp() {
	m := &mark{c, make(chan struct{})}
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
	if h.mark != nil {
		h.mark.client.put(written{mark: h.mark.reached})
		return
	}
	if s.missed.Swap(false) {
		s.refusals.add("events come faster than they can be delivered")
		for _, c := range s.subscribers() {
			c.end()
		}
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

// put has w written. It does not block: a client that does not read is disconnected.
func (c *client) put(w written) {
	if c.unread.Add(int64(len(w.text))) <= maxUnread {
		select {
		case c.events <- w:
			return
		default:
		}
	}
	c.server.refusals.add(fmt.Sprintf("process %d does not read the events that it asked for", c.peer.Pid))
	c.end()
}

// tell writes what put has put, until the client is gone or the end is reached.
func (c *client) tell() {
	defer c.end()
	for {
		select {
		case w := <-c.events:
			switch {
			case w.mark != nil:
				close(w.mark)
			case w.text == nil || c.write(w.text) != nil:
				return
			default:
				c.unread.Add(-int64(len(w.text)))
			}
		case <-c.gone:
			return
		}
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
