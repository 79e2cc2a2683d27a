package socket

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// noFile is a descriptor that nothing is open at.
const noFile = 1 << 20

func TestAfterCloseNothingHasSides(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	connectMany(t, s.Addr, 3)
	n, _, changes, err := set.beginPrivate(0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	require.NoError(t, set.Close())
	assert.False(t, set.endPrivate(0, n, 1, changes, true), "it goes nowhere else")
	assert.Empty(t, s.split.private)

	assert.NoError(t, set.Split(1, All))
	set.Take(0)
	closed, err := set.Clear(0)
	assert.NoError(t, err)
	assert.Zero(t, closed)
	waits, err := set.Waiting(0)
	assert.NoError(t, err)
	assert.Zero(t, waits)
	_, err = set.Connect(t.Context(), 0, 0, 0)
	assert.EqualError(t, err, `cannot connect to port "127.0.0.1:0": it is closed`)
	counted, stop := set.Count(0)
	assert.Zero(t, counted())
	stop()
	unkept, gone, err := set.Unkept([]Kept{{Name: "start_server/0/-/a"}})
	assert.NoError(t, err)
	assert.Empty(t, unkept)
	assert.Empty(t, gone, "the store is as it was")
}

func TestPrivateConnectionThatCannotBe(t *testing.T) {
	t.Parallel()
	plain := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	_, err := plain.Connect(t.Context(), 0, 0, 0)
	assert.EqualError(t, err, `cannot connect to port "127.0.0.1:0": slot 0 has no socket of its own`)
	waits, err := plain.Waiting(0)
	assert.NoError(t, err)
	assert.Zero(t, waits, "it has no sides")

	set, s := bindSided(t, 2, "127.0.0.1:0")
	_, err = set.Connect(t.Context(), 0, 2, 0)
	assert.EqualError(t, err, `cannot connect to port "127.0.0.1:0": slot 2 has no socket of its own`)
	for range maxPrivate {
		n, _, _, err := set.beginPrivate(0, 0, 1)
		require.NoError(t, err)
		defer unix.Close(n)
	}
	_, err = set.Connect(t.Context(), 0, 0, 1)
	assert.EqualError(t, err, `cannot connect to port "127.0.0.1:0": too many of our own connections are under way`)
	shutDown(t, s.at(0, 1))
	revives(t, set)
	s.split.private = nil
	reachesEach(t, set, s, 2)
}

// A connection that is refused is reported at once.
func TestPrivateConnectionThatIsRefused(t *testing.T) {
	t.Parallel()
	unused := given(t, unix.AF_INET, unix.SOCK_STREAM, loopback())
	to, err := unix.Getsockname(unused)
	require.NoError(t, err)
	n := given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
	require.NoError(t, unix.SetNonblock(n, true))
	if err := unix.Connect(n, to); err == unix.EINPROGRESS {
		assert.ErrorIs(t, connected(t.Context(), n), unix.ECONNREFUSED)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.EqualError(t, connected(ctx, full(t)), "its accept queue is full")
}

func TestDrainOfASideGivesUpWhatNobodyAccepts(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	connectMany(t, s.Addr, 2)
	require.Eventually(t, func() bool { return on(t, set, 0) == 2 }, 10*time.Second, time.Millisecond)
	require.NoError(t, set.Split(1, All))
	connectMany(t, s.Addr, 3)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		assert.EqualError(t, set.DrainSide(0), "2 connections still not accepted by the workers that are to go, after 10 secs")
		assert.Equal(t, drainTimeout+drainPoll, time.Since(began))
		began = time.Now()
		assert.NoError(t, set.DrainSide(1), "it gets connections")
		assert.Equal(t, roundTrip, time.Since(began))
	})
	assert.Equal(t, 2, on(t, set, 0), "they are alive")
	queued, err := set.Queued(0)
	require.NoError(t, err)
	assert.Equal(t, 5, queued, "those of both sides")

	require.True(t, closesOne(t, s, 0))
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		assert.EqualError(t, set.DrainSide(0), "1 connection still not accepted by the workers that are to go, after 10 secs")
		assert.Equal(t, drainTimeout+drainPoll, time.Since(began), "one is as many")
	})
}

