package socket

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// shutDown ends listening on a socket, as a worker that has it may.
func shutDown(t *testing.T, fds ...int) {
	t.Helper()
	for _, n := range fds {
		require.NoError(t, unix.Shutdown(n, unix.SHUT_RDWR))
	}
}

// revives has a Set listen again.
func revives(t *testing.T, set *Set) (revived []string) {
	t.Helper()
	revived, lost, err := set.Revive()
	require.NoError(t, err)
	assert.Empty(t, lost)
	return revived
}

// landsIn checks that connections go to the first n slots only, and to each of these.
func landsIn(t *testing.T, set *Set, n int) {
	t.Helper()
	s := &set.Sockets[0]
	require.NoError(t, set.Steer(n))
	connectMany(t, s.Addr, 60)
	for slot, count := range landed(t, *s, 60) {
		assert.Equal(t, slot < n, count > 0, "slot %d of %d has %d", slot, n, count)
	}
}

// A worker that is in excess gets no connections, whatever sockets were shut down before.
func TestSlotsAfterShutdown(t *testing.T) {
	t.Parallel()
	for _, number := range [][]int{{0}, {1}, {2}, {0, 1}, {2, 0}, {1, 2, 0}} {
		set := bind(t, Options{Slots: 3}, []string{"127.0.0.1:0,reuseport"}, nil)
		for _, n := range number {
			shutDown(t, slots(set.Sockets[0])[n])
		}
		assert.Equal(t, []string{set.Sockets[0].Name}, revives(t, set))
		for n := 1; n <= 3; n++ {
			landsIn(t, set, n)
		}
	}
}

func TestSlotsAfterManyShutdownsAndAnUpgrade(t *testing.T) {
	t.Parallel()
	ports := []string{"127.0.0.1:0,reuseport"}
	set := bind(t, Options{Slots: 4}, ports, nil)
	for range 5 {
		for _, n := range rand.Perm(4)[:1+rand.IntN(4)] {
			shutDown(t, slots(set.Sockets[0])[n])
		}
		revives(t, set)
		landsIn(t, set, 2)
	}
	shutDown(t, set.Sockets[0].fd) // so that it is not in the first order in any case
	revives(t, set)
	next := bind(t, Options{Slots: 4, Held: handed(t, set)}, ports, nil)
	landsIn(t, next, 1)
	require.NoError(t, next.Grow(5))
	landsIn(t, next, 4)
	landsIn(t, next, 5)

	// One socket is for all workers from now on.
	one := bind(t, Options{Slots: 5, Held: handed(t, next)}, []string{"127.0.0.1:0"}, nil)
	shutDown(t, slots(one.Sockets[0])[3])
	revives(t, one)
	connectMany(t, one.Sockets[0].Addr, 40)
	assert.Equal(t, 40, landed(t, one.Sockets[0], 40)[0])
}

// A draining worker may have shut its socket down, and the upgrade comes before that is noticed.
func TestSocketThatWasShutDownBeforeAnUpgradeListensAgain(t *testing.T) {
	t.Parallel()
	ports := []string{"127.0.0.1:0,127.0.0.1:0,reuseport"}
	last := bind(t, Options{Slots: 3}, ports, nil)
	shutDown(t, last.Sockets[0].fd, slots(last.Sockets[1])[0])
	next := bind(t, Options{Slots: 3, Held: handed(t, last)}, ports, nil)
	for i := range next.Sockets {
		s := &next.Sockets[i]
		port, err := boundPort(s.fd)
		require.NoError(t, err)
		assert.Equal(t, s.bound.Port(), port)
		dial(t, "tcp", s.Addr.String())
	}
	accepted(t, next.Sockets[0].fd)
	next.Sockets = next.Sockets[1:]
	landed(t, next.Sockets[0], 1)
	for n := 1; n <= 3; n++ {
		landsIn(t, next, n)
	}
}

