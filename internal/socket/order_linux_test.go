package socket

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// reachesEach checks that a connection of ours reaches the right socket, for each slot and side.
func reachesEach(t *testing.T, set *Set, s *Socket, n int) {
	t.Helper()
	for side := range Sides {
		for slot := range n {
			conn, err := set.Connect(t.Context(), 0, slot, side)
			require.NoError(t, err)
			unix.Close(conn)
			waits, err := s.queued(s.at(slot, side))
			require.NoError(t, err)
			assert.Equal(t, 1, waits, "slot %d of side %d", slot, side)
		}
		assert.Equal(t, n, clearSide(t, set, side))
	}
}

// separates checks that all sockets get the connections that they should, and no others.
func separates(t *testing.T, set *Set, s *Socket, n int) {
	t.Helper()
	reachesEach(t, set, s, n)
	for side := range Sides {
		require.NoError(t, set.Split(side, All))
		connectMany(t, s.Addr, 100)
		assert.Equal(t, 100, on(t, set, side), "side %d", side)
		assert.Equal(t, 100, clearSide(t, set, side))
		assert.Zero(t, clearSide(t, set, 1-side))
	}
	require.NoError(t, set.Split(1, All/2))
	connectMany(t, s.Addr, 200)
	assert.InDelta(t, 100, clearSide(t, set, 1), 36)
	clearSide(t, set, 0)
	waits, err := s.queued((*s.others)[0])
	require.NoError(t, err)
	assert.Zero(t, waits, "nobody has that one")
}

// The kernel has moved sockets, in whatever order they were shut down.
func TestSidesAfterShutdown(t *testing.T) {
	t.Parallel()
	for range 10 {
		set, s := bindSided(t, 3, "127.0.0.1:0")
		for range 3 {
			for _, number := range rand.Perm(len(s.files()))[:1+rand.IntN(4)] {
				if number != 1 { // which no worker has
					require.NoError(t, unix.Shutdown(s.files()[number], unix.SHUT_RDWR))
				}
			}
			_, lost, err := set.Revive()
			require.NoError(t, err)
			assert.Empty(t, lost)
			separates(t, set, s, 3)
		}
		for number, n := range s.files() {
			port, err := boundPort(n)
			require.NoError(t, err)
			assert.Equal(t, s.bound.Port(), port, number)
			size, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
			require.NoError(t, err)
			assert.Less(t, size, mark)
			defers, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT)
			require.NoError(t, err)
			assert.Zero(t, defers)
		}
	}
}

// A socket whose queue is full answers nobody.
func TestOrderIsFoundWhereQueuesAreFull(t *testing.T) {
	t.Parallel()
	for range 20 {
		set, s := bindSided(t, 3, "127.0.0.1:0,backlog=1")
		for slot := range 3 {
			for side := range Sides {
				for range 2 * rand.IntN(2) {
					n, err := set.Connect(t.Context(), 0, slot, side)
					require.NoError(t, err)
					unix.Close(n)
				}
			}
		}
		for _, number := range rand.Perm(len(s.files()))[:4] {
			if number != 1 {
				require.NoError(t, unix.Shutdown(s.files()[number], unix.SHUT_RDWR))
			}
		}
		_, _, err := set.Revive()
		require.NoError(t, err)
		for side := range Sides {
			clearSide(t, set, side)
		}
		reachesEach(t, set, s, 3)
		for number, n := range s.files() {
			info, err := unix.GetsockoptTCPInfo(n, unix.IPPROTO_TCP, unix.TCP_INFO)
			require.NoError(t, err)
			assert.EqualValues(t, 1, info.Sacked, "the backlog of socket %d is what it was", number)
		}
		require.NoError(t, set.Close())
	}
}

// If a socket cannot be asked the expected order holds. The kernel does what is expected.
func TestOrderThatIsExpected(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 3, "127.0.0.1:0")
	for range 20 {
		number := []int{0, 2, 3, 4, 5, 6}[rand.IntN(6)]
		expected := s.split.after(len(s.files()), []int{number})
		require.NoError(t, unix.Shutdown(s.files()[number], unix.SHUT_RDWR))
		_, _, err := set.Revive()
		require.NoError(t, err)
		assert.Equal(t, expected, s.split.order)
	}
	for _, c := range []struct{ found, expected, want []int }{
		{[]int{2, 1, 0}, []int{0, 1, 2}, []int{2, 1, 0}},
		{[]int{-1, 1, -1}, []int{2, 1, 0}, []int{2, 1, 0}},
		{[]int{2, -1, -1}, []int{0, 1, 2}, []int{2, 1, 0}},
		{[]int{1, 1, 37}, []int{2, 0, 1}, []int{1, 0, 2}},
	} {
		assert.Equal(t, c.want, complete(c.found, c.expected), "%v", c)
	}
}

// The order is known to the next image, and holds for more slots.
func TestOrderOfTheGroupIsHandedOver(t *testing.T) {
	t.Parallel()
	specs := parse(t, []string{"127.0.0.1:0"}, nil)
	specs[0].Reuseport, specs[0].Sided = true, true
	set, err := Bind(t.Context(), specs, Options{Slots: 2})
	require.NoError(t, err)
	begin(t, set)
	require.NoError(t, unix.Shutdown(set.Sockets[0].fd, unix.SHUT_RDWR))
	_, _, err = set.Revive()
	require.NoError(t, err)
	text, err := json.Marshal(set.Hand())
	require.NoError(t, err)
	var held []*Held
	require.NoError(t, json.Unmarshal(text, &held))
	next, err := Bind(t.Context(), specs, Options{Slots: 2, Held: held})
	require.NoError(t, err)
	defer next.Close()
	require.NoError(t, next.Grow(4))
	require.NoError(t, next.Steer(4))
	separates(t, next, &next.Sockets[0], 4)
}

