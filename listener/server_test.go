package listener

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// serveFor serves handle by s.
func serveFor(t *testing.T, s *Server, handle http.HandlerFunc) *bubble {
	s.HTTP = &http.Server{Handler: handle}
	return serveBy(t, func(ctx context.Context, ln net.Listener) error { return s.Serve(ctx, ln) })
}

// hijackTo hijacks the connection, and sends it on the channel.
func hijackTo(to chan<- net.Conn) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		to <- conn
	}
}

// hijacks dials, and returns the server's end once it is hijacked.
func (b *bubble) hijacks(from <-chan net.Conn) (*client, net.Conn) {
	b.Helper()
	c := b.dial()
	c.send(request)
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(b, err)
	require.Equal(b, http.StatusSwitchingProtocols, res.StatusCode)
	return c, <-from
}

func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	inBubble(t, "requests that do not end", func(t *testing.T) {
		ended := make(chan error, 2)
		b := serveFor(t, &Server{DrainTimeout: time.Minute}, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended <- r.Context().Err()
		})
		b.dial().send(request)
		b.dial().send(request)
		b.begin()
		err := b.returns(time.Minute)
		require.ErrorIs(t, err, ErrDrainTimeout)
		require.EqualError(t, err, "drain timeout of 1m0s: closed with 2 requests")
		require.Error(t, <-ended, "its connection was closed")
		require.Error(t, <-ended)
	})
	inBubble(t, "a connection that has a longer grace", func(t *testing.T) {
		b := serveFor(t, &Server{DrainTimeout: 2 * time.Second}, hello)
		b.dial()
		b.begin()
		require.EqualError(t, b.returns(2*time.Second), "drain timeout of 2s: closed with 0 requests, 1 idle connection")
	})
	inBubble(t, "a drain that is over sooner", func(t *testing.T) {
		b := serveFor(t, &Server{DrainTimeout: time.Hour}, hello)
		b.dial()
		b.begin()
		require.NoError(t, b.returns(defaultNewGrace))
	})
}

func TestGraces(t *testing.T) {
	t.Parallel()
	for given, want := range map[time.Duration]time.Duration{time.Minute: time.Minute, -1: 0} {
		inBubble(t, "a connection that never sends anything", func(t *testing.T) {
			b := serveFor(t, &Server{NewGrace: given}, hello)
			b.dial()
			b.begin()
			require.NoError(t, b.returns(want))
		})
		inBubble(t, "a kept-alive connection that is silent", func(t *testing.T) {
			b := serveFor(t, &Server{IdleGrace: given}, hello)
			c := b.dial()
			c.send(request)
			require.False(t, c.receive("hello"))
			b.begin()
			require.NoError(t, b.returns(want))
		})
	}
}

func TestHijacked(t *testing.T) {
	t.Parallel()
	inBubble(t, "a connection that its program closes", func(t *testing.T) {
		conns := make(chan net.Conn, 1)
		b := serveFor(t, &Server{DrainTimeout: time.Hour}, hijackTo(conns))
		_, conn := b.hijacks(conns)
		b.begin()
		time.Sleep(time.Minute)
		select {
		case err := <-b.result:
			t.Fatal("it did not wait for the connection:", err)
		default:
		}
		require.NoError(t, conn.Close())
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a connection that nobody closes", func(t *testing.T) {
		conns := make(chan net.Conn, 1)
		b := serveFor(t, &Server{DrainTimeout: time.Minute}, hijackTo(conns))
		c, _ := b.hijacks(conns)
		b.begin()
		require.EqualError(t, b.returns(time.Minute), "drain timeout of 1m0s: closed with 0 requests, 1 hijacked connection")
		_, err := c.r.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	})
	inBubble(t, "a connection of plain Serve", func(t *testing.T) {
		conns := make(chan net.Conn, 1)
		b := serve(t, &http.Server{Handler: hijackTo(conns)})
		b.hijacks(conns)
		b.begin()
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a connection that cannot be asked", func(t *testing.T) {
		conns := make(chan net.Conn, 1)
		b := serveFor(t, &Server{DrainTimeout: time.Hour}, hijackTo(conns))
		ours, theirs := net.Pipe()
		c := b.connect(ours, theirs)
		go io.Copy(io.Discard, c.r)
		c.send(request)
		<-conns
		b.begin()
		require.NoError(t, b.returns(0))
	})
}

