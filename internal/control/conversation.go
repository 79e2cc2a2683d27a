package control

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client is a connection. Its goroutine takes one request after the other: it reads the next
// when the answer to the last is written.
type client struct {
	server *Server
	conn   net.Conn
	peer   Peer
	gone   chan struct{}
	once   sync.Once

	unread atomic.Int64 // bytes of events that are not written yet
	behind atomic.Bool  // events are skipped

	in *bufio.Reader // for its own goroutine only

	// Written under the server's lock. events is set by the client's own goroutine, or before
	// that goroutine starts: so the goroutine reads it without the lock.
	busy   bool         // a request is carried out, or its answer written
	ended  bool         // the connection is closed
	events chan written // to be written; nil: it has not subscribed
	waits  bool         // for the next image of this program
	told   bool         // by Farewell
	parked bool         // nothing is read until Server.parking is closed
	rest   string       // what was read by then, and not carried out
}

// These faults of the client end the conversation.
var (
	errLong = fmt.Errorf("a request is longer than %d bytes", maxRequest)
	errSlow = fmt.Errorf("a request has not come whole in %v", requestTime)
	errIdle = fmt.Errorf("nothing was asked for in %v", idleTime)
)

// ErrHandedOver is the cause with which Request.Context ends.
var ErrHandedOver = errors.New("another image of this program goes on with that")

// talk answers requests until the client hangs up or a fault ends the conversation.
func (c *client) talk() {
	defer c.server.remove(c)
	defer c.end()
	c.in = c.input()
	for {
		text, err := c.next(c.in)
		if err == nil {
			err = c.answer(text)
		}
		switch err {
		case nil:
			continue
		case ErrHandedOver:
			c.park(text + c.buffered())
			c.in = c.input()
			continue
		case errLong, errSlow:
			c.server.refusals.add(fmt.Sprintf("process %d: %v", c.peer.Pid, err))
			_ = c.send(Answer{Error: err.Error()})
		case errIdle:
			_ = c.send(Answer{Error: err.Error()})
		}
		break
	}
	if c.events != nil {
		c.finish()
	}
}

// input reads c.rest, then what the client says.
func (c *client) input() *bufio.Reader {
	c.server.mu.Lock()
	rest := c.rest
	c.rest = ""
	c.server.mu.Unlock()
	in := bufio.NewReaderSize(io.MultiReader(strings.NewReader(rest), c.conn), maxRequest)
	_, _ = in.Peek(len(rest)) // buffers it: another hand-over may come before it is read
	return in
}

// buffered is what was read behind the request that is being carried out.
func (c *client) buffered() string {
	text, _ := c.in.Peek(c.in.Buffered())
	return string(text)
}

// park waits until requests are read again. rest was read, and was not carried out.
func (c *client) park(rest string) {
	s := c.server
	s.mu.Lock()
	over := s.parking
	c.parked, c.rest = true, rest
	s.mu.Unlock()
	if over != nil {
		<-over
	}
	s.mu.Lock()
	c.parked = false
	s.mu.Unlock()
}

// next reads a line. The last one may lack its newline.
func (c *client) next(in *bufio.Reader) (string, error) {
	if c.expect(idleTime) {
		return "", ErrHandedOver
	}
	if _, err := in.Peek(1); err != nil {
		return "", c.late(err, errIdle)
	}
	if c.expect(requestTime) {
		return "", ErrHandedOver
	}
	text, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", errLong
	case errors.Is(err, io.EOF) && len(text) > 0:
		return string(text), nil
	}
	return string(text), c.late(err, errSlow)
}

// late returns ours for a deadline that has passed, and err otherwise. When the server
// closes it sets a deadline for all clients, which is no fault of theirs.
func (c *client) late(err, ours error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if c.server.isParking() {
		return ErrHandedOver
	}
	select {
	case <-c.server.done:
		return net.ErrClosed
	default:
		return ours
	}
}

// isParking reports whether reading has stopped.
func (s *Server) isParking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parking != nil
}

// expect bounds the wait for what the client says. For a subscriber there is no bound: it need
// not ask anything. When the server closes, nothing more is read. parks says that another image
// of this program is to read on.
func (c *client) expect(d time.Duration) (parks bool) {
	end := time.Now().Add(d)
	if c.events != nil {
		end = time.Time{}
	}
	_ = c.conn.SetReadDeadline(end)
	select {
	case <-c.server.done:
		c.expectNothing()
	default:
	}
	return c.server.isParking()
}

func (c *client) expectNothing() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) }

// answer carries a request out. An error ends the conversation, except ErrHandedOver, which says
// that the request was not carried out.
func (c *client) answer(text string) error {
	ctx, ok := c.server.begin(c)
	if !ok {
		return net.ErrClosed
	}
	defer c.server.finished(c)
	r, err := parseRequest(text)
	a, subscribed := Answer{}, false
	switch {
	case err != nil:
		c.server.refusals.add(fmt.Sprintf("process %d: %v", c.peer.Pid, err))
		a.Error = err.Error()
	default:
		r.client, r.context = c, ctx
		a = c.server.Do(c.peer, r)
		if a.handedOver {
			return ErrHandedOver
		}
		if a.refuses {
			c.server.refusals.add(fmt.Sprintf("process %d: %s", c.peer.Pid, a.Error))
		}
		subscribed = a.subscribes && c.server.subscribe(c)
	}
	a.ID = r.ID
	if c.events != nil && !subscribed {
		c.catchUp()
	}
	if isEinhorns(text) && a.Message == "" {
		a.Message = cmp.Or(a.Error, "done") // einhorn's client shows nothing else
	}
	err = c.send(a)
	if subscribed {
		go c.tell() // after the answer, which comes before all events
	}
	return err
}

func (c *client) send(a Answer) error {
	a.Version = Version
	return c.write(a.encode())
}

// write writes a line whole. A second call waits for the first (net.Conn).
func (c *client) write(text []byte) error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := c.conn.Write(text)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.server.refusals.add(fmt.Sprintf("process %d does not read what it asked for", c.peer.Pid))
	}
	return err
}

// end closes the connection at once. The client stays on the list until its request is
// carried out, so a process gains no room by hanging up and connecting again.
func (c *client) end() {
	c.once.Do(func() {
		c.server.unsubscribe(c)
		c.server.aside.Do(func() { c.conn.Close() })
		close(c.gone)
	})
}
