//go:build unix

package control

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what has to come.
const patience = 15 * time.Second

// listenWith makes a server, whose socket is at path. At the end of the test the server is
// closed, if it is still open.
func listenWith(t *testing.T, c Config) (s *Server, path string) {
	t.Helper()
	if c.Do == nil {
		c.Do = echo
	}
	if c.Refused == nil {
		c.Refused = func(string, int) {}
	}
	path = filepath.Join(testkit.Dir(t), "ctl")
	s, err := Listen(path, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		if !s.isClosed() {
			assert.NoError(t, s.Close())
		}
	})
	return s, path
}

// caller is a client that writes and reads what it likes.
type caller struct {
	*testing.T
	*net.UnixConn
	in *bufio.Reader
}

func call(t *testing.T, path string) *caller {
	t.Helper()
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &caller{t, conn.(*net.UnixConn), bufio.NewReader(conn)}
}

func (c *caller) say(text string) {
	c.Helper()
	_, err := c.Write([]byte(text))
	require.NoError(c, err)
}

// hear reads the next line.
func (c *caller) hear() map[string]any {
	c.Helper()
	line, err := c.in.ReadBytes('\n')
	require.NoError(c, err, "read so far: %q", line)
	var a map[string]any
	require.NoError(c, json.Unmarshal(line, &a), "%s", line)
	assert.Equal(c, 1.0, a["version"])
	return a
}

// ended waits until the server has hung up, and nothing more comes.
func (c *caller) ended() {
	c.Helper()
	rest, err := io.ReadAll(c.in)
	if err != nil { // the error if the server has not read all that we sent
		require.ErrorContains(c, err, "connection reset")
	}
	assert.Empty(c, string(rest))
}

func eventually(t *testing.T, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, patience, time.Millisecond, what)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var refused told
	_, path := listenWith(t, Config{Refused: refused.refused})
	c := call(t, path)
	c.say(`{"command":"status","id":"a"}` + "\n")
	assert.Equal(t, map[string]any{"version": 1.0, "id": "a", "ok": true, "log": []any{"status"}}, c.hear())
	c.say(`{"command":"nosuch","id":[1]}` + "\n")
	assert.Equal(t, map[string]any{"version": 1.0, "id": []any{1.0}, "ok": false, "error": "there is no such command"}, c.hear())
	assert.Empty(t, refused.all(), "so far all was well")
	c.say(`{"command":"status","version":7,"id":1}` + "\n")
	assert.Equal(t, map[string]any{"version": 1.0, "id": 1.0, "ok": false, "error": "version 7 of the protocol is not spoken here: 1 is"}, c.hear())
	c.say("garbage\n")
	assert.Contains(t, c.hear()["error"], "neither a JSON object nor")
	c.say("\n")
	assert.Contains(t, c.hear()["error"], "names no command")
	c.say(`{"command":"ok"}` + "\n")
	assert.Equal(t, true, c.hear()["ok"], "who has erred may try again")
	assert.Equal(t, []string{fmt.Sprintf("process %d: version 7 of the protocol is not spoken here: 1 is, and 0 more", os.Getpid())}, refused.all(), "one line in a minute")
}

func TestSeveralRequestsInOneWrite(t *testing.T) {
	t.Parallel()
	_, path := listenWith(t, Config{})
	c := call(t, path)
	c.say("{\"command\":\"one\"}\n{\"command\":\"two\"}\r\n---%0Acommand: three%0A\n{\"command\":\"four\"}")
	for _, name := range []string{"one", "two", "three"} {
		assert.Equal(t, []any{name}, c.hear()["log"])
	}
	require.NoError(t, c.CloseWrite())
	assert.Equal(t, []any{"four"}, c.hear()["log"], "the last line needs no newline")
	c.ended()
}

