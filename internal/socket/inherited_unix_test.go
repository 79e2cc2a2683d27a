//go:build unix

package socket

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// given is a descriptor as we might have been started with it.
func given(t *testing.T, family, kind int, sa unix.Sockaddr) int {
	t.Helper()
	fd, err := fd.Socket(family, kind)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	if sa != nil {
		require.NoError(t, unix.Bind(fd, sa))
	}
	return fd
}

func givenListener(t *testing.T, family int, sa unix.Sockaddr) int {
	t.Helper()
	fd := given(t, family, unix.SOCK_STREAM, sa)
	require.NoError(t, unix.Listen(fd, 5))
	return fd
}

func loopback() unix.Sockaddr { return &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}} }

func bindInherited(t *testing.T, specs ...Spec) *Set {
	t.Helper()
	require.NoError(t, Check(specs, Lookup{}))
	set, err := Bind(t.Context(), specs, Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, set.Close()) })
	return set
}

func TestSocketFromAboveIsNamedByWhereItIsBound(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	stream, dgram := filepath.Join(dir, "s"), filepath.Join(dir, "d")
	for _, c := range []struct {
		fd            int
		name, network string
	}{
		{givenListener(t, unix.AF_INET, loopback()), "127.0.0.1:%d", "tcp"},
		{givenListener(t, unix.AF_INET, &unix.SockaddrInet4{}), "%d", "tcp"},
		{given(t, unix.AF_INET, unix.SOCK_DGRAM, loopback()), "127.0.0.1:%d", "udp"},
		{givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: stream}), stream, "unix"},
		{given(t, unix.AF_UNIX, unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: dgram}), dgram, "unixgram"},
	} {
		s := bindInherited(t, Inherited(c.fd, "web")).Sockets[0]
		want := c.name
		if strings.Contains(want, "%d") {
			want = fmt.Sprintf(want, portOf(t, s))
		}
		assert.Equal(t, want, s.Name)
		assert.Equal(t, c.network, s.Addr.Network())
		assert.Equal(t, "web", s.Label)
		assert.Equal(t, 3, s.FD)
	}
}

func TestIPv6SocketFromAboveIsNamedInBrackets(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	for _, sa := range []*unix.SockaddrInet6{{}, {Addr: [16]byte{15: 1}}} {
		s := bindInherited(t, Inherited(givenListener(t, unix.AF_INET6, sa), "")).Sockets[0]
		assert.Equal(t, fmt.Sprintf("[%s]:%d", net.IP(sa.Addr[:]), portOf(t, s)), s.Name)
	}
}

func TestAbstractSocketFromAboveIsNamedWithAnAt(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("abstract names are Linux's")
	}
	name := "@go-server-starter-" + filepath.Base(testkit.Dir(t))
	s := bindInherited(t, Inherited(givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: name}), "")).Sockets[0]
	assert.Equal(t, name, s.Name)

	fd := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: name + ";x"})
	assert.ErrorContains(t, Check([]Spec{Inherited(fd, "")}, Lookup{}), "cannot be told to the worker")
}

func TestSocketFromAboveServesOnAfterClose(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	fd := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0) // as we are started with it
	require.NoError(t, err)
	set := bindInherited(t, Inherited(fd, ""))
	assert.NotEqual(t, fd, set.Sockets[0].fd)
	for _, fd := range []int{fd, set.Sockets[0].fd} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		require.NoError(t, err)
		assert.NotZero(t, flags&unix.FD_CLOEXEC)
	}
	require.NoError(t, set.Close())
	assert.FileExists(t, path, "it is not ours to remove")
	dial(t, "unix", path)
	accepted(t, fd)
}

func TestSocketFromAboveIsMadeBlockingOnceUnlessAsked(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for options, want := range map[string]bool{"": false, ",nonblock": true} {
			fd := givenListener(t, unix.AF_INET, loopback())
			require.NoError(t, unix.SetNonblock(fd, before))
			specs := parse(t, []string{fmt.Sprintf("fd://%d%s", fd, options)}, nil)
			require.NoError(t, Check(specs, Lookup{}))
			assert.Equal(t, before, nonblocking(t, fd), "a check touches nothing")
			bindInherited(t, specs...)
			assert.Equal(t, want, nonblocking(t, fd), "%v%s", before, options)
		}
	}
}

func TestOptionsOfASocketFromAbove(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	long := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	tcp := givenListener(t, unix.AF_INET, loopback())
	set := bindInherited(t, parse(t, []string{fmt.Sprintf("fd://%d,backlog=100,fd://%d,nodelay", long, tcp)}, nil)...)
	assert.Equal(t, 40, connects(t, path))
	assert.NotZero(t, option(t, set.Sockets[1], unix.IPPROTO_TCP, unix.TCP_NODELAY))

	udp := given(t, unix.AF_INET, unix.SOCK_DGRAM, loopback())
	text := fmt.Sprintf("fd://%d", udp)
	err := Check(parse(t, []string{text + ",backlog=5,nodelay"}, nil), Lookup{})
	assert.EqualError(t, err, fmt.Sprintf("socket %q: option \"backlog\" is for stream sockets only, and this is udp\n", text)+
		fmt.Sprintf("socket %q: option \"nodelay\" is for TCP only, and this is udp", text))
	err = Check(parse(t, []string{fmt.Sprintf("fd://%d,nodelay", long)}, nil), Lookup{})
	assert.ErrorContains(t, err, `option "nodelay" is for TCP only, and this is unix`)
}

