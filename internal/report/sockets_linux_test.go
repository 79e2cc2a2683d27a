package report

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// In most of these tests the time is that of a bubble, and the sockets are real: a call to the
// kernel takes no time at all.

// bind binds ports and paths until the test ends.
func bind(t *testing.T, ports, paths []string) *socket.Set {
	t.Helper()
	specs, err := socket.Parse(ports, paths)
	require.NoError(t, err)
	set, err := socket.Bind(t.Context(), specs, socket.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	return set
}

// ours is our descriptor of the nth socket.
func ours(set *socket.Set, nth int) int {
	return set.Table(0, 0, -1, -1, -1)[set.Sockets[nth].FD]
}

// lookTime is how long a look takes when something waits.
const lookTime = glances * glancePause

// connects makes connections that wait to be accepted, until the test ends.
func connects(t *testing.T, set *socket.Set, nth, n int) {
	t.Helper()
	before := set.Queues()[nth].Waiting
	for range n {
		addr := set.Sockets[nth].Addr
		conn, err := net.Dial(addr.Network(), addr.String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
	}
	if set.Sockets[nth].Addr.Network() != "tcp" { // for others it is not known how many wait
		return
	}
	for tries := 0; set.Queues()[nth].Waiting < before+n; tries++ {
		require.Less(t, tries, 20_000)
		_, _ = unix.Poll(nil, 1) // a millisecond, also in a bubble
	}
}

// accept accepts n connections that wait.
func accept(t *testing.T, set *socket.Set, nth, n int) {
	t.Helper()
	for range n {
		conn, _, err := unix.Accept(ours(set, nth))
		require.NoError(t, err)
		require.NoError(t, unix.Close(conn))
	}
}

// shutDown shuts a socket down, as a worker can.
func shutDown(t *testing.T, set *socket.Set, nth int) {
	t.Helper()
	require.NoError(t, unix.Shutdown(ours(set, nth), unix.SHUT_RDWR))
}

// listens tells whether a socket listens.
func listens(t *testing.T, set *socket.Set, nth int) bool {
	t.Helper()
	is, err := unix.GetsockoptInt(ours(set, nth), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	require.NoError(t, err)
	return is != 0
}

// looksAfter returns a Sockets that looks after the sockets of set, and its output.
func looksAfter(set *socket.Set) (*Sockets, *written) {
	out := newWritten()
	return &Sockets{Out: out.Output, Set: func() *socket.Set { return set }}, out
}

func (o *written) after(d time.Duration) string {
	time.Sleep(d) // in the bubble
	synctest.Wait()
	return o.lines()
}

func TestConnectionsThatNobodyAcceptsAreToldOfOnce(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0", "127.0.0.1:0=7"}, nil)
	connects(t, set, 1, 2)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		line := fmt.Sprintf("nobody accepts on %s: 2 connections wait for 5 s; the server has to take the socket from SERVER_STARTER_PORT or descriptor 7\n", set.Sockets[1].Name)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(acceptTime+2*lookTime-1), "it may be slow")
		assert.Equal(t, line, out.after(1))
		assert.Empty(t, out.after(time.Hour))
		s.Hear(supervise.WentLive{Generation: 2})
		assert.Empty(t, out.after(acceptTime), "another generation has its own time")
		assert.Equal(t, line, out.after(time.Second))
	})
}

// Connections that come after the first look are told at the third look, or at the second one if
// a client has asked for the status before that.
func TestConnectionsThatComeAfterTheFirstLook(t *testing.T) {
	t.Parallel()
	for asks, told := range map[bool]time.Duration{
		false: 2 * (acceptTime + lookTime),
		true:  acceptTime + lookTime,
	} {
		set := bind(t, []string{"127.0.0.1:0"}, nil)
		synctest.Test(t, func(t *testing.T) {
			s, out := looksAfter(set)
			s.Hear(supervise.WentLive{Generation: 1})
			assert.Empty(t, out.after(lookTime))
			connects(t, set, 0, 1)
			if asks {
				s.Status()
			}
			assert.Empty(t, out.after(told-lookTime-1))
			assert.Contains(t, out.after(1), ": 1 connection waits for 5 s; ")
		})
	}
}

