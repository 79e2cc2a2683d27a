package socket

import (
	"bufio"
	"encoding/binary"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// reached are a listening socket, which nobody accepts from, and an address to reach it by.
var reached = map[string]struct{ network, listen, connect string }{
	"IPv4":                        {"tcp4", "127.0.0.1:0", "127.0.0.1"},
	"IPv6":                        {"tcp6", "[::1]:0", "::1"},
	"all of IPv4":                 {"tcp4", "0.0.0.0:0", "127.0.0.1"},
	"IPv4, by mapped IPv4":        {"tcp4", "127.0.0.1:0", "::ffff:127.0.0.1"},
	"all of both, over IPv4":      {"tcp", "[::]:0", "127.0.0.1"},
	"all of both, over IPv6":      {"tcp", "[::]:0", "::1"},
	"all of both, by mapped IPv4": {"tcp", "[::]:0", "::ffff:127.0.0.1"},
}

// connect is a connection whose other end is in the queue of a socket. For IPv4 in IPv6 it
// uses an IPv6 socket.
func connect(t *testing.T, ln net.Listener, host string) int {
	t.Helper()
	ip, port := netip.MustParseAddr(host), ln.Addr().(*net.TCPAddr).Port
	family := unix.AF_INET
	var to unix.Sockaddr
	if ip.Is4() {
		to = &unix.SockaddrInet4{Addr: ip.As4(), Port: port}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Addr: ip.As16(), Port: port}
	}
	n, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(n) })
	if ip.Is4() { // so that the two ends have different addresses
		require.NoError(t, unix.Bind(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 2}}))
	}
	require.NoError(t, unix.Connect(n, to))
	return n
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for name, c := range reached {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen(c.network, c.listen)
			if err != nil && c.network != "tcp4" {
				t.Skip("no IPv6 here: ", err)
			}
			require.NoError(t, err)
			defer ln.Close()
			first, second := connect(t, ln, c.connect), connect(t, ln, c.connect)
			is := func(fd int, want bool) {
				t.Helper()
				done, err := Accepted(fd)
				assert.NoError(t, err)
				assert.Equal(t, want, done)
				local, remote, err := ends(fd)
				require.NoError(t, err)
				for by, find := range map[string]func(local, remote netip.AddrPort) (uint32, error){"netlink": askInode, "proc": readInode} {
					inode, err := find(remote, local)
					assert.NoError(t, err, by)
					assert.Equal(t, want, inode != 0, by)
				}
			}
			is(first, false)
			is(second, false)
			conn, err := ln.Accept()
			require.NoError(t, err)
			defer conn.Close()
			is(first, true)
			is(second, false)
		})
	}
}

// It matters which process has accepted a connection: another one may have the socket, too.
func TestAcceptedByOneOfTheProcesses(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	n := connect(t, ln, "127.0.0.1")
	by := func(pids ...int) bool { return AcceptedBy(n, slices.Values(pids)) }
	other := leftBehind(t).Pid
	assert.False(t, by(other, os.Getpid()), "nobody has")
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	assert.True(t, by(other, os.Getpid()))
	assert.False(t, by(other))
	assert.False(t, by())
	require.NoError(t, conn.Close())
	closed(t, n)
	assert.False(t, by(os.Getpid()), "it has closed it")

	path := filepath.Join(testkit.Dir(t), "s")
	listener := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	client := given(t, unix.AF_UNIX, unix.SOCK_STREAM, nil)
	require.NoError(t, unix.Connect(client, &unix.SockaddrUnix{Name: path}))
	accepted(t, listener)
	for _, n := range []int{-1, listener, client} {
		assert.False(t, AcceptedBy(n, slices.Values([]int{os.Getpid()})), "that is no connection of TCP")
	}
}