// nc and socat shut down their side when their input ends. They get the answer, even if it
// comes later.
func TestHalfClosedAfterTheRequest(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	_, path := listenWith(t, Config{Do: func(p Peer, r Request) Answer { <-closed; return echo(p, r) }})
	c := call(t, path)
	c.say(`{"command":"big"}` + "\n" + `{"command":"status"}`)
	require.NoError(t, c.CloseWrite())
	close(closed)
	assert.Len(t, c.hear()["log"].([]any)[0], 1<<20)
	assert.Equal(t, []any{"status"}, c.hear()["log"])
	c.ended()
}

// The server knows which process has connected, whatever that process says.
func TestPeer(t *testing.T) {
	t.Parallel()
	var got Peer
	_, path := listenWith(t, Config{
		Do:        func(p Peer, _ Request) Answer { got = p; return Answer{OK: true} },
		Ancestors: func(pid int) []int { return []int{pid, 7} },
	})
	c := call(t, path)
	c.say(`{"command":"worker:ack","pid":1}` + "\n")
	c.hear()
	assert.Equal(t, Peer{Pid: os.Getpid(), UID: os.Geteuid(), Ancestors: []int{os.Getpid(), 7}}, got)
}

func TestOverlongLine(t *testing.T) {
	t.Parallel()
	var refused told
	_, path := listenWith(t, Config{Refused: refused.refused})
	fits := `{"command":"x","id":""}` + "\n"
	fits = strings.Replace(fits, `""`, `"`+strings.Repeat("y", maxRequest-len(fits))+`"`, 1)
	require.Len(t, fits, maxRequest)
	c := call(t, path)
	c.say(fits)
	assert.Equal(t, true, c.hear()["ok"])
	assert.Empty(t, refused.all())
	for _, line := range []string{" " + fits, strings.Repeat("z", 10<<20), strings.Repeat("[", maxRequest)} {
		c := call(t, path)
		_, _ = c.Write([]byte(line)) // fails: the server does not read all of it
		assert.Equal(t, "a request is longer than 16384 bytes", c.hear()["error"])
		c.ended()
	}
	assert.Equal(t, []string{fmt.Sprintf("process %d: a request is longer than 16384 bytes, and 0 more", os.Getpid())}, refused.all())
}

func TestEventsComeInOrder(t *testing.T) {
	t.Parallel()
	s, path := listenWith(t, Config{})
	s.Publish(Event{Event: "nobody", Generation: 99})
	c, silent := call(t, path), call(t, path)
	silent.say(`{"command":"x"}` + "\n")
	silent.hear()
	c.say(`{"command":"subscribe","id":1}` + "\n")
	assert.Equal(t, map[string]any{"version": 1.0, "id": 1.0, "ok": true}, c.hear())
	began := time.Now()
	for i := range 500 {
		s.Publish(Event{Event: "live", Generation: i + 1})
	}
	c.say(`{"command":"subscribe"}` + "\n" + `{"command":"x"}` + "\n")
	answers := 0
	for next := 1; next <= 500 || answers < 2; {
		line := c.hear()
		if line["event"] == nil {
			answers++
			continue
		}
		assert.Equal(t, float64(next), line["generation"], "each comes once")
		assert.WithinRange(t, time.UnixMilli(int64(line["time"].(float64)*1e3)), began.Add(-time.Second), time.Now().Add(time.Second))
		next++
	}
	require.NoError(t, s.Close())
	c.ended()
	silent.ended()
}

// The events that a request causes come before its answer.
func TestAnswerDoesNotOvertakeEvents(t *testing.T) {
	t.Parallel()
	var s *Server
	s, path := listenWith(t, Config{Do: func(p Peer, r Request) Answer {
		for i := range 20 {
			s.Publish(Event{Event: "live", Generation: i + 1})
		}
		return echo(p, r)
	}})
	c := call(t, path)
	c.say(`{"command":"subscribe"}` + "\n")
	c.hear()
	for range 50 {
		c.say(`{"command":"restart"}` + "\n")
		for i := range 20 {
			assert.Equal(t, float64(i+1), c.hear()["generation"])
		}
		assert.Equal(t, true, c.hear()["ok"])
	}
}

