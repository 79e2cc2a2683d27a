//go:build linux || darwin

package listener

import (
	"context"
	"crypto/rand"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// superior waits for notices, as a superdaemon does.
type superior struct{ *net.UnixConn }

// superiorAt listens at a path, or at an abstract name, and sets NOTIFY_SOCKET.
func superiorAt(t *testing.T, name string) superior {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return superior{conn}
}

func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "ss") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "notify")
}

// hears waits for the next notice.
func (s superior) hears(t *testing.T) string {
	t.Helper()
	text := make([]byte, 100)
	s.SetReadDeadline(time.Now().Add(patience))
	n, err := s.Read(text)
	require.NoError(t, err)
	return string(text[:n])
}

// hearsNoMore checks that no unread notice is left.
func (s superior) hearsNoMore(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("the end"))
	require.NoError(t, err)
	require.Equal(t, "the end", s.hears(t))
}

func TestReady(t *testing.T) {
	s := superiorAt(t, socketPath(t))
	require.NoError(t, Ready())
	require.Equal(t, "READY=1", s.hears(t))
	s.hearsNoMore(t)
}

func TestReadyByAbstractName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has abstract names")
	}
	s := superiorAt(t, "@listener-test/"+rand.Text())
	require.NoError(t, Ready())
	require.Equal(t, "READY=1", s.hears(t))
}

func TestReadyWhenNobodyWaits(t *testing.T) {
	require.NoError(t, os.Unsetenv("NOTIFY_SOCKET"))
	require.NoError(t, Ready())
	t.Setenv("NOTIFY_SOCKET", "")
	require.NoError(t, Ready())
}

func TestReadyThatCannotBeSaid(t *testing.T) {
	path := socketPath(t)
	t.Setenv("NOTIFY_SOCKET", path)
	require.ErrorContains(t, Ready(), "cannot say ready to NOTIFY_SOCKET "+path)
	require.ErrorIs(t, Ready(), os.ErrNotExist)
}

func TestServeSaysReadyOnceWhenAllListenersAccept(t *testing.T) {
	s := superiorAt(t, socketPath(t))
	var listeners []net.Listener
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, ln)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := make(chan net.Listener)
	srv := &http.Server{BaseContext: func(ln net.Listener) context.Context {
		began <- ln
		return context.Background()
	}}
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, srv, listeners...) }()
	first, second := <-began, <-began
	s.hearsNoMore(t) // of the third nothing is known
	for _, ln := range []net.Listener{first, second, <-began} {
		require.True(t, slices.Contains(listeners, ln), "what Serve was given")
	}
	require.Equal(t, "READY=1", s.hears(t))
	for _, ln := range listeners {
		v := visitor{network: "tcp", addr: ln.Addr().String()}
		require.NoError(t, v.visit())
	}
	cancel()
	require.NoError(t, <-served)
	require.Regexp(t, "^STOPPING=1\nSTATUS=draining, 0 requests", s.hears(t)) // a connection may be there still
	s.hearsNoMore(t)
}

func TestServeFeedsTheWatchdog(t *testing.T) {
	s := superiorAt(t, socketPath(t))
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, &http.Server{}, ln) }()
	require.Equal(t, "READY=1", s.hears(t))
	for range 3 {
		require.Equal(t, "WATCHDOG=1", s.hears(t))
	}
	cancel()
	require.NoError(t, <-served)
}

func TestServeGoesOnWhenReadyCannotBeSaid(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", socketPath(t))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(lines, 1)
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, &http.Server{ErrorLog: log.New(said, "", 0)}, ln) }()
	assert.Contains(t, <-said, "listener: cannot say ready to NOTIFY_SOCKET")
	v := visitor{network: "tcp", addr: ln.Addr().String()}
	require.NoError(t, v.visit())
	cancel()
	require.NoError(t, <-served)
}

func TestServeThatCannotServeDoesNotSayReady(t *testing.T) {
	s := superiorAt(t, socketPath(t))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{}
	require.NoError(t, srv.Close())
	require.ErrorIs(t, Serve(t.Context(), srv, ln), http.ErrServerClosed)
	s.hearsNoMore(t)
}

// The context of a program may have ended because another part of it could not begin. Then it is
// not fit to replace the program that serves.
func TestServeThatIsToEndBeforeItAcceptsDoesNotSayReady(t *testing.T) {
	s := superiorAt(t, socketPath(t))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, Serve(ctx, &http.Server{}, ln))
	s.hearsNoMore(t)
}