func TestTellHijacked(t *testing.T) {
	t.Parallel()
	inBubble(t, "connections hijacked long ago, just now, and while it drains", func(t *testing.T) {
		conns, told := make(chan net.Conn, 1), make(chan net.Conn, 3)
		s := &Server{IdleGrace: 2 * time.Second, TellHijacked: func(conn net.Conn) {
			told <- conn
			time.Sleep(time.Second) // it may block
			conn.Close()
		}}
		b := serveFor(t, s, hijackTo(conns))
		late := b.dial()
		_, closed := b.hijacks(conns)
		_, first := b.hijacks(conns)
		require.NoError(t, closed.Close())
		time.Sleep(time.Hour)
		_, second := b.hijacks(conns)
		b.begin()
		require.Equal(t, first, <-told, "at once, and it is the connection that Hijack returned")

		time.Sleep(time.Second)
		require.Empty(t, told, "its answer may be on its way yet")
		late.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		_, err := http.ReadResponse(late.r, nil)
		require.NoError(t, err)
		third := <-conns
		require.Equal(t, second, <-told)
		require.Equal(t, third, <-told)
		require.NoError(t, b.returns(time.Second))
		require.Empty(t, told, "each is told once, and none that is closed")
	})
}

// A server that hijacks a million connections in its life does not keep them all.
func TestHijackedConnectionsThatAreClosedAreForgotten(t *testing.T) {
	t.Parallel()
	h := hijacked{counted: true}
	var open []*descriptor
	for i := range 100 * leastSweep {
		c := &descriptor{}
		h.add(c, time.Time{})
		if i%100 == 0 {
			open = append(open, c)
			continue
		}
		c.closed.Store(true)
		require.LessOrEqual(t, len(h.conns), max(2*len(open), leastSweep)+1)
	}
	require.Equal(t, len(open), h.open())
}

func TestDrainingContext(t *testing.T) {
	t.Parallel()
	inBubble(t, "a handler that waits", func(t *testing.T) {
		causes := make(chan error, 1)
		b := serveFor(t, &Server{}, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := DrainingContext(r.Context())
			defer cancel()
			<-ctx.Done()
			causes <- context.Cause(ctx)
			require.NoError(t, r.Context().Err(), "the request goes on")
			hello(w, r)
		})
		other := serveFor(t, &Server{}, hello)
		c := b.dial()
		c.send(request)
		other.begin()
		require.NoError(t, other.returns(0))
		time.Sleep(time.Hour)
		require.Empty(t, causes, "another server's drain is none of its")

		b.begin()
		require.Equal(t, ErrDraining, <-causes)
		require.False(t, c.receive("hello"), "the request came before the drain")
		require.NoError(t, b.returns(defaultIdleGrace))
	})
	inBubble(t, "a client that goes away", func(t *testing.T) {
		causes := make(chan error, 1)
		b := serveFor(t, &Server{}, func(_ http.ResponseWriter, r *http.Request) {
			ctx, cancel := DrainingContext(r.Context())
			defer cancel()
			<-ctx.Done()
			causes <- context.Cause(ctx)
		})
		c := b.dial()
		c.send(request)
		require.NoError(t, c.conn.Close())
		require.Equal(t, context.Canceled, <-causes)
		b.begin()
		require.NoError(t, b.returns(0))
	})
	inBubble(t, "a context that is given back", func(t *testing.T) {
		b := serveFor(t, &Server{}, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := DrainingContext(r.Context())
			cancel()
			require.Equal(t, context.Canceled, context.Cause(ctx))
			hello(w, r)
		})
		c := b.dial()
		c.send(request)
		c.receive("hello")
		b.begin()
		synctest.Wait()
		require.NoError(t, b.returns(defaultIdleGrace))
	})
}
