package listener

import (
	"context"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWatchdogPause(t *testing.T) {
	own := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		fault     bool
	}{
		{"", "", 0, false},
		{"", own, 0, false},
		{"3000000", own, 1500 * time.Millisecond, false},
		{"3000000", "", 1500 * time.Millisecond, false},
		{"3000000", "1", 0, false},
		{"2", own, time.Microsecond, false},
		{"1", own, 0, true},
		{"0", own, 0, true},
		{"-1", own, 0, true},
		{"3s", own, 0, true},
		{"x", "1", 0, false},
		{"9223372036854775", own, 4611686018427387500, false},
		{"9223372036854776", own, 0, true},
		{"18446744073709551615", own, 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		got, err := watchdogPause()
		require.Equal(t, c.want, got, c)
		require.Equal(t, c.fault, err != nil, c)
	}
}

// watched runs a test in which the superdaemon waits four seconds for each notice.
func watched(t *testing.T, given string, test func(t *testing.T, s *superdaemon)) {
	t.Run(given, func(t *testing.T) {
		t.Setenv("WATCHDOG_USEC", "4000000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		synctest.Test(t, func(t *testing.T) { test(t, hearing(t)) })
	})
}

// hearsWatchdog checks at which seconds WATCHDOG=1 has come since the last call, and
// nothing else.
func (s *superdaemon) hearsWatchdog(seconds ...int) {
	s.Helper()
	var want []notice
	for _, n := range seconds {
		want = append(want, notice{time.Duration(n) * time.Second, "WATCHDOG=1"})
	}
	s.hears(want...)
}

// begins checks the first notices.
func (s *superdaemon) begins() {
	s.Helper()
	s.hears(notice{0, "READY=1"}, notice{0, "WATCHDOG=1"})
}

func TestWatchdog(t *testing.T) {
	watched(t, "a server that is well, and drains", func(t *testing.T, s *superdaemon) {
		b := serveFor(t, &Server{program: s.program}, sleeper)
		s.begins()
		time.Sleep(5 * time.Second)
		s.hearsWatchdog(2, 4)
		c := b.dial()
		c.get("/5500ms")
		b.begin()
		s.hears(notice{5 * time.Second, "STOPPING=1\nSTATUS=draining, 1 request"})
		c.receive("hello")
		require.NoError(t, b.returns(0))
		s.hearsWatchdog(6, 8, 10)
		time.Sleep(time.Hour)
		s.hears()
	})
	watched(t, "a loop that accepts and is stuck", func(t *testing.T, s *superdaemon) {
		stuck := make(chan struct{})
		srv := server()
		srv.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { <-stuck; return ctx }
		b := serveBy(t, func(ctx context.Context, ln net.Listener) error {
			return (&Server{HTTP: srv, program: s.program}).Serve(ctx, ln)
		})
		s.begins()
		time.Sleep(3 * time.Second)
		b.dial()
		time.Sleep(10 * time.Second)
		s.hearsWatchdog(2, 4) // the look at 4 found that the loop had turned
		close(stuck)
		time.Sleep(2 * time.Second)
		s.hearsWatchdog(14)
		b.begin()
		require.NoError(t, b.returns(defaultNewGrace))
	})
	watched(t, "two servers, of which one is stuck", func(t *testing.T, s *superdaemon) {
		stuck := make(chan struct{})
		one := serveFor(t, &Server{program: s.program}, hello)
		s.begins()
		two := serveFor(t, &Server{program: s.program, Health: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck })}, hello)
		s.hears(notice{0, "READY=1"})
		time.Sleep(9 * time.Second)
		s.hears()
		close(stuck)
		one.begin()
		two.begin()
		require.NoError(t, one.returns(0))
		require.NoError(t, two.returns(0))
	})
}

func TestWatchdogAsksHealth(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"well":   hello,
		"silent": func(http.ResponseWriter, *http.Request) {},
		"early": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		},
		"ill": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ill", http.StatusServiceUnavailable) },
		"bad": func(http.ResponseWriter, *http.Request) { panic("oops") },
		"slow": func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			w.WriteHeader(http.StatusInternalServerError)
		},
	}
	watched(t, "a handler that changes its mind", func(t *testing.T, s *superdaemon) {
		said := make(lines, 10)
		var mood atomic.Value
		mood.Store("well")
		health := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, "/", r.URL.Path)
			require.Equal(t, http.MethodGet, r.Method)
			answers[mood.Load().(string)](w, r)
		})
		b := serveBy(t, func(ctx context.Context, ln net.Listener) error {
			srv := server()
			srv.ErrorLog = log.New(said, "", 0)
			return (&Server{HTTP: srv, Health: health, program: s.program}).Serve(ctx, ln)
		})
		s.begins()
		time.Sleep(time.Second)
		for i, c := range []struct{ mood, line string }{
			{"ill", "listener: WATCHDOG=1 is held back: the health handler answers 503"},
			{"ill", ""}, // it is logged once
			{"well", "listener: the health handler is well again"},
			{"silent", ""},
			{"bad", "listener: WATCHDOG=1 is held back: the health handler panics: oops"},
			{"early", ""},
			{"well", "listener: the health handler is well again"},
		} {
			mood.Store(c.mood)
			time.Sleep(2 * time.Second)
			if synctest.Wait(); c.mood == "well" || c.mood == "silent" {
				s.hearsWatchdog(2 * (i + 1))
			} else {
				s.hears()
			}
			if c.line != "" {
				require.Equal(t, c.line, <-said)
			}
			require.Empty(t, said)
		}
		mood.Store("slow")
		time.Sleep(4 * time.Second)
		s.hears()
		require.Equal(t, "listener: WATCHDOG=1 is held back: the health handler answers 500", <-said)
		b.begin()
		require.NoError(t, b.returns(0))
	})
}

func TestWatchdogThatMakesNoSense(t *testing.T) {
	t.Setenv("WATCHDOG_USEC", "soon")
	synctest.Test(t, func(t *testing.T) {
		s := hearing(t)
		said := make(lines, 10)
		b := serveBy(t, func(ctx context.Context, ln net.Listener) error {
			return (&Server{HTTP: &http.Server{ErrorLog: log.New(said, "", 0)}, program: s.program}).Serve(ctx, ln)
		})
		time.Sleep(time.Hour)
		s.hears(notice{0, "READY=1"})
		require.Equal(t, `listener: no watchdog: WATCHDOG_USEC is "soon", which is not a number of microseconds`, <-said)
		b.begin()
		require.NoError(t, b.returns(0))
	})
}