func TestAnswersOfTheKernelThatAreNone(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddrPort
	local, remote := addr("127.0.0.1:1"), addr("127.0.0.1:2")
	long := make([]byte, unix.SizeofNlMsghdr)
	binary.NativeEndian.PutUint32(long, 1000)
	failed := make([]byte, unix.SizeofNlMsghdr+4)
	binary.NativeEndian.PutUint32(failed, uint32(len(failed)))
	binary.NativeEndian.PutUint16(failed[4:], unix.NLMSG_ERROR)
	binary.NativeEndian.PutUint32(failed[unix.SizeofNlMsghdr:], ^uint32(unix.ENOENT)+1)
	for _, c := range []struct {
		answer []byte
		want   error
	}{
		{nil, errUnknown},
		{long, unix.EINVAL},
		{failed, unix.ENOENT},
		{failed[:len(failed)-4], unix.EINVAL},
		{append(make([]byte, 0), inodeRequest(local, remote)...), errUnknown}, // too short for an answer
	} {
		_, err := inodeAnswered(c.answer, local, remote)
		assert.ErrorIs(t, err, c.want, "%x", c.answer)
	}

	table := filepath.Join(t.TempDir(), "tcp")
	want := [2]string{procAddr(local, false), procAddr(remote, false)}
	_, err := findInode(table, want)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	line := "0: " + want[0] + " " + want[1] + " 01 0:0 0:0 0 0 0 "
	for text, number := range map[string]uint32{line + "4711 1\n": 4711, line + "\n" + line + "12 1\n": 12} {
		require.NoError(t, os.WriteFile(table, []byte(text), 0o600))
		found, err := findInode(table, want)
		require.NoError(t, err)
		assert.Equal(t, number, found)
	}
	require.NoError(t, os.WriteFile(table, []byte(line+"\n"), 0o600))
	_, err = findInode(table, want)
	assert.ErrorIs(t, err, errUnknown, "it has no inode")
	require.NoError(t, os.WriteFile(table, []byte(strings.Repeat("x", bufio.MaxScanTokenSize+1)), 0o600))
	_, err = findInode(table, want)
	assert.ErrorIs(t, err, bufio.ErrTooLong, "a line is cut short")
}

// closed waits until a connection has heard that the other end is closed.
func closed(t *testing.T, fd int) {
	t.Helper()
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(poll, int(time.Minute.Milliseconds()))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestAcceptedAndClosed(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	first, second, third := connect(t, ln, "127.0.0.1"), connect(t, ln, "127.0.0.1"), connect(t, ln, "127.0.0.1")
	conn, err := ln.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	closed(t, first)
	done, err := Accepted(first)
	assert.NoError(t, err)
	assert.True(t, done, "it was accepted, and closed in order")

	conn, err = ln.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
	require.NoError(t, conn.Close())
	closed(t, second)
	_, err = Accepted(second)
	assert.ErrorIs(t, err, unix.ECONNRESET)

	require.NoError(t, ln.Close())
	closed(t, third)
	_, err = Accepted(third)
	assert.ErrorIs(t, err, unix.ECONNRESET, "nobody has accepted it")
}

func TestAcceptedOfWhatIsNoConnection(t *testing.T) {
	t.Parallel()
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(n)
	_, err = Accepted(n)
	assert.ErrorIs(t, err, unix.ECONNRESET)
	_, err = Accepted(-1)
	assert.ErrorIs(t, err, unix.EBADF)
	addr := netip.MustParseAddrPort
	_, err = askInode(addr("127.0.0.1:1"), addr("127.0.0.1:2"))
	assert.Error(t, err)
	_, err = readInode(addr("127.0.0.1:1"), addr("127.0.0.1:2"))
	assert.ErrorIs(t, err, errUnknown)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, err = askInode(ln.Addr().(*net.TCPAddr).AddrPort(), addr("127.0.0.1:2"))
	assert.ErrorIs(t, err, errUnknown, "the kernel tells of the listening socket in its place")
}

// TestALongQueueIsNotTakenForAccepted: a connection that does not fit is not complete yet.
func TestALongQueueIsNotTakenForAccepted(t *testing.T) {
	t.Parallel()
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(n)
	require.NoError(t, unix.Bind(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	require.NoError(t, unix.Listen(n, 0)) // one fits
	name, err := unix.Getsockname(n)
	require.NoError(t, err)
	for range 3 {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		defer unix.Close(c)
		if err := unix.Connect(c, name); err != unix.EINPROGRESS {
			require.NoError(t, err)
		}
		if state, err := tcpState(c); err == nil && state == tcpEstablished {
			done, err := Accepted(c)
			assert.NoError(t, err)
			assert.False(t, done)
		}
	}
}

func BenchmarkAccepted(b *testing.B) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(b, err)
	defer ln.Close()
	conn, err := net.Dial("tcp4", ln.Addr().String())
	require.NoError(b, err)
	defer conn.Close()
	file, err := conn.(*net.TCPConn).File()
	require.NoError(b, err)
	defer file.Close()
	for b.Loop() {
		_, _ = Accepted(int(file.Fd()))
	}
}
