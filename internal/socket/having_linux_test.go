package socket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// bindPorts binds ports with two sides, of which the last image may have had some.
func bindPorts(t *testing.T, held []*Held, ports ...string) *Set {
	t.Helper()
	specs := parse(t, ports, nil)
	for i := range specs {
		specs[i].Reuseport, specs[i].Sided = true, true
	}
	set, err := Bind(t.Context(), specs, Options{Slots: 2, Held: held})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	return set
}

// onSides is how many connections wait on the sides of a socket.
func onSides(t *testing.T, s *Socket) (waiting [Sides]int) {
	t.Helper()
	for side := range Sides {
		for _, n := range s.from(0, side) {
			queued, err := s.queued(n)
			require.NoError(t, err)
			waiting[side] += queued
		}
	}
	return waiting
}

// comes makes n connections, and tells how many wait on each side then.
func comes(t *testing.T, s *Socket, n int) [Sides]int {
	t.Helper()
	connectMany(t, s.Addr, n)
	return onSides(t, s)
}

func TestClientsOfAnAddedPortWaitForTheFirstGenerationThatHasIt(t *testing.T) {
	t.Parallel()
	last := bindPorts(t, nil, "127.0.0.1:0")
	begin(t, last)
	set := bindPorts(t, handed(t, last), "127.0.0.1:0", "127.0.0.2:0")
	there, added := &set.Sockets[0], &set.Sockets[1]
	require.NoError(t, set.Split(0, All))
	assert.Equal(t, [Sides]int{5, 0}, comes(t, there, 5))
	comes(t, added, 5)
	_, err := set.Connect(t.Context(), 1, 0, 0)
	assert.ErrorIs(t, err, ErrLacks)

	set.Take(1)
	closed, err := set.Clear(1)
	require.NoError(t, err)
	assert.Zero(t, closed)
	assert.Equal(t, [Sides]int{0, 5}, onSides(t, added), "they wait for that one, or the one after it")
	n, err := set.Connect(t.Context(), 1, 1, 1)
	require.NoError(t, err)
	unix.Close(n)
	require.NoError(t, set.Split(1, All/5))
	assert.Equal(t, [Sides]int{0, 56}, comes(t, added, 50), "a canary gets all, as nobody else has the port")
	assert.InDelta(t, 21, comes(t, there, 100)[1], 21)

	// The canary fails: connections that wait for it are not for the next one.
	require.NoError(t, set.Split(0, All))
	assert.Equal(t, [Sides]int{5, 56}, comes(t, added, 5))
	drained := make(chan error)
	go func() { drained <- set.DrainSide(1) }()
	for range 50 {
		require.NoError(t, acceptOn(added, 1))
	}
	onThere := onSides(t, there)[1]
	closed, err = set.Clear(1)
	require.NoError(t, err)
	assert.Equal(t, 6+onThere, closed)
	require.NoError(t, <-drained)
	assert.Equal(t, [Sides]int{5, 0}, onSides(t, added))

	// The next image goes on with that.
	next := bindPorts(t, handed(t, set), "127.0.0.1:0", "127.0.0.2:0")
	added = &next.Sockets[1]
	require.NoError(t, next.Split(0, All))
	assert.Equal(t, [Sides]int{6, 0}, comes(t, added, 1))
	next.Take(1)
	require.NoError(t, next.Split(1, All))
	assert.Equal(t, [Sides]int{0, 7}, comes(t, added, 1))
	next.Take(0)
	require.NoError(t, next.Split(0, All/2))
	assert.Positive(t, comes(t, added, 60)[0], "both have it by now")
}

// acceptOn accepts a connection that waits on a side.
func acceptOn(s *Socket, side int) error {
	for _, n := range s.from(0, side) {
		if ready, err := waiting(n); ready == 0 || err != nil {
			continue
		}
		conn, _, err := unix.Accept(n)
		unix.Close(conn)
		return err
	}
	return unix.EAGAIN
}

func TestPortThatIsTakenAwayIsServedByThoseThatHaveIt(t *testing.T) {
	t.Parallel()
	last := bindPorts(t, nil, "127.0.0.1:0", "127.0.0.2:0")
	begin(t, last)
	require.NoError(t, last.Split(1, All/5))
	set := bindPorts(t, handed(t, last), "127.0.0.1:0")
	require.Len(t, set.gone, 1)
	gone := set.gone[0].socket
	gone.Addr = last.Sockets[1].Addr
	require.NoError(t, set.Split(1, All))
	assert.Equal(t, [Sides]int{0, 10}, comes(t, gone, 10), "the canary is live")
	require.NoError(t, set.Split(0, All))
	assert.Equal(t, [Sides]int{10, 10}, comes(t, gone, 10), "and back")
	waits := on(t, set, 1)
	assert.Equal(t, 10, waits, "whoever is told to go accepts what waits for it first")

	set.Take(1)
	require.NoError(t, set.Split(1, All/2))
	assert.Equal(t, [Sides]int{20, 10}, comes(t, gone, 10), "the next generation lacks it")
	next := bindPorts(t, handed(t, set), "127.0.0.1:0")
	gone = next.gone[0].socket
	gone.Addr = last.Sockets[1].Addr
	require.NoError(t, next.Split(1, All))
	assert.Equal(t, [Sides]int{30, 10}, comes(t, gone, 10))
	require.NoError(t, next.DrainSide(0), "those who come yet are not waited for")
	require.NoError(t, next.Steer(1))
	n := 1
	next.Relinquish()
	for range next.sided() {
		n--
	}
	assert.Zero(t, n, "it is not looked at any more")
}

// A client that comes before there is a generation waits for the first one, whichever side that
// begins on.
func TestClientsThatComeBeforeTheFirstGeneration(t *testing.T) {
	t.Parallel()
	for first := range Sides {
		set := bindPorts(t, nil, "127.0.0.1:0")
		for side := range Sides {
			_, err := set.Connect(t.Context(), 0, 0, side)
			assert.ErrorIs(t, err, ErrLacks, "side %d has no generation", side)
		}
		connectMany(t, set.Sockets[0].Addr, 5)
		set.Take(first)
		require.NoError(t, set.Split(first, All))
		connectMany(t, set.Sockets[0].Addr, 5)
		assert.Equal(t, 10, on(t, set, first))
	}
}

// So do clients of a port that an upgrade adds, whichever side is live and however often Split
// says so.
func TestClientsOfAnAddedPortStayTogether(t *testing.T) {
	t.Parallel()
	for live := range Sides {
		last := bindPorts(t, nil, "127.0.0.1:0")
		last.Take(live)
		require.NoError(t, last.Split(live, All))
		next := bindPorts(t, handed(t, last), "127.0.0.1:0", "127.0.0.2:0")
		connectMany(t, next.Sockets[1].Addr, 5)
		require.NoError(t, next.Split(live, All))
		connectMany(t, next.Sockets[1].Addr, 5)
		next.Take(1 - live)
		require.NoError(t, next.Split(1-live, All))
		connectMany(t, next.Sockets[1].Addr, 5)
		assert.Equal(t, 15, on(t, next, 1-live))
	}
}
