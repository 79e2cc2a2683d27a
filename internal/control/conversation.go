package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// read takes requests, one after the other, until the client leaves or sends
// what is none.
func (c *client) read() {
	defer c.finish()
	in := bufio.NewReaderSize(c.conn, maxRequest)
	for {
		text, err := c.next(in)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				c.send(Answer{Error: err.Error()})
			}
			return
		}
		if len(text) > 0 {
			c.answer(text)
		}
		select {
		case <-c.gone:
			return
		default:
		}
	}
}

// next reads a line. What stands before the end without a newline is one too.
func (c *client) next(in *bufio.Reader) (string, error) {
	c.expect(idleTime)
	if _, err := in.Peek(1); err != nil {
		return "", err
	}
	c.expect(requestTime)
	text, err := in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		c.server.refuse(fmt.Sprintf("a request of process %d is longer than %d bytes", c.peer.Pid, maxRequest))
		return "", fmt.Errorf("a request may have %d bytes", maxRequest)
	case errors.Is(err, io.EOF) && len(text) > 0:
		return string(text), nil
	}
	return string(text), err
}

// expect bounds how long the client may keep us waiting. Who has subscribed
// need not ask anything any more.
func (c *client) expect(d time.Duration) {
	end := time.Now().Add(d)
	if c.subscribed.Load() {
		end = time.Time{}
	}
	_ = c.conn.SetReadDeadline(end)
}

func (c *client) answer(text string) {
	c.busy.Store(true)
	defer c.busy.Store(false)
	c.server.active(c)
	r, err := parseRequest(text)
	var a Answer
	switch {
	case err != nil:
		c.server.refuse(fmt.Sprintf("process %d: %v", c.peer.Pid, err))
		a.Error = err.Error()
	case r.Command == "help":
		a = Answer{OK: true, Commands: Commands}
	case r.Command == "subscribe":
		a.OK = true
		if !c.subscribed.Swap(true) {
			c.server.watched.Add(1)
		}
	default:
		a = c.server.Do(c.peer, r)
	}
	a.ID = r.ID
	c.send(a)
}

func (c *client) send(a Answer) {
	a.Version = Version
	c.put(a.encode())
}

// put has a line written. It does not block: who does not read is disconnected.
func (c *client) put(text []byte) {
	select {
	case c.out <- text:
	default:
		c.server.refuse(fmt.Sprintf("process %d does not read what it asked for", c.peer.Pid))
		c.end()
	}
}

// write writes lines until the client is gone, or finish has been called and
// all is written.
func (c *client) write() {
	defer c.end()
	for {
		select {
		case text := <-c.out:
			if text == nil {
				return
			}
			_ = c.conn.SetWriteDeadline(time.Now().Add(writeTime))
			if _, err := c.conn.Write(text); err != nil {
				return
			}
		case <-c.gone:
			return
		}
	}
}

// finish ends the connection when what is to be written is.
func (c *client) finish() {
	timeout := time.After(finishTime)
	select {
	case c.out <- nil:
	case <-c.gone:
		return
	case <-timeout:
	}
	select {
	case <-c.gone:
	case <-timeout:
		c.end()
	}
}

// end ends the connection at once.
func (c *client) end() {
	c.close.Do(func() {
		close(c.gone)
		c.conn.Close()
		c.server.remove(c)
		if c.subscribed.Load() {
			c.server.watched.Add(-1)
		}
	})
}
