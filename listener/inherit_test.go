//go:build linux || darwin

package listener

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// handOver returns a descriptor of the socket of s, as start_server holds it:
// blocking, and not registered in Go's poller. It closes s.
func handOver(t *testing.T, s interface {
	File() (*os.File, error)
	Close() error
}) *os.File {
	t.Helper()
	if ln, ok := s.(*net.UnixListener); ok {
		ln.SetUnlinkOnClose(false)
	}
	file, err := s.File()
	require.NoError(t, err)
	dup, err := syscall.Dup(int(file.Fd())) // Fd makes the socket blocking
	require.NoError(t, err)
	syscall.CloseOnExec(dup)
	require.NoError(t, file.Close())
	require.NoError(t, s.Close())
	held := os.NewFile(uintptr(dup), "held")
	t.Cleanup(func() { held.Close() })
	return held
}

func listenTCP(t *testing.T, address string) (*os.File, *net.TCPAddr) {
	t.Helper()
	network := "tcp4" // with "tcp", 0.0.0.0 would become a socket of IPv6
	if strings.HasPrefix(address, "[") {
		network = "tcp6"
	}
	ln, err := net.Listen(network, address)
	if err != nil && network == "tcp6" {
		t.Skip("no IPv6 here:", err)
	}
	require.NoError(t, err)
	addr := ln.Addr().(*net.TCPAddr)
	return handOver(t, ln.(*net.TCPListener)), addr
}

func listenUDP(t *testing.T, address string) (*os.File, *net.UDPAddr) {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	require.NoError(t, err)
	addr := conn.LocalAddr().(*net.UDPAddr)
	return handOver(t, conn.(*net.UDPConn)), addr
}

func listenUnix(t *testing.T) (*os.File, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "listener") // t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "a=b.sock")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	return handOver(t, ln.(*net.UnixListener)), path
}

// fcntl asks for the flags of a descriptor.
func fcntl(t *testing.T, file *os.File, cmd int) int {
	t.Helper()
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), uintptr(cmd), 0)
	require.Zero(t, errno)
	return int(flags)
}

func nonblocking(t *testing.T, file *os.File) bool {
	t.Helper()
	return fcntl(t, file, syscall.F_GETFL)&syscall.O_NONBLOCK != 0
}

// entry is what start_server writes for a socket.
func entry(name string, file *os.File) string { return fmt.Sprintf("%s=%d", name, file.Fd()) }

// greet has a client say hello over the listener.
func greet(t *testing.T, ln net.Listener) {
	t.Helper()
	client, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "hello")
	require.NoError(t, err)
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	got := make([]byte, 5)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

func TestInheritAll(t *testing.T) {
	t.Parallel()
	// Given one socket of each kind,
	tcp4, addr4 := listenTCP(t, "127.0.0.1:0")
	tcp6, addr6 := listenTCP(t, "[::1]:0")
	udp, addrUDP := listenUDP(t, "127.0.0.1:0")
	unix, path := listenUnix(t)
	spec := fmt.Sprintf("127.0.0.1:%d=3;[::1]:%d=4;127.0.0.1:%d=5;%s=6", addr4.Port, addr6.Port, addrUDP.Port, path)

	// when a program is started with them,
	said := start(t, "all", spec, tcp4, tcp6, udp, unix).ended(t)

	// then it finds each where it belongs.
	require.Equal(t, strings.Join([]string{
		"generation 7",
		"listeners 3 <nil>",
		"tcp " + addr4.String(), "tcp " + addr6.String(), "unix " + path,
		"packets 1 <nil>",
		"udp " + addrUDP.String(),
	}, "\n"), said)
}

func TestInheritOnlyDatagrams(t *testing.T) {
	t.Parallel()
	udp, addr := listenUDP(t, "127.0.0.1:0")
	name := fmt.Sprintf("127.0.0.1:%d", addr.Port)

	_, err := takeAll(entry(name, udp), stream, take)
	require.ErrorIs(t, err, ErrNoListeningTarget)

	ports, err := parse(entry(name, udp))
	require.NoError(t, err)
	_, err = ports[0].Listen()
	require.ErrorContains(t, err, name)
	require.ErrorContains(t, err, "datagram")
}

func TestInheritWhatIsNoSocket(t *testing.T) {
	t.Parallel()
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer file.Close()
	_, err = takeAll(entry("8080", file), stream, take)
	require.ErrorIs(t, err, syscall.ENOTSOCK)
	require.ErrorContains(t, err, entry("8080", file))

	_, err = takeAll("8080=1048575", stream, take)
	require.ErrorIs(t, err, syscall.EBADF)
}

func TestListenAgain(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			// Given a socket that is blocking and inherited by children,
			var file *os.File
			var spec string
			if network == "tcp" {
				file, _ = listenTCP(t, "127.0.0.1:0")
				spec = entry("8080", file)
			} else {
				var path string
				file, path = listenUnix(t)
				spec = entry(path, file)
				t.Cleanup(func() { require.FileExists(t, path) })
			}
			_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), syscall.F_SETFD, 0)
			require.Zero(t, errno)
			require.False(t, nonblocking(t, file))
			ports, err := parse(spec)
			require.NoError(t, err)

			// when it is taken, closed, and taken again,
			for range 3 {
				ln, err := ports[0].Listen()
				require.NoError(t, err)
				greet(t, ln)
				require.NoError(t, ln.Close())
				runtime.GC() // for finalizers

				// then it stays open, close-on-exec and non-blocking.
				require.Equal(t, syscall.FD_CLOEXEC, fcntl(t, file, syscall.F_GETFD))
				require.True(t, nonblocking(t, file))
			}
			first, err := ports[0].Listen()
			require.NoError(t, err)
			second, err := ports[0].Listen()
			require.NoError(t, err)
			require.NoError(t, first.Close())
			greet(t, second)
			require.NoError(t, second.Close())
		})
	}
}