// It must not listen at another port either, where no client would look for it.
func TestSocketWhosePortWasTakenMeanwhileIsNotSaidToListen(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	s := &set.Sockets[0]
	shutDown(t, s.fd)
	other, err := net.Listen("tcp", s.Addr.String())
	require.NoError(t, err)
	for range 2 {
		revived, _, err := set.Revive()
		assert.EqualError(t, err, `port "127.0.0.1:0" does not listen any more: bind: address already in use`)
		assert.Empty(t, revived)
		assert.True(t, isDeaf(s.fd))
	}
	require.NoError(t, other.Close())
	assert.Equal(t, []string{s.Name}, revives(t, set))
	dial(t, "tcp", s.Addr.String())
	accepted(t, s.fd)

	// A port that we have chosen stays bound, but somebody else can listen there.
	name := s.Name
	require.NoError(t, set.Close())
	set = bind(t, Options{}, []string{name}, nil)
	shutDown(t, set.Sockets[0].fd)
	other, err = net.Listen("tcp", name)
	require.NoError(t, err)
	_, _, err = set.Revive()
	assert.EqualError(t, err, fmt.Sprintf("port %q does not listen any more: listen: address already in use", name))
	require.NoError(t, other.Close())
	assert.Equal(t, []string{name}, revives(t, set))
}

func TestOnlyWhatListenedIsRevived(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	source := givenListener(t, unix.AF_INET, loopback())
	set := bind(t, Options{}, []string{"127.0.0.1:u0", "127.0.0.1:0", fmt.Sprintf("fd://%d", source)}, []string{path})
	assert.Empty(t, revives(t, set))
	shutDown(t, set.Sockets[1].fd, set.Sockets[3].fd)
	revived, lost, err := set.Revive()
	require.NoError(t, err)
	assert.Equal(t, []string{set.Sockets[1].Name}, revived)
	assert.Equal(t, []string{path}, lost, "the kernel has no way back")

	shutDown(t, set.Sockets[2].fd)
	assert.True(t, isDeaf(source), "they are the same")
	revived, _, err = set.Revive()
	require.NoError(t, err)
	assert.Equal(t, []string{set.Sockets[2].Name}, revived)
	require.NoError(t, set.Close())
	revived, lost, err = set.Revive()
	require.NoError(t, err)
	assert.Empty(t, append(revived, lost...))
	assert.False(t, isDeaf(-1), "what is not open was not shut down")
}

// What a worker has set on its socket stays, unless that socket was shut down.
func TestSegmentSizeOfAWorkerStays(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	require.NoError(t, unix.SetsockoptInt(s.at(1, 0), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400))
	require.NoError(t, unix.SetsockoptInt(s.at(1, 0), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1))
	shutDown(t, s.at(0, 1))
	revives(t, set)
	for slot, want := range []struct{ size, defers int }{{noSize, 0}, {1400, 1}} {
		size, err := unix.GetsockoptInt(s.at(slot, 0), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		require.NoError(t, err)
		assert.Equal(t, want.size, size)
		defers, err := unix.GetsockoptInt(s.at(slot, 0), unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		require.NoError(t, err)
		assert.Equal(t, want.defers, defers)
	}
}

// full is the descriptor of a connection that is not taken, because the queue is full.
func full(t *testing.T) int {
	t.Helper()
	listener := given(t, unix.AF_INET, unix.SOCK_STREAM, loopback())
	require.NoError(t, unix.Listen(listener, 0))
	to, err := unix.Getsockname(listener)
	require.NoError(t, err)
	for range 10 {
		n := given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
		require.NoError(t, unix.SetNonblock(n, true))
		_ = unix.Connect(n, to)
		if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(n), Events: unix.POLLOUT}}, 20); err == nil && ready == 0 {
			return n
		}
	}
	require.Fail(t, "a full queue takes any number of connections")
	return -1
}

// Go's scheduler interrupts calls that block. That is no answer.
func TestAnswerIsWaitedForInSpiteOfSignals(t *testing.T) {
	t.Parallel()
	n, waited := full(t), make(chan time.Duration)
	thread := make(chan int)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		began := time.Now()
		assert.Equal(t, -1, answered(n, began.Add(200*time.Millisecond)))
		waited <- time.Since(began)
	}()
	id, tick := <-thread, time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case took := <-waited:
			assert.GreaterOrEqual(t, took, 199*time.Millisecond)
			return
		case <-tick.C:
			_ = unix.Tgkill(unix.Getpid(), id, unix.SIGURG) // it may be over
		}
	}
}

func TestWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	soon := time.Now()
	assert.Equal(t, -1, answered(-1, soon), "no connection was made")
	n := given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
	assert.Equal(t, -1, answered(n, soon), "it was not connected")
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	assert.Equal(t, -1, answered(pipe[1], soon), "it is no socket")
}

