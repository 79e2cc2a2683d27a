package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// bindSided binds a port with two sides.
func bindSided(t *testing.T, slots int, text string) (*Set, *Socket) {
	t.Helper()
	specs := parse(t, []string{text}, nil)
	specs[0].Reuseport, specs[0].Sided = true, true
	set, err := Bind(t.Context(), specs, Options{Slots: slots})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	begin(t, set)
	return set, &set.Sockets[0]
}

// begin has a generation begin on each side. The one on side 0 is live.
func begin(t *testing.T, set *Set) {
	t.Helper()
	set.Take(0)
	require.NoError(t, set.Split(0, All))
	set.Take(1)
}

// on is how many wait on a side.
func on(t *testing.T, set *Set, side int) int {
	t.Helper()
	n, err := set.Waiting(side)
	require.NoError(t, err)
	return n
}

// clearSide empties a side, whether it gets connections or not.
func clearSide(t *testing.T, set *Set, side int) (closed int) {
	t.Helper()
	for socket := range set.sided() {
		for _, n := range socket.from(0, side) {
			for done := true; done; {
				var err error
				done, err = closeOne(n)
				require.NoError(t, err)
				if done {
					closed++
				}
			}
		}
	}
	return closed
}

func TestAllConnectionsGoToOneSide(t *testing.T) {
	t.Parallel()
	for _, text := range addresses(t) {
		set, s := bindSided(t, 3, text)
		require.Len(t, slots(*s), 7)
		connectMany(t, localAddr(t, *s), 100)
		assert.Equal(t, []int{100, 0}, []int{on(t, set, 0), on(t, set, 1)}, "%s: at first", text)
		require.NoError(t, set.Split(1, All))
		connectMany(t, localAddr(t, *s), 100)
		assert.Equal(t, []int{100, 100}, []int{on(t, set, 0), on(t, set, 1)}, "%s: what waits stays", text)
		require.NoError(t, set.Split(1, 0))
		connectMany(t, localAddr(t, *s), 10)
		assert.Equal(t, []int{110, 100}, []int{on(t, set, 0), on(t, set, 1)}, text)
		for slot := range 3 {
			n, err := s.queued(s.at(slot, 1))
			require.NoError(t, err)
			assert.InDelta(t, 33, n, 30, "%s: a side has all slots", text)
		}
		n, err := s.queued((*s.others)[0])
		require.NoError(t, err)
		assert.Zero(t, n, "nobody has that one")
		assert.Equal(t, 110, clearSide(t, set, 0))
		assert.Equal(t, 100, clearSide(t, set, 1))
	}
}

func TestShareOfConnections(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	require.NoError(t, set.Split(1, All/20))
	total := 0
	for range 20 {
		connectMany(t, s.Addr, 500)
		total += clearSide(t, set, 1)
		clearSide(t, set, 0)
	}
	assert.InDelta(t, 500, total, 120, "5 %% of 10,000") // 5.5 standard deviations
}

// acceptedFrom accepts what waits at a descriptor, and says from where it came.
func acceptedFrom(t *testing.T, n int) string {
	t.Helper()
	conn, from, err := unix.Accept(n)
	require.NoError(t, err)
	unix.Close(conn)
	return sockaddrText(from)
}

func sockaddrText(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	case *unix.SockaddrInet6:
		return (&net.TCPAddr{IP: sa.Addr[:], Port: sa.Port}).String()
	}
	return ""
}

func TestPrivateConnectionReachesOneSlotOfOneSide(t *testing.T) {
	t.Parallel()
	for _, text := range append(addresses(t), "0.0.0.0:0") {
		set, s := bindSided(t, 3, text)
		for slot := range 3 {
			for side := range Sides {
				n, err := set.Connect(t.Context(), 0, slot, side)
				require.NoError(t, err, text)
				connectMany(t, localAddr(t, *s), 5) // to side 0
				own, err := unix.Getsockname(n)
				require.NoError(t, err)
				waiting, err := s.queued(s.at(slot, side))
				require.NoError(t, err)
				if side == 1 {
					assert.Equal(t, 1, waiting, "%s: slot %d of side %d", text, slot, side)
				}
				assert.Equal(t, sockaddrText(own), acceptedFrom(t, s.at(slot, side)), "%s: slot %d of side %d", text, slot, side)
				assert.Zero(t, on(t, set, 1), text)
				clearSide(t, set, 0)
				unix.Close(n)
			}
		}
	}
}

