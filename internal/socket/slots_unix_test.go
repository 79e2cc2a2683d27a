//go:build unix

package socket

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// slots are our descriptors of a socket, slot by slot.
func slots(s Socket) []int { return append([]int{s.fd}, *s.others...) }

func TestEachSlotHasItsOwnSocketAtTheSameNumber(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 3}, []string{"127.0.0.1:0,reuseport", "127.0.0.1:0", "127.0.0.1:u0=6,reuseport"}, nil)
	tcp, plain, udp := set.Sockets[0], set.Sockets[1], set.Sockets[2]
	require.Len(t, slots(tcp), 3)
	require.Len(t, slots(plain), 1)
	require.Len(t, slots(udp), 3)
	for slot := range 3 {
		assert.Equal(t, []int{100, 101, 102, slots(tcp)[slot], plain.fd, -1, slots(udp)[slot]}, set.Table(slot, 0, 100, 101, 102))
	}
	assert.Equal(t, set.Table(0, 0, 0, 1, 2), set.Table(3, 0, 0, 1, 2), "a slot without one has the first's")
	for _, s := range []Socket{tcp, udp} {
		for _, fd := range slots(s) {
			sa, err := unix.Getsockname(fd)
			require.NoError(t, err)
			assert.Equal(t, portOf(t, s), sa.(*unix.SockaddrInet4).Port)
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC)
			assert.False(t, nonblocking(t, fd))
		}
	}
	require.NoError(t, set.Close())
	assert.NoError(t, set.Close(), "closing twice")
}

func TestWithoutSlotsReuseportIsAFlagOnly(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0,reuseport,127.0.0.1:u0,reuseport,127.0.0.1:0"}, nil)
	for i, want := range []int{1, 1, 0} {
		assert.Len(t, slots(set.Sockets[i]), 1)
		assert.Equal(t, want, min(option(t, set.Sockets[i], unix.SOL_SOCKET, unix.SO_REUSEPORT), 1))
	}
	assert.NoError(t, set.Steer(1))
	assert.ErrorContains(t, set.Steer(2), "cannot steer to 2 slots: there are 1")
	assert.ErrorContains(t, set.Steer(0), "cannot steer to 0 slots: there are 1")
}

func TestSecondStartFailsWithReuseport(t *testing.T) {
	t.Parallel()
	for _, udp := range []string{"", "u"} {
		for _, count := range []int{1, 3} {
			first := bind(t, Options{Slots: count}, []string{"127.0.0.1:" + udp + "0,reuseport"}, nil).Sockets[0]
			for _, o := range []string{"", ",reuseport"} {
				text := fmt.Sprintf("127.0.0.1:%s%d%s", udp, portOf(t, first), o)
				_, err := Bind(t.Context(), parse(t, []string{text}, nil), Options{Slots: count})
				assert.ErrorIs(t, err, unix.EADDRINUSE, "%s, %d slots", text, count)
			}
		}
	}
}

// A server that closes first leaves its end of the connection in TIME_WAIT.
func TestTimeWaitDoesNotStopTheNextStart(t *testing.T) {
	t.Parallel()
	set, err := Bind(t.Context(), parse(t, []string{"127.0.0.1:0,reuseport"}, nil), Options{Slots: 2})
	require.NoError(t, err)
	s := set.Sockets[0]
	client := dial(t, "tcp", s.Addr.String())
	conn, _ := accept(t, slots(s))
	unix.Close(conn)
	_, err = client.Read(make([]byte, 1))
	require.Error(t, err, "it has been closed")
	client.Close()
	require.NoError(t, set.Close())

	bind(t, Options{Slots: 2}, []string{s.Addr.String() + ",reuseport"}, nil)
}

// accept takes a connection from whichever socket has one, and says which.
func accept(t *testing.T, fds []int) (conn, slot int) {
	t.Helper()
	var polls []unix.PollFd
	for _, fd := range fds {
		polls = append(polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		n, err := unix.Poll(polls, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		require.NoError(t, err)
		require.NotZero(t, n, "there is a connection")
		for slot := range polls {
			if polls[slot].Revents != 0 {
				conn, _, err := unix.Accept(fds[slot])
				require.NoError(t, err)
				return conn, slot
			}
		}
	}
}

// connectMany makes connections, whose clients stay until the test ends.
func connectMany(t *testing.T, addr net.Addr, n int) {
	t.Helper()
	for range n {
		dial(t, "tcp", addr.String())
	}
}

// landed accepts n connections and counts them by slot.
func landed(t *testing.T, s Socket, n int) []int {
	t.Helper()
	counts := make([]int, len(slots(s)))
	for range n {
		conn, slot := accept(t, slots(s))
		unix.Close(conn)
		counts[slot]++
	}
	return counts
}

func TestEverySlotGetsConnections(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	s := set.Sockets[0]
	connectMany(t, s.Addr, 100)
	for _, n := range landed(t, s, 100) {
		assert.Positive(t, n)
	}
	queued, err := set.Queued(0)
	require.NoError(t, err)
	assert.Zero(t, queued)
}

func TestGrownSlotIsOneMore(t *testing.T) {
	t.Parallel()
	refused := func() bool {
		set := bind(t, Options{}, []string{"127.0.0.1:0,reuseport,127.0.0.1:0"}, nil)
		require.NoError(t, set.Grow(3))
		require.NoError(t, set.Grow(2), "there are that many")
		assert.Len(t, slots(set.Sockets[0]), 3)
		assert.Len(t, slots(set.Sockets[1]), 1)
		addr := set.Sockets[0].Addr.String()
		require.NoError(t, set.Close())
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, unix.ECONNREFUSED)
	}
	// Another test may have been given the port meanwhile, but not each time.
	assert.Eventually(t, refused, time.Minute, time.Millisecond, "all are closed")
}

func TestWaitingDatagramsCountAsOne(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:u0,reuseport"}, nil)
	queued, err := set.Queued(0)
	require.NoError(t, err)
	assert.Zero(t, queued)
	conn := dial(t, "udp", set.Sockets[0].Addr.String())
	for range 3 {
		_, err := conn.Write([]byte("hello"))
		require.NoError(t, err)
	}
	queued, err = set.Queued(0)
	require.NoError(t, err)
	assert.Equal(t, 1, queued)
	queued, err = set.Queued(1)
	require.NoError(t, err)
	assert.Zero(t, queued)
}