// A path may end like the key of a socket with sides.
func TestPathThatIsNamedLikeAPortWithSides(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s"+sidedKey)
	last := bind(t, Options{}, nil, []string{path})
	set := bindPorts(t, handed(t, last), "127.0.0.1:0")
	begin(t, set)
	require.NoError(t, set.Split(1, All))
	dial(t, "unix", path)
	n, err := set.Waiting(0)
	require.NoError(t, err)
	assert.Zero(t, n, "it has no sides")
	set.Relinquish()
	assert.NoFileExists(t, path)
}

// connectsTo connects a socket to a server that reads nothing.
func connectsTo(t *testing.T, n int) {
	t.Helper()
	to, err := unix.Getsockname(givenListener(t, unix.AF_INET, loopback()))
	require.NoError(t, err)
	require.NoError(t, unix.Connect(n, to))
}

// A port that cannot listen does not keep other ports from listening.
func TestPortsAreRevivedBesideOneThatCannotBe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	set := bind(t, Options{}, []string{"127.0.0.1:0,127.0.0.1:0,127.0.0.1:0"}, []string{path})
	for i := range set.Sockets {
		shutDown(t, set.Sockets[i].fd)
	}
	for i := range 2 {
		other, err := net.Listen("tcp", set.Sockets[i].Addr.String())
		require.NoError(t, err)
		defer other.Close()
	}
	revived, lost, err := set.Revive()
	const fault = `port "127.0.0.1:0" does not listen any more: bind: address already in use`
	assert.EqualError(t, err, fault+"\n"+fault)
	assert.Equal(t, []string{set.Sockets[2].Name}, revived)
	assert.Equal(t, []string{path}, lost)
	dial(t, "tcp", set.Sockets[2].Addr.String())
}

// A slot that cannot listen does not keep other slots from listening and getting connections.
func TestSlotsAreRevivedBesideOneThatCannotBe(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 4}, []string{"127.0.0.1:0,reuseport"}, nil)
	s := &set.Sockets[0]
	fds := slots(*s)
	limited := fds[1]
	shutDown(t, limited, fds[0])
	broken := given(t, unix.AF_INET, unix.SOCK_DGRAM, nil) // like a socket that is bound elsewhere it cannot listen
	kept, err := unix.Dup(limited)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(kept) })
	require.NoError(t, unix.Dup2(broken, limited))
	for range 2 {
		_, _, err = set.Revive()
		assert.ErrorContains(t, err, "does not listen any more: ")
	}
	require.NoError(t, set.Steer(1))
	connectMany(t, s.Addr, 40)
	waits, err := s.queued(fds[0])
	require.NoError(t, err)
	assert.Equal(t, 40, waits, "all are for the first worker")
	require.NoError(t, unix.Dup2(kept, limited))
	assert.Equal(t, []string{s.Name}, revives(t, set))
	assert.Equal(t, 40, landed(t, *s, 40)[0])
	for n := 1; n <= 4; n++ {
		landsIn(t, set, n)
	}
}

// A worker may have connected its socket by now.
func TestSocketThatAWorkerHasConnectedListensAgain(t *testing.T) {
	t.Parallel()
	fixed := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	name := fixed.Sockets[0].Name
	require.NoError(t, fixed.Close())
	for _, port := range []string{"127.0.0.1:0", name} {
		set := bind(t, Options{}, []string{port}, nil)
		s := &set.Sockets[0]
		shutDown(t, s.fd)
		connectsTo(t, s.fd)
		assert.Equal(t, []string{s.Name}, revives(t, set))
		dial(t, "tcp", s.Addr.String())
		accepted(t, s.fd)
		require.NoError(t, set.Close())
	}
}

func TestSlotListensAgainThoughItsPortWasNotToBeShared(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 3}, []string{"127.0.0.1:0,reuseport"}, nil)
	n := slots(set.Sockets[0])[1]
	require.NoError(t, unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_REUSEPORT, 0))
	require.NoError(t, unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0))
	shutDown(t, n)
	assert.Equal(t, []string{set.Sockets[0].Name}, revives(t, set))
	landsIn(t, set, 3)
}

// No client would look for it there.
func TestSocketThatAWorkerHasBoundElsewhereIsNotSaidToListen(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	n := set.Sockets[0].fd
	shutDown(t, n)
	require.NoError(t, unix.Bind(n, loopback()))
	port, err := boundPort(n)
	require.NoError(t, err)
	revived, _, err := set.Revive()
	assert.EqualError(t, err, fmt.Sprintf(`port "127.0.0.1:0" does not listen any more: it is bound to 127.0.0.1:%d by now`, port))
	assert.Empty(t, revived)
	assert.True(t, isDeaf(n))
}