// closesOne closes a connection that waits on a side, if there is one.
func closesOne(t *testing.T, s *Socket, side int) bool {
	t.Helper()
	for _, n := range s.from(0, side) {
		done, err := closeOne(n)
		require.NoError(t, err)
		if done {
			return true
		}
	}
	return false
}

// All generations share a socket without sides: nothing waits there on a side.
func TestNothingWaitsOnASideOfWhatHasNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	specs := parse(t, []string{"127.0.0.1:0", "127.0.0.1:u0"}, []string{path})
	require.NoError(t, GiveSides(specs))
	set, err := Bind(t.Context(), specs, Options{Slots: 2})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	begin(t, set)
	dial(t, "unix", path)
	_, err = dial(t, "udp", set.Sockets[1].Addr.String()).Write([]byte("hello"))
	require.NoError(t, err)
	for side := range Sides {
		assert.Zero(t, on(t, set, side))
	}
}

// Whatever a worker has done to its socket, the error names the port.
func TestSidesThatCannotBeSteeredSaySo(t *testing.T) {
	t.Parallel()
	last := bindPorts(t, nil, "127.0.0.1:0", "127.0.0.2:0")
	begin(t, last)
	set := bindPorts(t, handed(t, last), "127.0.0.2:0")
	t.Cleanup(set.Relinquish)
	for _, c := range []struct {
		text   string
		socket *Socket
	}{{"127.0.0.2:0", &set.Sockets[0]}, {last.Sockets[0].bound.String(), set.gone[0].socket}} {
		first, keeper := c.socket.fd, (*c.socket.others)[0]
		(*c.socket.others)[0] = noFile
		assert.EqualError(t, set.Split(1, All), fmt.Sprintf(
			"port %q: cannot send connections to another generation: setsockopt(SO_ATTACH_REUSEPORT_CBPF): bad file descriptor", c.text))
		(*c.socket.others)[0] = keeper
		c.socket.fd = noFile
		_, err := set.Clear(0)
		assert.EqualError(t, err, fmt.Sprintf(
			"port %q: cannot close what nobody has accepted: setsockopt(SO_RCVTIMEO): bad file descriptor", c.text))
		_, err = set.Waiting(0)
		assert.EqualError(t, err, fmt.Sprintf("port %q: length of a queue: getsockopt(TCP_INFO): bad file descriptor", c.text))
		assert.ErrorContains(t, set.DrainSide(0), "length of a queue")
		c.socket.fd = first
		assert.NoError(t, set.Split(1, All))
	}
	shutDown(t, set.Sockets[0].at(0, 0))
	closed, err := set.Clear(0)
	assert.NoError(t, err, "nothing waits at what was shut down")
	assert.Zero(t, closed)

	s := &set.Sockets[0]
	keeper := (*s.others)[0]
	(*s.others)[0] = noFile
	_, err = set.Connect(t.Context(), 0, 0, 1)
	assert.EqualError(t, err, `cannot connect to port "127.0.0.2:0": setsockopt(SO_ATTACH_REUSEPORT_CBPF): bad file descriptor`)
	assert.Empty(t, s.split.private)
	(*s.others)[0] = keeper
}

// Go's scheduler interrupts calls that block. We must wait for the connection all the same.
func TestConnectionIsWaitedForInSpiteOfSignals(t *testing.T) {
	t.Parallel()
	n := full(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	thread, result := make(chan int), make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		result <- connected(ctx, n)
	}()
	id, tick := <-thread, time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-result:
			assert.EqualError(t, err, "its accept queue is full")
			assert.Error(t, ctx.Err())
			return
		case <-tick.C:
			_ = unix.Tgkill(unix.Getpid(), id, unix.SIGURG) // it may be over
		}
	}
}

// Also when another connection of ours has just ended.
func TestLastOfOurConnectionsIsAcceptedBeforeItsFirstData(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0,defer-accept")
	first, _, changes, err := set.beginPrivate(0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(first)
	second, to, _, err := set.beginPrivate(0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(second)
	assert.False(t, set.endPrivate(0, first, 1, changes, false))
	_ = unix.Connect(second, to)
	require.NoError(t, connected(t.Context(), second))
	assert.Equal(t, 1, on(t, set, 1))
	assert.False(t, set.endPrivate(0, second, 1, changes, true))
	defers, err := unix.GetsockoptInt(s.at(0, 1), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
	require.NoError(t, err)
	assert.Equal(t, 1, defers)
}