// When nothing happens Sockets does nothing.
func TestServerThatAcceptsIsNotLookedAfterForLong(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(acceptTime))
		shutDown(t, set, 0)
		assert.Empty(t, out.after(time.Hour))
		assert.False(t, listens(t, set, 0), "until a worker has gone")
	})
}

func TestOneConnectionThatNobodyAccepts(t *testing.T) {
	t.Parallel()
	set := bind(t, nil, []string{filepath.Join(t.TempDir(), "s")})
	connects(t, set, 0, 3)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Contains(t, out.after(time.Minute), ": 1 connection waits for 5 s; ", "of a path it is not known how many")
	})
}

// Nothing is told of a server that accepts between the looks, however slow it is.
func TestSlowServerIsNoneThatAcceptsNothing(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		accepts time.Duration // from one accept to the next
		then    string        // what is told
	}{
		"before each look":      {3 * time.Second, ""},
		"before the second one": {4 * time.Second, ": 8 connections wait for 5 s; "},
	} {
		set := bind(t, []string{"127.0.0.1:0"}, nil)
		connects(t, set, 0, 9)
		synctest.Test(t, func(t *testing.T) {
			s, out := looksAfter(set)
			s.Hear(supervise.WentLive{Generation: 1})
			for n := range 4 {
				time.Sleep(row.accepts)
				synctest.Wait()
				if n == 0 || n < 3 && row.then == "" {
					accept(t, set, 0, 1)
				}
			}
			if lines := out.after(time.Hour); row.then == "" {
				assert.Empty(t, lines, name)
			} else {
				assert.Contains(t, lines, row.then, name)
			}
		})
	}
}

// In the queue of a busy server there may be connections at any moment. Only if they are there
// all the time the server may be slow.
func TestBusyServerIsNotToldOf(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	connects(t, set, 0, 1)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		time.Sleep(acceptTime + 2*lookTime - glancePause/2) // before the last glance
		synctest.Wait()
		accept(t, set, 0, 1)
		time.Sleep(glancePause)
		connects(t, set, 0, 1) // and another one comes
		assert.Empty(t, out.after(time.Hour))
	})
}

// The looks of a generation end when the next one goes live.
func TestGenerationThatFollowsSoonIsLookedAtInItsOwnTime(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	connects(t, set, 0, 1)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(3*time.Second))
		s.Hear(supervise.WentLive{Generation: 2})
		assert.Empty(t, out.after(acceptTime+2*lookTime-1))
		assert.Contains(t, out.after(1), ": 1 connection waits for 5 s; ")
	})
}

// What a look has found is not told when another generation is live before that.
func TestGenerationThatGoesLiveInALook(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	connects(t, set, 0, 1)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(acceptTime))
		found, round := s.glance(), s.round
		s.Hear(supervise.WentLive{Generation: 2})
		s.tell(found[0], round) // no queue is known now
		s.Hear(supervise.WentLive{Generation: 3})
		assert.Empty(t, out.after(lookTime/2))
		s.Hear(supervise.WentLive{Generation: 4})
		assert.Empty(t, out.after(lookTime))
		accept(t, set, 0, 1)
		s.Status()
		connects(t, set, 0, 1)
		assert.Empty(t, out.after(acceptTime+lookTime))
		assert.Contains(t, out.after(acceptTime+lookTime), ": 1 connection waits for 5 s; ", "it has all its looks")
	})
}

func TestServerThatStopsInALookIsNotToldOf(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	connects(t, set, 0, 1)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(lookTime/2))
		s.Hear(supervise.StopAsked{})
		assert.Empty(t, out.after(time.Hour))
	})
}

func TestServerThatStopsIsNotToldOf(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	connects(t, set, 0, 1)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.StopAsked{}) // before anything went live
		s.Hear(supervise.WentLive{Generation: 1})
		assert.Empty(t, out.after(time.Second))
		s.Hear(supervise.StopAsked{})
		assert.Empty(t, out.after(time.Hour))
	})
}

func TestStatusOfSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	set := bind(t, []string{"127.0.0.1:0", "127.0.0.1:u0=9"}, []string{path})
	port, udp := set.Sockets[0].Addr.String(), set.Sockets[1].Addr.String()
	connects(t, set, 0, 3)
	synctest.Test(t, func(t *testing.T) {
		s, _ := looksAfter(set)
		status := func(waiting int, seconds float64) []control.Socket {
			return []control.Socket{
				{Name: port, Network: "tcp", Address: port, FD: 3, Waiting: waiting, WaitingFor: seconds},
				{Name: udp, Network: "udp", Address: udp, FD: 9},
				{Name: path, Network: "unix", Address: path, FD: 4},
			}
		}
		assert.Equal(t, status(3, 0), s.Status())
		time.Sleep(2 * time.Second)
		assert.Equal(t, status(3, 2), s.Status())
		accept(t, set, 0, 1)
		assert.Equal(t, status(2, 0), s.Status(), "somebody accepts")
		time.Sleep(time.Second)
		assert.Equal(t, status(2, 1), s.Status())
		accept(t, set, 0, 2)
		assert.Equal(t, status(0, 0), s.Status())
		connects(t, set, 0, 2)
		assert.Equal(t, status(2, 0), s.Status(), "these are others")
	})
	none := &Sockets{Set: func() *socket.Set { return &socket.Set{} }}
	assert.Equal(t, []control.Socket{}, none.Status(), "a list, though an empty one")
}

func TestSocketThatAWorkerShutDownListensAgain(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	for _, event := range []supervise.Event{supervise.Died{}, supervise.Died{}, supervise.WentLive{}} {
		shutDown(t, set, 0)
		synctest.Test(t, func(t *testing.T) {
			s, out := looksAfter(set)
			s.Hear(event)
			assert.Equal(t, "a worker has shut down the listening socket "+set.Sockets[0].Name+", which all workers share: listening again\n", out.after(time.Second))
			assert.True(t, listens(t, set, 0))
			s.Hear(event)
			assert.Empty(t, out.after(time.Second))
		})
	}
}

func TestSocketThatCannotListenAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	set := bind(t, nil, []string{path, path + "2"})
	shutDown(t, set, 0)
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		const line = "a worker has shut down the listening socket %s, which all workers share: connections to it fail until the superdaemon itself is restarted or upgraded\n"
		s.Hear(supervise.Died{})
		assert.Equal(t, fmt.Sprintf(line, path), out.after(time.Second))
		shutDown(t, set, 1)
		for range 2 {
			s.Hear(supervise.Died{})
		}
		assert.Equal(t, fmt.Sprintf(line, path+"2"), out.after(time.Second), "each once")
		s.Hear(supervise.Died{})
		assert.Empty(t, out.after(time.Second))
	})
}

// A server may wake its reader by this, and all later readers get nothing, again and again.
func TestSocketForDatagramsThatWasShutDown(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:u0"}, nil)
	assert.ErrorIs(t, unix.Shutdown(ours(set, 0), unix.SHUT_RD), unix.ENOTCONN, "and yet it is shut down")
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.Died{})
		assert.Equal(t, "a worker has shut down the socket "+set.Sockets[0].Name+", which all workers share: nothing can be read from it or sent until the superdaemon itself is restarted\n", out.after(time.Second))
		s.Hear(supervise.Died{})
		assert.Empty(t, out.after(time.Second))
	})
}

// When two ports cannot listen again each is told in its own line.
func TestPortsThatSomebodyElseHasTaken(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0", "127.0.0.1:0"}, nil)
	for i, addr := range set.Addrs() {
		shutDown(t, set, i)
		other, err := net.Listen("tcp", addr.String())
		require.NoError(t, err)
		defer other.Close()
	}
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.Died{})
		const line = "port \"127.0.0.1:0\" does not listen any more: bind: address already in use\n"
		assert.Equal(t, line+line, out.after(time.Second))
	})
}

// A process that takes the port while it does not listen keeps it, and the log does not say that
// we listen.
func TestPortThatSomebodyElseHasTaken(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	shutDown(t, set, 0)
	other, err := net.Listen("tcp", set.Sockets[0].Addr.String())
	require.NoError(t, err)
	defer other.Close()
	synctest.Test(t, func(t *testing.T) {
		s, out := looksAfter(set)
		s.Hear(supervise.Died{})
		assert.Equal(t, "port \"127.0.0.1:0\" does not listen any more: bind: address already in use\n", out.after(time.Second))
	})
}

