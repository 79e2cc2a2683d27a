package control

import "time"

// A subscriber that reads more slowly than events come is behind: events that there is no
// room for are skipped. When it has read the others it gets one event that says how
// things stand, and goes on from there.

// spareMarks is the room in a client's channel for marks.
const spareMarks = 4

// fallBehind skips all events until the client has read those that wait.
func (c *client) fallBehind() {
	if !c.behind.Swap(true) {
		c.mark(make(chan struct{})) // tell may be waiting for something to write
	}
}

// mark has tell close reached when all that was put before is written. It does not block.
func (c *client) mark(reached chan struct{}) {
	select {
	case c.events <- written{mark: reached}:
	case <-c.gone:
	}
}

// resume ends the skipping of events, and then writes how things stand. In this order an
// event that comes meanwhile may be told twice, but none is lost. It reports whether the
// subscription goes on.
func (c *client) resume() bool {
	m := &mark{client: c, reached: make(chan struct{}), resumes: true}
	select {
	case c.server.events <- happening{mark: m}:
	case <-c.gone:
		return false
	case <-c.server.done:
		return false
	}
	select {
	case <-m.reached:
	case <-c.gone:
		return false
	case <-c.server.done:
		return false
	}
	if c.server.Picture == nil {
		return false
	}
	now := c.server.Picture()
	if now == nil {
		return false // the superdaemon is ending
	}
	e := Event{Version: Version, Event: "missed", Time: time.Now(), Now: now}
	return c.write(e.encode()) == nil
}