func TestListenPackets(t *testing.T) {
	t.Parallel()
	udp, addr := listenUDP(t, "127.0.0.1:0")
	tcp, _ := listenTCP(t, "127.0.0.1:0")
	conns, err := takeAll(entry("8080", tcp)+";"+entry("8081", udp), datagram, takePacket)
	require.NoError(t, err)
	require.Len(t, conns, 1)

	client, err := net.Dial("udp", addr.String())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "hello")
	require.NoError(t, err)
	got := make([]byte, 9)
	n, from, err := conns[0].ReadFrom(got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got[:n]))
	require.Equal(t, client.LocalAddr().String(), from.String())
	require.NoError(t, conns[0].Close())
	require.True(t, nonblocking(t, udp))
	require.Equal(t, syscall.FD_CLOEXEC, fcntl(t, udp, syscall.F_GETFD))
}

func TestFind(t *testing.T) {
	t.Parallel()
	loop4, addr4 := listenTCP(t, "127.0.0.1:0")
	loop6, addr6 := listenTCP(t, "[::1]:0")
	any4, _ := listenTCP(t, "127.0.0.1:0") // bound to this address, whatever name it gets below
	udp, addrUDP := listenUDP(t, "127.0.0.1:0")
	unix, path := listenUnix(t)
	spec := strings.Join([]string{
		entry(fmt.Sprintf("localhost:%d", addr4.Port), loop4),
		entry(fmt.Sprintf("[::1]:%d", addr6.Port), loop6),
		entry("80", any4),
		entry(fmt.Sprintf("127.0.0.1:%d", addrUDP.Port), udp),
		entry(path, unix),
	}, ";")
	ports, err := parse(spec)
	require.NoError(t, err)
	const none = -1
	cases := []struct {
		network, address string
		then             int
	}{
		{"tcp", fmt.Sprintf("localhost:%d", addr4.Port), 0},
		{"tcp", fmt.Sprintf("LOCALHOST:%d", addr4.Port), 0},
		{"tcp", addr4.String(), 0},
		{"tcp4", addr4.String(), 0},
		{"tcp6", addr4.String(), none},
		{"udp", addr4.String(), none},
		{"tcp", fmt.Sprintf(":%d", addr4.Port), none},
		{"tcp", addr6.String(), 1},
		{"tcp6", addr6.String(), 1},
		{"tcp4", addr6.String(), none},
		{"tcp", fmt.Sprintf("[0:0:0::1]:%d", addr6.Port), 1},
		{"tcp", ":80", 2},
		{"tcp", ":http", 2},
		{"tcp", "0.0.0.0:80", 2},
		{"tcp", "127.0.0.1:80", none},
		{"tcp", "[::]:80", none},
		{"tcp", ":0", none},
		{"udp", addrUDP.String(), 3},
		{"udp4", addrUDP.String(), 3},
		{"unix", path, 4},
		{"unix", filepath.Dir(path) + "/../" + filepath.Base(filepath.Dir(path)) + "/a=b.sock", 4},
		{"unix", path + "x", none},
		{"unixgram", path, none},
	}
	for _, c := range cases {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			t.Parallel()
			found, err := find(ports, c.network, c.address)
			if c.then == none {
				require.ErrorContains(t, err, spec)
				return
			}
			require.NoError(t, err)
			require.Equal(t, ports[c.then], found)
		})
	}
}

func TestFindAnyAddress(t *testing.T) {
	t.Parallel()
	// Given a socket on all addresses whose name is not the one that is asked for,
	file, addr := listenTCP(t, "0.0.0.0:0")
	ports, err := parse(entry(fmt.Sprintf("anywhere:%d", addr.Port), file))
	require.NoError(t, err)
	// then it is found by what it is bound to.
	for _, host := range []string{"", "0.0.0.0"} {
		found, err := find(ports, "tcp", fmt.Sprintf("%s:%d", host, addr.Port))
		require.NoError(t, err)
		require.Equal(t, ports[0], found)
	}
}

func TestListenInherited(t *testing.T) {
	tcp, addr := listenTCP(t, "127.0.0.1:0")
	udp, addrUDP := listenUDP(t, "127.0.0.1:0")
	t.Setenv(ServerStarterEnvVarName, entry(addr.String(), tcp)+";"+entry(addrUDP.String(), udp))

	ln, err := Listen("tcp", addr.String())
	require.NoError(t, err)
	greet(t, ln)
	require.NoError(t, ln.Close())
	conn, err := ListenPacket("udp", addrUDP.String())
	require.NoError(t, err)
	require.Equal(t, addrUDP, conn.LocalAddr())
	require.NoError(t, conn.Close())

	_, err = Listen("tcp", "127.0.0.1:1")
	require.ErrorContains(t, err, "listen tcp 127.0.0.1:1: not among the inherited sockets "+addr.String())
	_, err = Listen("udp", addrUDP.String())
	require.ErrorIs(t, err, net.UnknownNetworkError("udp"))
	_, err = ListenPacket("tcp", addr.String())
	require.ErrorIs(t, err, net.UnknownNetworkError("tcp"))
	_, err = Listen("tcp", "127.0.0.1")
	require.ErrorContains(t, err, "missing port")
}
