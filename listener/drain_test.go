package listener

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeListener is a network inside a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	failed chan error
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), failed: make(chan error), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// bubble is a server in fake time, and what a test does to it.
type bubble struct {
	*testing.T
	*pipeListener
	terminate context.CancelFunc
	result    chan error
}

func serve(t *testing.T, srv *http.Server) *bubble {
	return serveBy(t, func(ctx context.Context, ln net.Listener) error { return Serve(ctx, srv, ln) })
}

func serveBy(t *testing.T, serve func(context.Context, net.Listener) error) *bubble {
	ctx, cancel := context.WithCancel(context.Background())
	b := &bubble{t, newPipeListener(), cancel, make(chan error, 1)}
	go func() { b.result <- serve(ctx, b) }()
	synctest.Wait()
	return b
}

// begin starts the drain.
func (b *bubble) begin() { b.terminate(); synctest.Wait() }

// returns waits for Serve to return, and checks that it takes that long.
func (b *bubble) returns(after time.Duration) error {
	b.Helper()
	start := time.Now()
	err := <-b.result
	require.InDelta(b, after.Seconds(), time.Since(start).Seconds(), 0.6)
	return err
}

// descriptor is an end of a pipe that can be asked whether it is closed, like a network
// connection.
type descriptor struct {
	net.Conn
	closed atomic.Bool
}

func (c *descriptor) Close() error { c.closed.Store(true); return c.Conn.Close() }

func (c *descriptor) SyscallConn() (syscall.RawConn, error) { return raw{c}, nil }

type raw struct{ *descriptor }

func (r raw) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (r raw) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func (r raw) Control(f func(uintptr)) error {
	if r.closed.Load() {
		return net.ErrClosed
	}
	f(0)
	return nil
}

type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

func (b *bubble) dial() *client {
	ours, theirs := net.Pipe()
	return b.connect(ours, &descriptor{Conn: theirs})
}

// connect makes the server accept theirs.
func (b *bubble) connect(ours, theirs net.Conn) *client {
	b.conns <- theirs
	synctest.Wait()
	b.Cleanup(func() { ours.Close() })
	return &client{b.T, ours, bufio.NewReader(ours)}
}

func (c *client) send(s string) {
	c.t.Helper()
	_, err := io.WriteString(c.conn, s)
	require.NoError(c.t, err)
	synctest.Wait()
}

// receive reads a response, and reports whether it ends the connection.
func (c *client) receive(body string) (closes bool) {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(c.t, err)
	got, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, body, string(got))
	synctest.Wait()
	return res.Close
}

const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// server answers a POST with the body that it reads, and all else with hello.
func server() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/", hello)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	return &http.Server{Handler: mux}
}