// A container without IPv6 has no ::1, and a port of both families all the same.
func TestPrivateConnectionToBothFamiliesIsIPv4(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	set, s := bindSided(t, 1, "[::]:0,v6only=0")
	n, err := set.Connect(t.Context(), 0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	peer, err := unix.Getpeername(n)
	require.NoError(t, err)
	assert.Equal(t, &unix.SockaddrInet4{Port: int(s.bound.Port()), Addr: [4]byte{127, 0, 0, 1}}, peer)
}

// Not even a client at the same address does, while a connection of ours is under way.
func TestNobodyElseReachesTheOtherSide(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	n, _, changes, err := set.beginPrivate(0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	from, err := unix.Getsockname(n)
	require.NoError(t, err)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: from.(*unix.SockaddrInet4).Port}}
	_, err = other.Dial("tcp", s.Addr.String())
	assert.ErrorIs(t, err, unix.EADDRINUSE)
	connectMany(t, s.Addr, 200)
	assert.Equal(t, []int{200, 0}, []int{on(t, set, 0), on(t, set, 1)})
	assert.False(t, set.endPrivate(0, n, 1, changes, false))
	assert.Empty(t, s.split.private)
}

// A probe checks which worker has accepted it.
func TestPrivateConnectionIsAcceptedBeforeItsFirstData(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0,defer-accept")
	connectMany(t, s.Addr, 1)
	n, err := set.Connect(t.Context(), 0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	assert.Equal(t, []int{0, 1}, []int{on(t, set, 0), on(t, set, 1)})
	for _, n := range s.files() {
		defers, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
		require.NoError(t, err)
		assert.Equal(t, 1, defers)
	}
}

// The kernel moves the last socket of a group to the place of one that was shut down.
func TestPrivateConnectionDoesNotReachTheSocketThatWasMoved(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	n, to, changes, err := set.beginPrivate(0, 1, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	require.NoError(t, unix.Shutdown(s.at(0, 1), unix.SHUT_RDWR))
	_, _, err = set.Revive()
	require.NoError(t, err)
	_ = unix.Connect(n, to)
	assert.True(t, set.endPrivate(0, n, 1, changes, true), "it had begun before")

	for side := range Sides {
		clearSide(t, set, side)
		require.NoError(t, unix.Shutdown(s.at(0, side), unix.SHUT_RDWR))
		soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = set.Connect(soon, 0, 1, 1)
		cancel()
		assert.ErrorContains(t, err, "a worker has shut down a socket of this port", "nobody knows the order")
		made := make(chan error)
		go func() {
			n, err := set.Connect(t.Context(), 0, 1, 1)
			unix.Close(n)
			made <- err
		}()
		_, _, err = set.Revive()
		require.NoError(t, err)
		require.NoError(t, <-made)
	}
	for side := range Sides {
		clearSide(t, set, side)
	}
	reachesEach(t, set, s, 2)
}

func TestPrivateConnectionIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	set, _ := bindSided(t, 1, "127.0.0.1:0,backlog=1")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for range 5 {
		n, err := set.Connect(ctx, 0, 0, 1)
		if err != nil {
			assert.ErrorContains(t, err, "its accept queue is full")
			assert.Empty(t, set.Sockets[0].split.private)
			return
		}
		defer unix.Close(n)
	}
	assert.Fail(t, "a full queue takes another connection")
}

func TestWorkerCannotChangeWhereConnectionsGo(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	program := steering(1)
	for slot := range 2 {
		for side := range Sides {
			n := set.Table(slot, side, 0, 1, 2)[3]
			err := unix.SetsockoptSockFprog(n, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
			assert.ErrorIs(t, err, unix.EPERM)
			assert.ErrorIs(t, unix.SetsockoptInt(n, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 0), unix.EPERM)
			assert.NotEqual(t, (*s.others)[0], n, "the one that is not locked")
		}
	}
	require.NoError(t, set.Split(1, All), "we can")
	require.NoError(t, set.Grow(4))
	require.NoError(t, set.Steer(4))
	connectMany(t, s.Addr, 200)
	assert.Equal(t, []int{0, 200}, []int{on(t, set, 0), on(t, set, 1)})
	n, err := s.queued(s.at(3, 1))
	require.NoError(t, err)
	assert.Positive(t, n, "the new slots have both sides, too")
}

func TestClosedConnectionsAreHeardOf(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	conn, err := net.Dial("tcp", s.Addr.String())
	require.NoError(t, err)
	defer conn.Close()
	closed, err := set.Clear(0)
	require.NoError(t, err)
	assert.Zero(t, closed, "it gets connections")
	require.NoError(t, set.Split(1, All))
	closed, err = set.Clear(0)
	require.NoError(t, err)
	assert.Equal(t, 1, closed)
	_, err = conn.Read(make([]byte, 1))
	assert.True(t, errors.Is(err, unix.ECONNRESET), "%v", err)
	var timeout *unix.Timeval
	timeout, err = unix.GetsockoptTimeval(s.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO)
	require.NoError(t, err)
	assert.Zero(t, *timeout, "the next worker's accept(2) blocks as it expects")
}

func TestConnectionsToASideAreCounted(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	counted, stop := set.Count(0)
	defer stop()
	other, stopOther := set.Count(1)
	defer stopOther()
	for n := range 20 {
		conn, err := net.Dial("tcp", s.Addr.String())
		require.NoError(t, err)
		defer conn.Close()
		require.Eventually(t, func() bool { return counted() == n+1 }, 10*time.Second, time.Millisecond, "%d", n)
	}
	own, err := set.Connect(t.Context(), 0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(own)
	// Until ours was seen, another connection to the same socket may not count.
	require.Equal(t, 1, set.own[1])
	set.own[1] = 0
	require.Eventually(t, func() bool { return other() == 1 }, 10*time.Second, time.Millisecond)
	set.own[1] = 1
	assert.Zero(t, other(), "ours does not count")
	require.NoError(t, set.Split(1, All))
	for n := range 20 {
		conn, err := net.Dial("tcp", s.Addr.String())
		require.NoError(t, err)
		defer conn.Close()
		require.Eventually(t, func() bool { return other() == n+1 }, 10*time.Second, time.Millisecond, "%d", n)
	}
	later, stopLater := set.Count(1)
	defer stopLater()
	conn, err := net.Dial("tcp", s.Addr.String())
	require.NoError(t, err)
	defer conn.Close()
	require.Eventually(t, func() bool { return later() == 1 }, 10*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return other() >= 21 }, 10*time.Second, time.Millisecond)
	assert.Equal(t, 21, other(), "ours did not count")
	assert.Equal(t, 20, counted())
	for range 20 { // two that come to the same socket at once may count as one
		conn, err := net.Dial("tcp", s.Addr.String())
		require.NoError(t, err)
		defer conn.Close()
	}
	require.Eventually(t, func() bool { return later() > 1 }, 10*time.Second, time.Millisecond)
	assert.LessOrEqual(t, later(), 21)
}

func TestPortsOfTCPAreGivenSides(t *testing.T) {
	t.Parallel()
	passed := givenListener(t, unix.AF_INET, loopback())
	path := filepath.Join(testkit.Dir(t), "s")
	unixPassed := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path + "2"})
	for name, c := range map[string]struct {
		ports, paths []string
		sided        []bool
		fault        string
	}{
		"none":                   {},
		"all":                    {[]string{"127.0.0.1:0", "127.0.0.1:u0"}, []string{path}, []bool{true, false, false}, ""},
		"no port":                {[]string{"127.0.0.1:u0"}, []string{path}, []bool{false, false}, "blue/green needs a TCP port: paths and UDP ports are shared by all generations"},
		"a path that was passed": {[]string{"127.0.0.1:0", fmt.Sprintf("fd://%d", unixPassed)}, nil, []bool{true, false}, ""},
		"passed one":             {[]string{fmt.Sprintf("fd://%d", passed)}, nil, []bool{false}, fmt.Sprintf(`socket "fd://%d": blue/green needs a second set of it, which cannot be made for a TCP socket that was passed to us`, passed)},
	} {
		t.Run(name, func(t *testing.T) {
			specs, err := Parse(c.ports, c.paths)
			require.NoError(t, err)
			if err := GiveSides(specs); c.fault == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, c.fault)
			}
			var sided []bool
			for _, s := range specs {
				sided = append(sided, s.Sided)
				assert.Equal(t, s.Sided, s.Reuseport)
			}
			assert.Equal(t, c.sided, sided)
		})
	}
}

