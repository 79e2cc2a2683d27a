//go:build unix

package socket

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func nonblocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	require.NoError(t, err)
	return flags&unix.O_NONBLOCK != 0
}

// accepted is the next connection of a listening socket.
func accepted(t *testing.T, fd int) int {
	t.Helper()
	conn, _, err := unix.Accept(fd)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(conn) })
	return conn
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestAcceptedSocketHasNoDelay(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0,nodelay,127.0.0.1:0"}, nil)
	for i, want := range []int{1, 0} {
		s := set.Sockets[i]
		dial(t, "tcp", s.Addr.String())
		value, err := unix.GetsockoptInt(accepted(t, s.fd), unix.IPPROTO_TCP, unix.TCP_NODELAY)
		require.NoError(t, err)
		assert.Equal(t, want, min(value, 1), s.Text)
	}
}

func TestSocketIsNonblockingOnlyIfAsked(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	set := bind(t, Options{Slots: 2},
		[]string{"127.0.0.1:0,nonblock,127.0.0.1:u0,nonblock,127.0.0.1:0,reuseport,nonblock,127.0.0.1:0,reuseport"},
		[]string{filepath.Join(dir, "a") + ",nonblock", filepath.Join(dir, "b")})
	for i, want := range []bool{true, true, true, false, true, false} {
		s := set.Sockets[i]
		for _, fd := range append(*s.others, s.fd) {
			assert.Equal(t, want, nonblocking(t, fd), s.Text)
		}
	}
	require.NoError(t, set.Grow(3))
	assert.True(t, nonblocking(t, (*set.Sockets[2].others)[1]))
}

func TestDualStackTakesBothFamilies(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	set := bind(t, Options{}, []string{"[::]:0,v6only=0", "[::]:0,v6only=1", "[::]:u0,v6only=0"}, nil)
	both, six, udp := set.Sockets[0], set.Sockets[1], set.Sockets[2]
	assert.Equal(t, fmt.Sprintf("[::]:%d", portOf(t, both)), both.Name)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		dial(t, "tcp", fmt.Sprintf("%s:%d", host, portOf(t, both)))
		accepted(t, both.fd)
		conn := dial(t, "udp", fmt.Sprintf("%s:%d", host, portOf(t, udp)))
		_, err := conn.Write([]byte("hello"))
		require.NoError(t, err)
		n, _, err := unix.Recvfrom(udp.fd, make([]byte, 16), 0)
		require.NoError(t, err)
		assert.Equal(t, 5, n)
	}
	if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", portOf(t, six))); err == nil {
		conn.Close() // the IPv4 port is another test's
	}
	waiting, err := unix.Poll([]unix.PollFd{{Fd: int32(six.fd), Events: unix.POLLIN}}, 0)
	require.NoError(t, err)
	assert.Zero(t, waiting, "it takes one family only")
}

func TestBacklogOfASocketIsOverTheCommonOne(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	short, long := filepath.Join(dir, "short"), filepath.Join(dir, "long")
	bind(t, Options{Backlog: 100}, nil, []string{short + ",backlog=1"})
	bind(t, Options{Backlog: 1}, nil, []string{long + ",backlog=100"})
	assert.LessOrEqual(t, connects(t, short), 4)
	assert.Equal(t, 40, connects(t, long))
}

func TestPathHasModeAndGroupBeforeAnybodyCanConnect(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	var paths []string
	for i := range 20 {
		paths = append(paths, filepath.Join(dir, fmt.Sprint(i)))
	}
	// A client that can connect, however early, finds the mode that was asked for.
	modes := make(chan fs.FileMode, len(paths))
	go func() {
		defer close(modes)
		for _, path := range paths {
			for {
				conn, err := net.Dial("unix", path)
				if t.Context().Err() != nil {
					return
				}
				if err == nil {
					info, _ := os.Lstat(path)
					modes <- info.Mode()
					conn.Close()
					break
				}
			}
		}
	}()
	for _, path := range paths {
		specs := parse(t, nil, []string{fmt.Sprintf("%s,mode=620,group=%d,owner=%d", path, os.Getegid(), os.Geteuid())})
		require.NoError(t, Check(specs, Lookup{strconv.Atoi, strconv.Atoi}))
		set, err := Bind(t.Context(), specs, Options{})
		require.NoError(t, err)
		defer set.Close()
	}
	for range paths {
		assert.Equal(t, fs.ModeSocket|0o620, <-modes)
	}
}

func TestPathIsGivenToWhomItWasAskedFor(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can give files away, and in CI nothing is skipped")
		t.Skip("only root can give files away")
	}
	path := filepath.Join(testkit.Dir(t), "s")
	specs := parse(t, nil, []string{path + ",owner=alice,group=staff", path + "2,group=staff", path + "3,owner=alice"})
	require.NoError(t, Check(specs, Lookup{
		User:  func(string) (int, error) { return 4711, nil },
		Group: func(string) (int, error) { return 4712, nil },
	}))
	set, err := Bind(t.Context(), specs, Options{})
	require.NoError(t, err)
	defer set.Close()
	for suffix, want := range map[string][]uint32{"": {4711, 4712}, "2": {0, 4712}, "3": {4711, 0}} {
		var st unix.Stat_t
		require.NoError(t, unix.Lstat(path+suffix, &st))
		assert.Equal(t, want, []uint32{st.Uid, st.Gid})
		assert.EqualValues(t, unix.S_IFSOCK|0o777, st.Mode)
	}
}

func TestOwnerThatNobodyLookedUpIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	for _, option := range []string{"owner=alice", "group=staff"} {
		_, err := Bind(t.Context(), parse(t, nil, []string{path + "," + option}), Options{})
		assert.EqualError(t, err, fmt.Sprintf("cannot bind path %q: its owner has not been looked up", path))
		assert.NoFileExists(t, path)
	}
}