func inBubble(t *testing.T, given string, test func(t *testing.T)) {
	t.Run(given, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	inBubble(t, "no connection", func(t *testing.T) {
		b := serve(t, server())
		b.begin()
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a connection that has sent nothing, and does", func(t *testing.T) {
		b := serve(t, server())
		c := b.dial()
		b.begin()
		time.Sleep(defaultNewGrace - time.Millisecond)
		c.send(request)
		require.True(t, c.receive("hello"))
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a connection that has sent half a header, and sends the rest", func(t *testing.T) {
		b := serve(t, server())
		c := b.dial()
		c.send(request[:10])
		b.begin()
		time.Sleep(defaultNewGrace - time.Millisecond)
		c.send(request[10:])
		require.True(t, c.receive("hello"))
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a connection that never sends anything", func(t *testing.T) {
		b := serve(t, server())
		b.dial()
		b.begin()
		require.NoError(t, b.returns(defaultNewGrace))
	})
	inBubble(t, "a kept-alive connection that sends another request", func(t *testing.T) {
		b := serve(t, server())
		c := b.dial()
		c.send(request)
		require.False(t, c.receive("hello"))
		time.Sleep(time.Hour)
		b.begin()
		time.Sleep(defaultIdleGrace - time.Millisecond)
		c.send(request)
		require.True(t, c.receive("hello"))
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a kept-alive connection that is silent", func(t *testing.T) {
		b := serve(t, server())
		c := b.dial()
		c.send(request)
		require.False(t, c.receive("hello"))
		b.begin()
		require.NoError(t, b.returns(defaultIdleGrace))
		_, err := c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	})
	inBubble(t, "a request whose body comes late", func(t *testing.T) {
		b := serve(t, server())
		c := b.dial()
		c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
		b.begin()
		time.Sleep(time.Hour)
		c.send("late")
		require.True(t, c.receive("late"))
		require.NoError(t, b.returns(0))
	})
}

func TestDrainLongRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, "a request that lasts an hour", func(t *testing.T) {
		srv := server()
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			io.WriteString(w, "done")
		})
		b := serve(t, srv)
		c := b.dial()
		c.send(request)
		b.begin()
		require.True(t, c.receive("done"))
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a stream that ends at RegisterOnShutdown", func(t *testing.T) {
		srv := server()
		shutdown := make(chan struct{})
		srv.RegisterOnShutdown(func() { close(shutdown) })
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "bye")
			<-shutdown
		})
		b := serve(t, srv)
		c := b.dial()
		c.send(request)
		start := time.Now()
		b.begin()
		require.True(t, c.receive("bye"))
		require.InDelta(t, defaultIdleGrace.Seconds(), time.Since(start).Seconds(), 0.1)
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a kept-alive request that ends after the start of the drain", func(t *testing.T) {
		srv := server()
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(defaultIdleGrace / 2)
			hello(w, nil)
		})
		b := serve(t, srv)
		c := b.dial()
		c.send(request)
		b.begin()
		require.False(t, c.receive("hello"), "nobody had told it yet")
		time.Sleep(defaultIdleGrace - time.Millisecond)
		c.send(request)
		require.True(t, c.receive("hello"))
		require.NoError(t, b.returns(0))
	})
}

func TestServeKeepsHooks(t *testing.T) {
	t.Parallel()
	inBubble(t, "a server with hooks", func(t *testing.T) {
		type key struct{}
		var states []http.ConnState
		srv := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.Context().Value(key{}).(string))
			}),
			ConnState:   func(_ net.Conn, s http.ConnState) { states = append(states, s) },
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") },
		}
		b := serve(t, srv)
		c := b.dial()
		c.send(request)
		require.False(t, c.receive("mine"))
		b.begin()
		require.NoError(t, b.returns(defaultIdleGrace))
		require.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}, states)
	})
}

func TestServeListenerFails(t *testing.T) {
	t.Parallel()
	inBubble(t, "a request in flight on another listener", func(t *testing.T) {
		srv := server()
		srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Minute)
			hello(w, nil)
		})
		good, bad := newPipeListener(), newPipeListener()
		b := &bubble{t, good, nil, make(chan error, 1)}
		go func() { b.result <- Serve(context.Background(), srv, good, bad) }()
		c := b.dial()
		c.send(request)

		broken := errors.New("broken")
		bad.failed <- broken
		c.receive("hello")
		require.ErrorIs(t, b.returns(0), broken)
	})
	inBubble(t, "a server that was shut down by someone else", func(t *testing.T) {
		srv := server()
		b := serve(t, srv)
		require.NoError(t, srv.Shutdown(context.Background()))
		require.ErrorIs(t, b.returns(0), http.ErrServerClosed)
	})
}

// A request that is read at the very moment of the cut is served, body and all.
func TestCutIsUndone(t *testing.T) {
	t.Parallel()
	inBubble(t, "a connection that becomes active when it was cut", func(t *testing.T) {
		d := newDrainer(&Server{HTTP: server()})
		ours, theirs := net.Pipe()
		defer ours.Close()
		d.accepted(context.Background(), theirs)
		d.program.join(d)
		defer d.program.leave(d)
		d.begin()
		require.False(t, d.settled(time.Now().Add(defaultNewGrace)))
		_, err := theirs.Read(make([]byte, 1))
		require.ErrorContains(t, err, "timeout")

		d.changed(theirs, http.StateActive)
		go io.WriteString(ours, "x")
		_, err = theirs.Read(make([]byte, 1))
		require.NoError(t, err)
	})
}