// Workers in excess get no connections, whatever becomes of the sides.
func TestSplitKeepsToTheSlotsThatGetConnections(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 3, "127.0.0.1:0")
	require.NoError(t, set.Steer(1))
	require.NoError(t, set.Split(1, All))
	connectMany(t, s.Addr, 40)
	waits, err := s.queued(s.at(0, 1))
	require.NoError(t, err)
	assert.Equal(t, 40, waits)
}

// A port that an upgrade adds may have fewer slots at first than others.
func TestPortWithFewerSlotsThanAnotherOne(t *testing.T) {
	t.Parallel()
	specs := parse(t, []string{"127.0.0.1:0", "127.0.0.2:0"}, nil)
	require.NoError(t, GiveSides(specs))
	last, err := Bind(t.Context(), specs[:1], Options{Slots: 4})
	require.NoError(t, err)
	t.Cleanup(func() { last.Close() })
	next, err := Bind(t.Context(), specs, Options{Slots: 2, Held: handed(t, last)})
	require.NoError(t, err)
	t.Cleanup(func() { next.Close() })
	begin(t, next)
	connectMany(t, next.Sockets[1].Addr, 60)
	assert.Equal(t, 60, on(t, next, 0))
}

// A client at another address that uses the port of a connection of ours does not reach it.
func TestPortOfOurOwnConnectionIsNoWayToTheOtherSide(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	n, _, _, err := set.beginPrivate(0, 0, 1)
	require.NoError(t, err)
	defer unix.Close(n)
	port, err := boundPort(n)
	require.NoError(t, err)
	other := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: int(port)}}
	conn, err := other.Dial("tcp", s.Addr.String())
	require.NoError(t, err)
	defer conn.Close()
	assert.Equal(t, []int{1, 0}, []int{on(t, set, 0), on(t, set, 1)})
}