func TestWhatIsNotSuchASocketIsNamed(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	require.NoError(t, err)
	defer file.Close()
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	raw := given(t, unix.AF_UNIX, unix.SOCK_SEQPACKET, nil)
	for _, c := range []struct {
		fd   int
		want string
	}{
		{raw, "a socket of type 5, neither a stream nor a datagram one"},
		{int(r.Fd()), "a pipe, not a socket"},
		{int(file.Fd()), "a file, not a socket"},
		{int(dir.Fd()), "a directory, not a socket"},
		{int(null.Fd()), "a terminal or another device, not a socket"},
		{pair[0], "a connection, not a listening socket"},
		{given(t, unix.AF_INET, unix.SOCK_STREAM, nil), "a stream socket that does not listen"},
		{given(t, unix.AF_INET, unix.SOCK_STREAM, loopback()), "a stream socket that does not listen"},
		{given(t, unix.AF_INET, unix.SOCK_DGRAM, nil), "a socket that is bound to nothing"},
		{given(t, unix.AF_UNIX, unix.SOCK_DGRAM, nil), "a socket that is bound to nothing"},
		{maxFD, "not open"},
	} {
		specs := []Spec{Inherited(c.fd, "")}
		want := fmt.Sprintf(`socket "fd://%d": descriptor %d is %s`, c.fd, c.fd, c.want)
		assert.EqualError(t, Check(specs, Lookup{}), want)
		_, err := Bind(t.Context(), specs, Options{})
		assert.EqualError(t, err, "cannot take "+want)
	}
}

func TestPathOfASocketFromAboveIsNotBoundAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	fd := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	specs := parse(t, []string{fmt.Sprintf("fd://%d", fd)}, []string{path})
	assert.EqualError(t, Check(specs, Lookup{}),
		fmt.Sprintf(`socket "fd://%d": it is bound to %q, which is also asked for as a path`, fd, path))
}

// A process of its own takes its descriptors 1 and 2, and shows that what it writes
// there afterwards does not matter.
func TestStandardDescriptorIsTakenAndPlugged(t *testing.T) {
	t.Parallel()
	const variable = "SOCKET_TEST_TAKES_1"
	if os.Getenv(variable) != "" {
		specs := []Spec{Inherited(1, ""), Inherited(2, "")}
		require.NoError(t, Check(specs, Lookup{}))
		set, err := Bind(t.Context(), specs, Options{})
		require.NoError(t, err)
		for i, s := range set.Sockets {
			_, err = unix.Write(1+i, []byte("to nobody"))
			require.NoError(t, err)
			assert.True(t, strings.HasPrefix(s.Name, "127.0.0.1:"))
			accepted(t, s.fd)
		}
		return
	}
	files := []int{0}
	for range 2 {
		fd := givenListener(t, unix.AF_INET, loopback())
		sa, err := unix.Getsockname(fd)
		require.NoError(t, err)
		dial(t, "tcp", fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port))
		files = append(files, fd)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	p, err := proc.Start(proc.Command{
		Args:  []string{self, "-test.run=^" + t.Name() + "$"},
		Env:   append(os.Environ(), variable+"=1"),
		Files: files,
	})
	require.NoError(t, err)
	assert.Zero(t, p.Wait())
}

// /dev/null replaces the socket. Not parallel: standard input is the process's.
func TestSocketAtStandardInputIsReplaced(t *testing.T) {
	before, err := fd.Dup(0)
	require.NoError(t, err)
	defer func() {
		assert.NoError(t, unix.Dup2(before, 0))
		unix.Close(before)
	}()
	require.NoError(t, unix.Dup2(givenListener(t, unix.AF_INET, loopback()), 0))
	s := &bindInherited(t, Inherited(0, "")).Sockets[0]
	n, err := unix.Read(0, make([]byte, 1))
	assert.NoError(t, err)
	assert.Zero(t, n, "it is at its end, as /dev/null is")
	dial(t, "tcp", s.Addr.String())
	accepted(t, s.fd)
}

func TestWhichSocketsAreTCP(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	tcp, udp := givenListener(t, unix.AF_INET, loopback()), given(t, unix.AF_INET, unix.SOCK_DGRAM, loopback())
	stream := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path + "2"})
	specs := parse(t, []string{fmt.Sprintf("127.0.0.1:0,127.0.0.1:u0,fd://%d,fd://%d,fd://%d,fd://%d", tcp, udp, stream, maxFD)}, []string{path})
	for i, want := range []bool{true, false, true, false, false, false, false} {
		assert.Equal(t, want, specs[i].IsTCP(), specs[i].Text)
	}
}
