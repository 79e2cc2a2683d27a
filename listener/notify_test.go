package listener

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// superdaemon hears the notices of a program, in the time of a bubble.
type superdaemon struct {
	*testing.T
	*program
	began time.Time
	err   error // with which later notices fail

	mu    sync.Mutex
	heard []notice
}

type notice struct {
	after time.Duration
	text  string
}

func hearing(t *testing.T) *superdaemon {
	s := &superdaemon{T: t, began: time.Now()}
	s.program = &program{notified: func() bool { return true }, notify: func(text, _ string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			return s.err
		}
		s.heard = append(s.heard, notice{time.Since(s.began), text})
		return nil
	}}
	return s
}

// hears checks what has come since the last call, and when it came.
func (s *superdaemon) hears(want ...notice) {
	s.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(s, want, s.heard)
	s.heard = nil
}

// sleeper serves a request for as long as its path says.
func sleeper(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Path[1:])
	if err != nil {
		panic(err)
	}
	time.Sleep(d)
	hello(w, r)
}

func (c *client) get(path string) {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
}

func TestADrainIsTold(t *testing.T) {
	t.Parallel()
	inBubble(t, "a server with requests", func(t *testing.T) {
		s := hearing(t)
		b := serveFor(t, &Server{program: s.program, NewGrace: 4500 * time.Millisecond}, sleeper)
		s.hears(notice{0, "READY=1"})
		for _, path := range []string{"/2500ms", "/2600ms", "/9500ms"} {
			c := b.dial()
			c.get(path)
			go io.Copy(io.Discard, c.r)
		}
		b.dial()
		b.begin()
		s.hears(notice{0, "STOPPING=1\nSTATUS=draining, 3 requests, 1 idle connection"})
		require.NoError(t, b.returns(9500*time.Millisecond))
		s.hears(
			notice{3 * time.Second, "STATUS=draining, 1 request, 1 idle connection"},
			notice{5 * time.Second, "STATUS=draining, 1 request"},
		)
		time.Sleep(time.Hour)
		s.hears()
	})
	inBubble(t, "two servers", func(t *testing.T) {
		s := hearing(t)
		conns := make(chan net.Conn, 1)
		one := serveFor(t, &Server{program: s.program, DrainTimeout: 5500 * time.Millisecond}, hijackTo(conns))
		two := serveFor(t, &Server{program: s.program}, sleeper)
		s.hears(notice{0, "READY=1"}, notice{0, "READY=1"})
		one.hijacks(conns)
		one.begin()
		time.Sleep(2 * time.Second)
		s.hears() // the other server goes on serving

		c := two.dial()
		c.get("/1h")
		go io.Copy(io.Discard, c.r)
		two.begin()
		s.hears(notice{2 * time.Second, "STOPPING=1\nSTATUS=draining, 1 request, 1 hijacked connection"})
		require.ErrorIs(t, one.returns(3500*time.Millisecond), ErrDrainTimeout)
		time.Sleep(2 * time.Second)
		s.hears(notice{6 * time.Second, "STATUS=draining, 1 request"})
		require.NoError(t, two.returns(time.Hour-5500*time.Millisecond))
	})
}

func TestADrainThatCannotBeToldGoesOn(t *testing.T) {
	t.Parallel()
	inBubble(t, "a superdaemon that has gone", func(t *testing.T) {
		s := hearing(t)
		said := make(lines, 10)
		srv := &http.Server{Handler: http.HandlerFunc(sleeper), ErrorLog: log.New(said, "", 0)}
		b := serveBy(t, func(ctx context.Context, ln net.Listener) error {
			return (&Server{HTTP: srv, program: s.program}).Serve(ctx, ln)
		})
		c := b.dial()
		c.get("/10s")
		short := b.dial()
		short.get("/2500ms")
		go io.Copy(io.Discard, short.r)
		s.mu.Lock()
		s.err = errors.New("gone")
		s.mu.Unlock()
		b.begin()
		c.receive("hello")
		require.NoError(t, b.returns(0))
		require.Equal(t, "listener: gone", <-said)
		require.Empty(t, said, "it is said once")
	})
}

// lines is where a log goes, line by line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- strings.TrimSuffix(string(p), "\n")
	return len(p), nil
}