// A socket that was passed to us may be bound to a port that the system had chosen.
func TestSocketFromAboveListensAgainAtItsPort(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{fmt.Sprintf("fd://%d", givenListener(t, unix.AF_INET, loopback()))}, nil)
	s := &set.Sockets[0]
	shutDown(t, s.fd)
	assert.Equal(t, []string{s.Name}, revives(t, set))
	dial(t, "tcp", s.Addr.String())
	accepted(t, s.fd)
}

// A server that ends wakes its reader by shutdown(2). All later readers read nothing, again and
// again, and can send nothing. On a unix socket one half, SHUT_RD, is enough for that.
func TestSocketsThatCannotBeRevivedAreLost(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	path := filepath.Join(dir, "s")
	gram := given(t, unix.AF_UNIX, unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: filepath.Join(dir, "g")})
	for _, how := range []int{unix.SHUT_RDWR, unix.SHUT_RD} {
		set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:u0", "127.0.0.1:u0,reuseport", fmt.Sprintf("fd://%d", gram)}, []string{path})
		_, lost, err := set.Revive()
		require.NoError(t, err)
		if how == unix.SHUT_RDWR {
			assert.Empty(t, lost)
		}
		_ = unix.Shutdown(set.Sockets[0].fd, how) // it says that the socket is not connected, but shuts it down
		_ = unix.Shutdown(slots(set.Sockets[1])[1], how)
		_ = unix.Shutdown(gram, how)
		require.NoError(t, unix.Shutdown(set.Sockets[3].fd, how))
		_, err = net.Dial("unix", path)
		require.ErrorIs(t, err, unix.ECONNREFUSED)
		revived, lost, err := set.Revive()
		require.NoError(t, err)
		assert.Empty(t, revived)
		assert.Equal(t, []string{set.Sockets[0].Name, set.Sockets[1].Name, set.Sockets[2].Name, path}, lost)
		require.NoError(t, set.Close())
	}
}

// lingers makes a socket as a worker may that wants to hold us up: close(2) would block for ten
// seconds. The socket has no other descriptor.
func lingers(t *testing.T) int {
	t.Helper()
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	connectsTo(t, n)
	for err == nil {
		_, err = unix.SendmsgN(n, make([]byte, 1<<20), nil, nil, unix.MSG_DONTWAIT)
	}
	require.NoError(t, unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 10}))
	return n
}

func TestNoWorkerHoldsAClosedSocketUp(t *testing.T) {
	t.Parallel()
	for what, closes := range map[string]func(n int){
		"at the end": func(n int) {
			set := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
			require.NoError(t, unix.Dup2(n, set.Sockets[0].fd))
			unix.Close(n)
			require.NoError(t, set.Close())
		},
		"when it is not asked for any more": func(n int) {
			set := bind(t, Options{Held: []*Held{{Key: "tcp 127.0.0.1 1 0 false", Bound: "127.0.0.1:1", FDs: []int{n}}}}, []string{"127.0.0.1:0"}, nil)
			set.Relinquish()
		},
		"when it was kept for nothing": func(n int) {
			held, _ := Restore(nil, []fdenv.Passed{{FD: n, Name: keptName("tcp", 0, unslotted)}})
			assert.Empty(t, held)
		},
		"when it was kept for somebody else": func(n int) {
			held, _ := Restore(nil, []fdenv.Passed{{FD: n, Name: "web"}})
			assert.Empty(t, held)
		},
		"when nothing was bound": func(n int) { Drop([]*Held{{FDs: []int{n}}}) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := lingers(t)
			began := time.Now()
			closes(n)
			assert.Less(t, time.Since(began), 5*time.Second)
		})
	}
}

// Two slots are the fewest that can change places.
func TestTwoSlotsAfterShutdown(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	shutDown(t, set.Sockets[0].fd)
	revives(t, set)
	landsIn(t, set, 1)
	landsIn(t, set, 2)
}

// Clients get segments as large as before.
func TestSegmentsAfterShutdown(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	shutDown(t, set.Sockets[0].fd)
	revives(t, set)
	for range 20 {
		n := given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
		to, err := sockaddr(set.Sockets[0].bound)
		require.NoError(t, err)
		require.NoError(t, unix.Connect(n, to))
		size, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		require.NoError(t, err)
		assert.Greater(t, size, noSize)
	}
}
