package socket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// addresses are one of each kind that a packet's header can have.
func addresses(t *testing.T) []string {
	t.Helper()
	needIPv6(t)
	return []string{"127.0.0.1:0", "[::1]:0", "[::]:0,v6only=0"}
}

func TestSteeredConnectionsLandInTheFirstSlotsOnly(t *testing.T) {
	t.Parallel()
	for _, text := range addresses(t) {
		set := bind(t, Options{Slots: 3}, []string{text + ",reuseport"}, nil)
		s := set.Sockets[0]
		require.NoError(t, set.Steer(2))
		connectMany(t, localAddr(t, s), 300)
		queued, err := set.Queued(0)
		require.NoError(t, err)
		assert.Equal(t, 300, queued, text)
		queued, err = set.Queued(2)
		require.NoError(t, err)
		assert.Zero(t, queued, text)
		counts := landed(t, s, 300)
		for slot := range 2 {
			assert.InDelta(t, 150, counts[slot], 90, "%s: %v", text, counts)
		}
		assert.Zero(t, counts[2], text)

		require.NoError(t, set.Steer(3))
		connectMany(t, localAddr(t, s), 300)
		counts = landed(t, s, 300)
		for slot := range 3 {
			assert.InDelta(t, 100, counts[slot], 60, "%s: %v", text, counts)
		}
	}
}

// localAddr is where an IPv4 client reaches the socket, if it can.
func localAddr(t *testing.T, s Socket) net.Addr {
	if !s.DualStack {
		return s.Addr
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: portOf(t, s)}
}

func TestQueuedConnectionsSurviveSteering(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	s := set.Sockets[0]
	connectMany(t, s.Addr, 100)
	require.NoError(t, set.Steer(1))
	before, err := set.Queued(1)
	require.NoError(t, err)
	require.Positive(t, before)
	connectMany(t, s.Addr, 50)
	after, err := set.Queued(1)
	require.NoError(t, err)
	assert.Equal(t, before, after, "no more come, and none goes")
	for left := before - 1; left >= 0; left-- {
		conn, _ := accept(t, slots(s)[1:])
		_, err := unix.Getpeername(conn)
		assert.NoError(t, err, "it is alive")
		unix.Close(conn)
		n, err := set.Queued(1)
		require.NoError(t, err)
		assert.Equal(t, left, n)
	}
}

func TestGrownSlotGetsNothingBeforeItIsSteeredTo(t *testing.T) {
	t.Parallel()
	for _, count := range []int{1, 2} {
		set := bind(t, Options{Slots: count}, []string{"127.0.0.1:0,reuseport"}, nil)
		s := &set.Sockets[0]
		require.NoError(t, set.Grow(3))
		connectMany(t, s.Addr, 60)
		queued, err := set.Queued(count)
		require.NoError(t, err)
		assert.Zero(t, queued)
		require.NoError(t, set.Steer(3))
		connectMany(t, s.Addr, 60)
		queued, err = set.Queued(count)
		require.NoError(t, err)
		assert.Positive(t, queued)
		assert.ErrorContains(t, set.Steer(4), "cannot steer to 4 slots: there are 3")
	}
}

// flows sends from many clients, and says which slot each one's packet is in.
func flows(t *testing.T, s Socket, clients []net.Conn) []int {
	t.Helper()
	var found []int
	for _, c := range clients {
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		at := -1
		for slot, fd := range slots(s) {
			_, _, err := unix.Recvfrom(fd, make([]byte, 16), unix.MSG_DONTWAIT)
			if err == nil {
				at = slot
			}
		}
		require.NotEqual(t, -1, at, "the packet is somewhere")
		found = append(found, at)
	}
	return found
}

func TestDatagramsOfAFlowStayInOneSlot(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	for _, text := range []string{"127.0.0.1:u0", "[::1]:u0"} {
		set := bind(t, Options{}, []string{text + ",reuseport"}, nil)
		s := &set.Sockets[0]
		var clients []net.Conn
		for range 100 {
			clients = append(clients, dial(t, "udp", s.Addr.String()))
		}
		for _, slots := range []int{2, 3} {
			require.NoError(t, set.Grow(slots))
			for _, slot := range flows(t, *s, clients) {
				assert.Zero(t, slot, "nothing is steered elsewhere yet")
			}
		}
		require.NoError(t, set.Steer(2))
		before := flows(t, *s, clients)
		require.NoError(t, set.Grow(5))
		assert.Equal(t, before, flows(t, *s, clients), text)
		counts := make([]int, 5)
		for _, slot := range before {
			counts[slot]++
		}
		assert.InDelta(t, 50, counts[0], 30, "%s: %v", text, counts)
		assert.Equal(t, 100, counts[0]+counts[1], text)
	}
}