// A shutdown(2) is noticed at once, and connections do not wake Deaf.
func TestDeaf(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	deaf := make(chan bool)
	look := func() {
		go func() { deaf <- set.Deaf() }()
	}
	look()
	connectMany(t, s.Addr, 50)
	select {
	case <-deaf:
		require.Fail(t, "a connection has woken it")
	default:
	}
	for range 2 {
		require.NoError(t, unix.Shutdown(s.at(0, 1), unix.SHUT_RDWR))
		assert.True(t, <-deaf)
		revived, _, err := set.Revive()
		require.NoError(t, err)
		assert.Len(t, revived, 1)
		look()
	}
	require.NoError(t, set.Grow(2))
	require.NoError(t, unix.Shutdown(s.at(1, 0), unix.SHUT_RDWR))
	assert.True(t, <-deaf)
	look()
	require.NoError(t, set.Close())
	assert.False(t, <-deaf)
	assert.False(t, set.Deaf())
	none := &Set{}
	assert.False(t, none.Deaf())
}

// A port that the system has chosen is free when its socket was shut down. A process that takes
// it then keeps it, and we do not listen on another port in its place.
func TestPortThatIsTakenAfterAShutdown(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	s := set.Sockets[0]
	require.NoError(t, unix.Shutdown(s.fd, unix.SHUT_RDWR))
	other, err := net.Listen("tcp", s.Addr.String())
	require.NoError(t, err)
	revived, _, err := set.Revive()
	assert.EqualError(t, err, `port "127.0.0.1:0" does not listen any more: bind: address already in use`)
	assert.Empty(t, revived)
	assert.True(t, isDeaf(s.fd))
	require.NoError(t, other.Close())
	revived, _, err = set.Revive()
	require.NoError(t, err)
	assert.Equal(t, []string{s.Name}, revived)
	port, err := boundPort(s.fd)
	require.NoError(t, err)
	assert.Equal(t, s.bound.Port(), port)
	assert.False(t, isDeaf(s.fd))
}

// A worker may call shutdown(2) as often as it likes.
func TestSidesAfterManyShutdowns(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	for range 2 * maxPrivate / len(s.files()) {
		shutDown(t, s.at(0, 1))
		revives(t, set)
	}
	reachesEach(t, set, s, 2)
}

// The order is found even while maxPrivate connections of ours are under way. The expected order
// is wrong: the sockets were shut down in another one.
func TestOrderIsFoundBesideOurOwnConnections(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 3, "127.0.0.1:0")
	var own []int
	for range maxPrivate {
		n, _, _, err := set.beginPrivate(0, 0, 1)
		require.NoError(t, err)
		defer unix.Close(n)
		own = append(own, n)
	}
	shutDown(t, s.files()[5], s.files()[2], s.files()[0], s.files()[6])
	revives(t, set)
	for _, n := range own {
		set.endPrivate(0, n, 1, s.split.changes, false)
	}
	reachesEach(t, set, s, 3)
}

// While the order was wrong clients may have come to the socket that no worker has. They are
// reset.
func TestNobodyWaitsWhereNobodyAccepts(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0")
	require.NoError(t, set.Split(1, All))
	shutDown(t, s.at(0, 1))
	var clients []net.Conn
	for range 40 {
		conn, err := net.Dial("tcp", s.Addr.String())
		require.NoError(t, err)
		defer conn.Close()
		clients = append(clients, conn)
	}
	waits, err := s.queued((*s.others)[0])
	require.NoError(t, err)
	require.Positive(t, waits)
	revives(t, set)
	reset := 0
	for _, conn := range clients {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, unix.ECONNRESET) {
			reset++
		}
	}
	assert.Equal(t, waits, reset)
}

// unmark must not have it listen again by chance, without a report.
func TestFullSocketThatIsShutDownAgainIsNoticed(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 1, "127.0.0.1:0,backlog=1")
	for range 2 {
		n, err := set.Connect(t.Context(), 0, 0, 1)
		require.NoError(t, err)
		unix.Close(n)
	}
	require.True(t, isFull(s.at(0, 1)))
	unmark := s.mark(s.files(), Options{})
	shutDown(t, s.at(0, 1))
	unmark()
	assert.Equal(t, []string{s.Name}, revives(t, set))
	reachesEach(t, set, s, 1)
}

// A worker that has no socket of its own has that of slot 0 on its own side.
func TestSlotWithoutASocketHasThatOfItsSide(t *testing.T) {
	t.Parallel()
	set, s := bindSided(t, 2, "127.0.0.1:0")
	for side := range Sides {
		for slot, want := range []int{0, 1, 0, 0} {
			assert.Equal(t, s.at(want, side), set.Table(slot, side, 0, 1, 2)[s.FD], "slot %d of side %d", slot, side)
		}
	}
	assert.NotEqual(t, s.at(2, 0), s.at(2, 1))
}
