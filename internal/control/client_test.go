//go:build unix

package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// within returns a context that ends the test if nothing else does.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), d, errors.New("timed out"))
	t.Cleanup(cancel)
	return ctx
}

func dialed(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(within(t, patience), path)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// playing returns the path of a socket on which play, and not our server, answers one
// client.
func playing(t *testing.T, play func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(testkit.Dir(t), "ctl")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			play(conn)
			conn.Close()
		}
	}()
	return path
}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	whole := everything()
	s, path := listenWith(t, Config{Do: func(p Peer, r Request) Answer {
		switch r.Command {
		case "status":
			return whole
		case "fail":
			return Answer{Error: "it failed", Log: []string{"why"}}
		}
		return echo(p, r)
	}})
	ctx, c := within(t, patience), dialed(t, path)
	a, err := c.Do(ctx, Request{Command: "status", ID: whole.ID}, nil)
	require.NoError(t, err)
	assert.Equal(t, whole, a)
	a, err = c.Do(ctx, Request{Command: "fail"}, nil)
	assert.EqualError(t, err, "it failed")
	assert.Equal(t, []string{"why"}, a.Log)
	a, err = c.Do(ctx, Request{Command: "big"}, nil)
	require.NoError(t, err)
	assert.Len(t, a.Log[0], 1<<20)

	_, err = c.Do(ctx, Request{Command: "subscribe"}, nil)
	require.NoError(t, err)
	s.Publish(Event{Event: "one"})
	s.Publish(Event{Event: "two"})
	var seen []string
	assert.Equal(t, os.Getpid(), c.Pid())
	require.NoError(t, c.Watch(ctx, func(e Event) bool {
		assert.Equal(t, string(e.encode()), string(c.Line()))
		seen = append(seen, e.Event)
		return e.Event != "two"
	}))
	assert.Equal(t, []string{"one", "two"}, seen)
	go s.Publish(Event{Event: "three"})
	for !contains(seen, "three") {
		_, err = c.Do(ctx, Request{Command: "x"}, func(e Event) { seen = append(seen, e.Event) })
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	err = c.Watch(ctx, func(Event) bool { return true })
	assert.ErrorIs(t, err, io.EOF)
	_, err = c.Do(ctx, Request{Command: "x"}, nil)
	assert.ErrorIs(t, err, io.EOF)
}

func contains(all []string, one string) bool { return strings.Contains(strings.Join(all, " "), one) }

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	stale(t, filepath.Join(dir, "stale"))
	for _, name := range []string{"missing", "stale"} {
		path := filepath.Join(dir, name)
		_, err := Dial(within(t, patience), path)
		assert.ErrorIs(t, err, ErrNobody)
		assert.EqualError(t, err, `control socket "`+path+`": no superdaemon listens there`)
	}
	_, err := Dial(within(t, patience), dir)
	assert.NotErrorIs(t, err, syscall.EAGAIN)
	assert.Error(t, err)
}

// A client that is turned away hears why, even if its request meets a closed connection.
func TestClientThatIsTurnedAwayHearsWhy(t *testing.T) {
	t.Parallel()
	for range 50 {
		hungUp := make(chan struct{})
		path := playing(t, func(conn net.Conn) {
			io.WriteString(conn, `{"version":1,"ok":false,"error":"you are one too many"}`+"\n")
			conn.Close()
			close(hungUp)
		})
		c := dialed(t, path)
		<-hungUp
		_, err := c.Do(within(t, patience), Request{Command: "status"}, nil)
		assert.EqualError(t, err, "you are one too many")
	}
}

// A non-blocking connect(2) does not wait for its turn: the client has to.
func TestClientWaitsForItsTurn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "ctl")
	fd, err := fd.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	require.NoError(t, syscall.Listen(fd, 1))
	for {
		conn, err := net.Dial("unix", path)
		if err != nil {
			if !errors.Is(err, syscall.EAGAIN) {
				t.Skipf("this system does not say that the queue is full, but %v", err)
			}
			break
		}
		defer conn.Close()
	}
	_, err = Dial(within(t, 50*time.Millisecond), path)
	assert.EqualError(t, err, `control socket "`+path+`": timed out`)

	accept := time.AfterFunc(50*time.Millisecond, func() {
		if taken, _, err := syscall.Accept(fd); err == nil {
			syscall.Close(taken)
		}
	})
	defer accept.Stop()
	c, err := Dial(within(t, patience), path)
	require.NoError(t, err)
	c.Close()
}

func TestClientOfStrangeServers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n":         `the answer is not that of a superdaemon: `,
		"[]\n":                                 `the answer is not that of a superdaemon: it is a JSON array, not an object`,
		"{}\n":                                 `the request was refused, and no reason given`,
		`{"ok":true`:                           `EOF`,
		"":                                     `EOF`,
		strings.Repeat("x", maxAnswer+(1<<20)): `an answer is longer than 16777216 bytes`,
		strings.Repeat("[", 1<<20) + "\n":      `the answer is not that of a superdaemon: `,
	} {
		path := playing(t, func(conn net.Conn) {
			_, _ = bufio.NewReader(conn).ReadString('\n')
			_, _ = io.WriteString(conn, text)
		})
		_, err := dialed(t, path).Do(within(t, patience), Request{Command: "status"}, nil)
		require.Error(t, err)
		assert.Contains(t, err.Error(), want)
		assert.Less(t, len(err.Error()), 1000)
	}
}

func TestEventsThatAClientDoesNotWant(t *testing.T) {
	t.Parallel()
	path := playing(t, func(conn net.Conn) {
		_, _ = bufio.NewReader(conn).ReadString('\n')
		_, _ = io.WriteString(conn, `{"event":"live"}`+"\n"+`{"ok":true,"generation":5}`+"\n")
	})
	a, err := dialed(t, path).Do(within(t, patience), Request{Command: "subscribe"}, nil)
	require.NoError(t, err)
	assert.Equal(t, 5, a.Generation)
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	heard := make(chan struct{})
	path := playing(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		_, _ = in.ReadString('\n')
		<-heard
		_, _ = in.ReadString('\n')
		io.WriteString(conn, `{"ok":true}`+"\n")
	})
	c := dialed(t, path)
	_, err := c.Do(within(t, 20*time.Millisecond), Request{Command: "restart"}, nil)
	assert.EqualError(t, err, `control socket "`+path+`": timed out`)
	close(heard)
	_, err = c.Do(within(t, patience), Request{Command: "x"}, nil)
	assert.NoError(t, err, "it can be asked again")
}

func TestWatcherThatHasToGoIsToldWhy(t *testing.T) {
	t.Parallel()
	path := playing(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte(`{"event":"live"}` + "\n" + `{"version":1,"ok":false,"error":"too many clients"}` + "\n"))
		_, _ = io.Copy(io.Discard, conn)
	})
	heard := 0
	err := dialed(t, path).Watch(within(t, patience), func(Event) bool { heard++; return true })
	assert.EqualError(t, err, "too many clients")
	assert.Equal(t, 1, heard)
}