// A program of our own user may bind the port as well, and gets nothing.
func TestStrangerOfOurOwnUserGetsNothing(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, nil)
	s := set.Sockets[0]
	stranger := given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
	require.NoError(t, unix.SetsockoptInt(stranger, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	require.NoError(t, unix.SetsockoptInt(stranger, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	require.NoError(t, unix.Bind(stranger, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: portOf(t, s)}))
	require.NoError(t, unix.Listen(stranger, 100))
	connectMany(t, s.Addr, 60)
	queued, err := set.Queued(0)
	require.NoError(t, err)
	assert.Equal(t, 60, queued)
}

// With one slot the worker may share the port out itself, with sockets of its own.
func TestOneSlotIsNotSteered(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 1}, []string{"127.0.0.1:0,reuseport"}, nil)
	s := set.Sockets[0]
	worker := Socket{Spec: s.Spec}
	fd, err := worker.open(s.bound, true, Options{})
	require.NoError(t, err)
	defer unix.Close(fd)
	connectMany(t, s.Addr, 60)
	queued, err := set.Queued(0)
	require.NoError(t, err)
	assert.InDelta(t, 30, queued, 25)
}

// Another user cannot bind a port that has SO_REUSEPORT, nor a UDP port, even with
// SO_REUSEADDR as well.
func TestStrangerOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	if syscall.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can be another user, and in CI nothing is skipped")
		t.Skip("only root can be another user")
	}
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport,127.0.0.1:u0,reuseport,127.0.0.1:u0"}, nil)
	for i, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_DGRAM} {
		err := asUser(4711, func() error {
			fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			if set.Sockets[i].Reuseport {
				err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
			}
			if err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: portOf(t, set.Sockets[i])})
		})
		assert.ErrorIs(t, err, unix.EADDRINUSE, set.Sockets[i].Text)
	}
}

// asUser runs f in a thread that has another effective user. The thread ends with f.
func asUser(uid int, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // the main thread's user would be that of /proc/self
			defer runtime.UnlockOSThread()
			result <- asUser(uid, f)
			return
		}
		// The thread is never unlocked, and goes with the goroutine.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno != 0 {
			result <- fmt.Errorf("setresuid: %w", errno)
			return
		}
		result <- f()
	}()
	return <-result
}

func TestProgramHasAnAnswerForEveryNumberOfSlots(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0,reuseport"}, nil)
	require.NoError(t, set.Grow(200))
	for _, n := range []int{1, 2, 3, 128, 129, 200} {
		require.NoError(t, set.Steer(n))
		connectMany(t, set.Sockets[0].Addr, 20)
		queued, err := set.Queued(n)
		require.NoError(t, err)
		assert.Zero(t, queued, "%d slots", n)
	}
}

// A connection that is in no queue yet comes to the queue that its first packet was for. To
// empty a slot we have to wait for it.
func TestUnfinishedConnectionStaysWithItsSlot(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport,defer-accept"}, nil)
	s := set.Sockets[0]
	var clients []net.Conn
	for range 60 {
		clients = append(clients, dial(t, "tcp", s.Addr.String()))
	}
	require.NoError(t, set.Steer(1))
	for _, c := range clients {
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
	}
	counts := landed(t, s, len(clients))
	assert.Positive(t, counts[1])
}

func TestOnlyRootGivesPathsAway(t *testing.T) {
	t.Parallel()
	if syscall.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can be another user, and in CI nothing is skipped")
		t.Skip("only root can be another user")
	}
	specs := parse(t, nil, []string{"/a,owner=4711", "/b,owner=4712,group=4712", "/c,group=0"})
	err := asUser(4711, func() error { return Check(specs, Lookup{strconv.Atoi, strconv.Atoi}) })
	assert.EqualError(t, err, `path "/b": owner "4712": only root can give a file to another user`+"\n"+
		`path "/b": group "4712": only root can give a file to a group that it is not in`)
}

// They do from the first connection on, before Steer is called.
func TestAllSlotsThatWereAskedForGetConnections(t *testing.T) {
	t.Parallel()
	for _, text := range addresses(t) {
		set := bind(t, Options{Slots: 4}, []string{text + ",reuseport"}, nil)
		connectMany(t, set.Sockets[0].Addr, 100)
		for slot, count := range landed(t, set.Sockets[0], 100) {
			assert.Positive(t, count, "%s: slot %d", text, slot)
		}
		set, s := bindSided(t, 4, text)
		connectMany(t, s.Addr, 100)
		assert.Equal(t, 100, on(t, set, 0))
		for slot := range 4 {
			waits, err := s.queued(s.at(slot, 0))
			require.NoError(t, err)
			assert.Positive(t, waits, "%s: slot %d", text, slot)
		}
	}
}
