package control

import (
	"fmt"
	"time"
)

// Watched tells that somebody has subscribed. Without a Server nobody has.
func (s *Server) Watched() bool { return s != nil && s.watched.Load() > 0 }

// Publish tells the subscribers of an event. It never blocks, and takes no lock:
// one who does not keep up is disconnected.
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

// deliver passes events on to those who have subscribed, the last ones too.
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

// happening is what deliver passes on: an event, or a mark between two.
type happening struct {
	event Event
	mark  *mark // nil: it is an event
}

// mark is for one client, who wants to know when the events before it are written.
type mark struct {
	client  *client
	reached chan struct{} // closed then
}

// catchUp blocks until all events are written that were published before, so
// that an answer does not overtake them.
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

// written is what is written to a subscriber: the line of an event, which all of
// them share, or nothing, with a mark to be closed when that comes to pass.
type written struct {
	text []byte
	mark chan struct{} // nil, and no text: the last
}

// put has something written. It does not block: who does not read is
// disconnected.
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

// tell writes events until the client is gone, or the last is written.
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

// finish has the events written that are there, if the client takes them.
func (c *client) finish() {
	late := time.AfterFunc(finishTime, c.end)
	defer late.Stop()
	select {
	case c.events <- written{}:
		<-c.gone
	case <-c.gone:
	}
}
