package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// dialPause is the pause between two attempts to connect.
const dialPause = 10 * time.Millisecond

// ErrNobody is what Dial returns if no superdaemon listens at the path.
var ErrNobody = errors.New("no superdaemon listens there")

// Client is a connection to a superdaemon. It is for one goroutine.
type Client struct {
	path   string
	conn   net.Conn
	in     *bufio.Reader
	server Peer
	line   []byte // the last one that came
}

// Dial connects to the control socket at path. The process that listens there has to be of our
// own user or of root: any other one could answer what it likes.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := dial(ctx, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("control socket %q: %w", path, ErrNobody)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket %q: %w", path, reason(err))
	}
	server, err := trusted(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %q: %w", path, err)
	}
	return &Client{path: path, conn: conn, in: bufio.NewReaderSize(conn, maxRequest), server: server}, nil
}

// trusted returns the process that listens. The error says why nothing may be asked of it.
func trusted(conn net.Conn) (Peer, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, errors.New("it is no unix socket")
	}
	server, err := peerOf(unix)
	if err == nil && server.UID != 0 && server.UID != os.Geteuid() {
		err = fmt.Errorf("process %d listens there and runs as user %d, neither as user %d nor as root: nothing was asked; if it is yours, ask as that user",
			server.Pid, server.UID, os.Geteuid())
	}
	return server, err
}

// Pid is the process that listens, as the kernel names it to us. If its own status has another
// pid, all pids there are of another namespace and mean nothing here.
func (c *Client) Pid() int { return c.server.Pid }

// Line is the line of the last answer or event, as it came, with its newline. Within a call of
// watch it is the line of that event.
func (c *Client) Line() []byte { return c.line }

// dial tries again while the backlog is full: a non-blocking connect(2) fails then.
func dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", fd.SocketName(path))
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			<-ctx.Done() // the net package may be a moment early
			return nil, context.Cause(ctx)
		case !errors.Is(err, syscall.EAGAIN):
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(dialPause):
		}
	}
}

// reason takes the address out of an error of package net: ours name the path.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Do sends a request and blocks until it is answered or ctx ends. Events that come before
// the answer go to watch, which may be nil. An answer that is not OK is returned with an
// error; so is the reason that a server gives before it hangs up.
func (c *Client) Do(ctx context.Context, r Request, watch func(Event)) (Answer, error) {
	defer c.bound(ctx)()
	r.Version = Version
	if _, err := c.conn.Write(r.encode()); err != nil && !hungUp(err) {
		return Answer{}, c.fault(ctx, err)
	}
	for {
		m, err := c.next(ctx)
		if err != nil {
			return Answer{}, err
		}
		switch {
		case m.event.Event != "":
			if watch != nil {
				watch(m.event)
			}
		case m.answer.OK:
			return m.answer, nil
		case m.answer.Error == "":
			return m.answer, fmt.Errorf("control socket %q: the request was refused, and no reason given", c.path)
		default:
			return m.answer, errors.New(text.Lines(m.answer.Error))
		}
	}
}

// Watch passes events to watch. It blocks until watch returns false, the connection ends
// (io.EOF) or ctx ends.
func (c *Client) Watch(ctx context.Context, watch func(Event) bool) error {
	defer c.bound(ctx)()
	for {
		m, err := c.next(ctx)
		if err != nil {
			return err
		}
		switch {
		case m.event.Event != "":
			if !watch(m.event) {
				return nil
			}
		case m.answer.Error != "": // this client has to go, and is told why
			return errors.New(text.Lines(m.answer.Error))
		}
	}
}

func (c *Client) next(ctx context.Context) (m message, err error) {
	line, err := c.readLine()
	if err != nil {
		return m, c.fault(ctx, err)
	}
	c.line = line
	if m, err = decodeMessage(line); err != nil {
		return m, fmt.Errorf("control socket %q: the answer is not that of a superdaemon: %.200s", c.path, text.Line(err.Error()))
	}
	return m, nil
}

func (c *Client) readLine() ([]byte, error) {
	var text []byte
	for {
		part, err := c.in.ReadSlice('\n')
		text = append(text, part...)
		if err == nil {
			return text, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if len(text) > maxAnswer {
			return nil, fmt.Errorf("an answer is longer than %d bytes", maxAnswer)
		}
	}
}

// fault names the control socket in an error, and ctx's cause if ctx ended.
func (c *Client) fault(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		err = context.Cause(ctx)
	}
	if hungUp(err) {
		err = io.EOF
	}
	return fmt.Errorf("control socket %q: %w", c.path, reason(err))
}

// hungUp reports whether the other side has ended the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// bound makes reads and writes fail when ctx ends, until unbound is called.
func (c *Client) bound(ctx context.Context) (unbound func()) {
	_ = c.conn.SetDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}