// When many workers die at once there is one look.
func TestManyDeathsAreOneReasonToLook(t *testing.T) {
	t.Parallel()
	set := bind(t, []string{"127.0.0.1:0"}, nil)
	looked := 0
	out := newWritten()
	s := &Sockets{Out: out.Output, Set: func() *socket.Set { looked++; return set }}
	hold := make(chan struct{})
	out.Do(func() { <-hold })
	for range 3 {
		s.Hear(supervise.Died{})
	}
	close(hold)
	out.lines()
	assert.Equal(t, 1, looked)
	s.Hear(supervise.Died{})
	out.lines()
	assert.Equal(t, 2, looked)
}

func TestServerThatBindsThePortItself(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		ports []string
		log   []string
		then  string // with %s for the port
	}{
		"in words":         {[]string{"127.0.0.1:0"}, []string{"starting", "bind(): Address already in use"}, "the socket %s is ours: the server has to take it from SERVER_STARTER_PORT or descriptor 3, and bind none itself\n"},
		"in C's":           {[]string{"127.0.0.1:0"}, []string{"Error: listen EADDRINUSE :::80"}, "the socket %s is ours: the server has to take it from SERVER_STARTER_PORT or descriptor 3, and bind none itself\n"},
		"one of several":   {[]string{"127.0.0.1:0=5", "127.0.0.1:0"}, []string{"address already in use"}, "the 2 sockets are ours: the server has to take them from SERVER_STARTER_PORT or descriptors 5 and so on, and bind none itself\n"},
		"another reason":   {[]string{"127.0.0.1:0"}, []string{"address already", "in use"}, ""},
		"nothing said":     {[]string{"127.0.0.1:0"}, nil, ""},
		"none of our port": {nil, []string{"address already in use"}, ""},
	} {
		set := bind(t, row.ports, nil)
		if strings.Contains(row.then, "%s") {
			row.then = fmt.Sprintf(row.then, set.Sockets[0].Name)
		}
		synctest.Test(t, func(t *testing.T) {
			s, out := looksAfter(set)
			var asked []int
			s.Tail = func(generation int) []string { asked = append(asked, generation); return row.log }
			s.Hear(supervise.AttemptFailed{Failure: supervise.Failure{Worker: worker}})
			assert.Equal(t, row.then, out.after(0), name)
			assert.Equal(t, []int{2}, asked, name)
			s.Hear(supervise.AttemptFailed{Failure: supervise.Failure{Worker: worker}})
			assert.Empty(t, out.after(0), "%s: it is told once", name)
		})
	}
}

// A socket that a generation has for itself listens again at once: no worker has to die for
// that.
func TestSocketOfAGenerationIsWatched(t *testing.T) {
	t.Parallel()
	specs, err := socket.Parse([]string{"127.0.0.1:0"}, nil)
	require.NoError(t, err)
	specs[0].Reuseport, specs[0].Sided = true, true
	set, err := socket.Bind(t.Context(), specs, socket.Options{})
	require.NoError(t, err)
	defer set.Close()
	s, out := looksAfter(set)
	over := make(chan struct{})
	go func() {
		defer close(over)
		s.Watch()
	}()
	for range 3 {
		shutDown(t, set, 0)
		require.Eventually(t, func() bool { return listens(t, set, 0) }, 20*time.Second, time.Millisecond)
	}
	set.Close()
	<-over
	again := "a worker has shut down the listening socket " + set.Sockets[0].Name + ", which all workers share: listening again\n"
	assert.Equal(t, strings.Repeat(again, 3), out.lines())
}

func TestPauseGrowsWhenASocketIsShutDownAgainAndAgain(t *testing.T) {
	t.Parallel()
	pause := revivePause
	for _, row := range []struct{ quiet, then time.Duration }{
		{0, 2 * time.Millisecond}, {time.Second, 4 * time.Millisecond}, {10 * time.Second, 8 * time.Millisecond},
		{10*time.Second + 1, time.Millisecond}, {time.Hour, time.Millisecond}, {0, 2 * time.Millisecond},
	} {
		pause = nextPause(pause, row.quiet)
		assert.Equal(t, row.then, pause, "after %v", row.quiet)
	}
	for range 20 {
		pause = nextPause(pause, 0)
	}
	assert.Equal(t, time.Second, pause, "once a second is enough")
}