// The last events come before the connection ends.
func TestLastEventsAreDelivered(t *testing.T) {
	t.Parallel()
	for range 50 {
		s, path := listenWith(t, Config{})
		c := call(t, path)
		c.say(`{"command":"subscribe"}` + "\n")
		c.hear()
		for i := range 20 {
			s.Publish(Event{Event: "exited", Generation: i + 1})
		}
		require.NoError(t, s.Close())
		for i := range 20 {
			assert.Equal(t, float64(i+1), c.hear()["generation"])
		}
		c.ended()
	}
}

// The superdaemon closes the socket last. So a client gets the answer to its stop, or to a
// restart that will not take place.
func TestCloseWithClientsOfAllKinds(t *testing.T) {
	t.Parallel()
	began, finish := make(chan struct{}), make(chan struct{})
	s, path := listenWith(t, Config{Do: func(p Peer, r Request) Answer {
		switch r.Command {
		case "wait":
			began <- struct{}{}
			<-finish
		case "hang":
			began <- struct{}{}
			select {} // the goroutine leaks
		}
		return echo(p, r)
	}})
	waits, hangs, idle, half, deaf, watches, gone := call(t, path), call(t, path), call(t, path), call(t, path), call(t, path), call(t, path), call(t, path)
	waits.say(`{"command":"wait"}` + "\n" + `{"command":"never"}` + "\n")
	<-began
	hangs.say(`{"command":"hang"}` + "\n")
	<-began
	idle.say(`{"command":"x"}` + "\n")
	idle.hear()
	half.say(`{"command":`)
	deaf.say(strings.Repeat(`{"command":"big"}`+"\n", 10))
	watches.say(`{"command":"subscribe"}` + "\n")
	watches.hear()
	gone.say(`{"command":"wait"}` + "\n")
	<-began
	gone.Close()

	start := time.Now()
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	eventually(t, func() bool { return s.isClosed() }, "no other request is taken")
	_, err := net.Dial("unix", path)
	assert.ErrorIs(t, err, os.ErrNotExist, "nobody can connect any more")
	close(finish)
	assert.Equal(t, []any{"wait"}, waits.hear()["log"], "the answer that was waited for")
	waits.ended()
	for _, c := range []*caller{idle, half, watches, hangs} {
		c.ended()
	}
	require.NoError(t, <-closed)
	assert.Less(t, time.Since(start), finishTime+5*time.Second)
	eventually(t, func() bool { return s.connected() == 1 }, "what hangs is all that is left")
}

func TestNoServerIsAnEmptyOne(t *testing.T) {
	t.Parallel()
	var s *Server
	s.Publish(Event{Event: "x"})
	assert.NoError(t, s.Close())
}

// Clients connect and hang up while requests and events go on.
func TestTurmoil(t *testing.T) {
	t.Parallel()
	s, path := listenWith(t, Config{})
	stop := make(chan struct{})
	var all, callers sync.WaitGroup
	all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				s.Publish(Event{Event: "says", Says: strings.Repeat("x", i%5000)})
			}
		}
	})
	for n := range 8 {
		callers.Go(func() {
			for i := range 200 {
				conn, err := net.Dial("unix", path)
				if err != nil {
					continue // too many at a time
				}
				switch (n + i) % 4 {
				case 0:
					fmt.Fprintf(conn, "{\"command\":\"subscribe\"}\n{\"command\":\"big\"}\n")
				case 1:
					fmt.Fprintf(conn, "{\"command\":\"subscribe\"}\n")
					_, _ = conn.Read(make([]byte, 100))
				case 2:
					fmt.Fprintf(conn, "{\"command\":\"x\"}\n{\"comm")
					_ = conn.(*net.UnixConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn)
				}
				conn.Close()
			}
		})
	}
	callers.Wait()
	close(stop)
	all.Wait()
	c := call(t, path)
	c.say(`{"command":"x"}` + "\n")
	assert.Equal(t, true, c.hear()["ok"])
	c.Close()
	eventually(t, func() bool { return s.connected() == 0 }, "all are gone")
	assert.Zero(t, s.watched.Load())
}
