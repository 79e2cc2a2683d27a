package control

import (
	"fmt"
	"time"
)

// Publish tells the subscribers of an event. It never blocks, and takes no lock:
// one who does not keep up is disconnected.
func (s *Server) Publish(e Event) {
	if s == nil || s.watched.Load() == 0 {
		return
	}
	event := e
	event.Version, event.Time = Version, time.Now()
	select {
	case s.events <- &event:
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

func (s *Server) pass(e *Event) {
	if s.missed.Swap(false) {
		s.refusals.add("events come faster than they can be delivered")
		for _, c := range s.subscribers() {
			c.end()
		}
	}
	text := e.encode()
	for _, c := range s.subscribers() {
		c.put(text)
	}
}

// put has the line of an event written, which all subscribers share. It does not
// block: who does not read is disconnected.
func (c *client) put(text []byte) {
	if c.unread.Add(int64(len(text))) <= maxUnread {
		select {
		case c.events <- text:
			return
		default:
		}
	}
	c.server.refusals.add(fmt.Sprintf("process %d does not read the events that it asked for", c.peer.Pid))
	c.end()
}

// tell writes events until the client is gone, or there is the nil that marks
// the last.
func (c *client) tell() {
	defer c.end()
	for {
		select {
		case text := <-c.events:
			if text == nil || c.write(text) != nil {
				return
			}
			c.unread.Add(-int64(len(text)))
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
	case c.events <- nil:
		<-c.gone
	case <-c.gone:
	}
}
