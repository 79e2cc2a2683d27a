//go:build unix

package socket

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// bind binds what is asked for until the test ends.
func bind(t *testing.T, o Options, ports, paths []string) *Set {
	t.Helper()
	set, err := Bind(t.Context(), parse(t, ports, paths), o)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, set.Close()) })
	return set
}

func parse(t *testing.T, ports, paths []string) []Spec {
	t.Helper()
	specs, err := Parse(ports, paths)
	require.NoError(t, err)
	return specs
}

func option(t *testing.T, s Socket, level, name int) int {
	t.Helper()
	value, err := unix.GetsockoptInt(s.fd, level, name)
	require.NoError(t, err)
	return value
}

// portOf is the real port of a bound socket.
func portOf(t *testing.T, s Socket) int {
	t.Helper()
	switch addr := s.Addr.(type) {
	case *net.TCPAddr:
		return addr.Port
	case *net.UDPAddr:
		return addr.Port
	}
	t.Fatalf("%v has no port", s.Addr)
	return 0
}

func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here: ", err)
	}
	l.Close()
}

func TestSocketsAreBoundWhereAskedAndNamedByTheirRealPort(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"0", "127.0.0.1:0", "localhost:0", "127.0.0.1:u0"}, nil)
	for i, want := range []struct{ name, addr, network string }{
		{"%d", "0.0.0.0:%d", "tcp"},
		{"127.0.0.1:%d", "127.0.0.1:%d", "tcp"},
		{"localhost:%d", "127.0.0.1:%d", "tcp"},
		{"127.0.0.1:%d", "127.0.0.1:%d", "udp"},
	} {
		s := set.Sockets[i]
		port := portOf(t, s)
		assert.NotZero(t, port)
		assert.Equal(t, fmt.Sprintf(want.name, port), s.Name)
		assert.Equal(t, fmt.Sprintf(want.addr, port), s.Addr.String())
		assert.Equal(t, want.network, s.Addr.Network())
		assert.Equal(t, 3+i, s.FD)
	}
}

func TestTCPSocketListens(t *testing.T) {
	t.Parallel()
	s := bind(t, Options{}, []string{"127.0.0.1:0"}, nil).Sockets[0]
	conn, err := net.Dial("tcp", s.Addr.String())
	require.NoError(t, err)
	defer conn.Close()
	fd, _, err := unix.Accept(s.fd)
	require.NoError(t, err)
	unix.Close(fd)
}

func TestUDPSocketReceives(t *testing.T) {
	t.Parallel()
	s := bind(t, Options{}, []string{"127.0.0.1:u0"}, nil).Sockets[0]
	assert.Equal(t, unix.SOCK_DGRAM, option(t, s, unix.SOL_SOCKET, unix.SO_TYPE))
	conn, err := net.Dial("udp", s.Addr.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("hello"))
	require.NoError(t, err)
	buffer := make([]byte, 16)
	n, _, err := unix.Recvfrom(s.fd, buffer, 0)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(buffer[:n]))
}

func TestIPv6SocketIsIPv6Only(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	// Linux sets the option by itself where the address is not [::].
	set := bind(t, Options{}, []string{"[::1]:0", "[0:0::1]:u0", "[::]:0", "[::]:u0"}, nil)
	for i, want := range []struct{ host, addr string }{{"::1", "::1"}, {"0:0::1", "::1"}, {"::", "::"}, {"::", "::"}} {
		s := set.Sockets[i]
		assert.Equal(t, 1, option(t, s, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY), s.Text)
		assert.Equal(t, fmt.Sprintf("[%s]:%d", want.host, portOf(t, s)), s.Name)
		assert.Equal(t, fmt.Sprintf("[%s]:%d", want.addr, portOf(t, s)), s.Addr.String())
	}
	conn, err := net.Dial("tcp", set.Sockets[0].Addr.String())
	require.NoError(t, err)
	conn.Close()
}

// What a worker gets is shared by all generations, so it has to be right from
// the start.
func TestEverySocketIsBlockingCloseOnExecAndReusable(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0", "127.0.0.1:u0"}, []string{filepath.Join(testkit.Dir(t), "s")})
	for _, s := range set.Sockets {
		flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
		require.NoError(t, err)
		assert.Zero(t, flags&unix.O_NONBLOCK, "%s is blocking", s.Name)
		flags, err = unix.FcntlInt(uintptr(s.fd), unix.F_GETFD, 0)
		require.NoError(t, err)
		assert.NotZero(t, flags&unix.FD_CLOEXEC, "%s is close-on-exec", s.Name)
		if s.Path == "" {
			assert.Equal(t, !s.UDP, option(t, s, unix.SOL_SOCKET, unix.SO_REUSEADDR) != 0, "%s has SO_REUSEADDR, as TCP", s.Name)
		}
	}
}

func TestTCPSocketIsNotMPTCP(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("MPTCP is Linux's")
	}
	const soProtocol = 38 // SO_PROTOCOL of Linux
	s := bind(t, Options{}, []string{"127.0.0.1:0"}, nil).Sockets[0]
	assert.Equal(t, unix.IPPROTO_TCP, option(t, s, unix.SOL_SOCKET, soProtocol))
}

// connects counts how many clients get into the queue of a unix socket before
// it is full, out of 40.
func connects(t *testing.T, path string) (n int) {
	t.Helper()
	for range 40 {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		require.NoError(t, unix.SetNonblock(fd, true))
		if unix.Connect(fd, &unix.SockaddrUnix{Name: path}) == nil {
			n++
		}
	}
	return n
}

func TestBacklogIsTheOneAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ backlog, least, most int }{
		{1, 1, 4}, // systems round it up differently
		{100, 40, 40},
		{0, 40, 40},
	} {
		path := filepath.Join(testkit.Dir(t), "s")
		bind(t, Options{Backlog: c.backlog}, nil, []string{path})
		n := connects(t, path)
		assert.LessOrEqual(t, n, c.most, "backlog %d", c.backlog)
		assert.GreaterOrEqual(t, n, c.least, "backlog %d", c.backlog)
	}
}

func TestPathIsMadeOpenToAllAndRemovedAtTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	removing := func(path string) { t.Errorf("removing %s, which was not there", path) }
	set := bind(t, Options{Removing: removing}, nil, []string{path})
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket|0o777, info.Mode())
	assert.Equal(t, path, set.Sockets[0].Name)
	assert.Equal(t, path, set.Sockets[0].Addr.String())
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()

	require.NoError(t, set.Close())
	assert.NoFileExists(t, path)
	assert.NoError(t, set.Close(), "closing twice")
}

func TestSocketFileLeftBehindIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	left.SetUnlinkOnClose(false)
	before, err := os.Lstat(path)
	require.NoError(t, err)
	require.NoError(t, left.Close())

	var removed []string
	removing := func(path string) {
		info, err := os.Lstat(path)
		require.NoError(t, err, "told before it is removed")
		assert.True(t, os.SameFile(before, info))
		removed = append(removed, path)
	}
	bind(t, Options{Removing: removing}, nil, []string{path})
	assert.Equal(t, []string{path}, removed)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err, "the new one listens")
	conn.Close()
}

func TestPathOnWhichAProcessListensIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	old := bind(t, Options{}, nil, []string{path})
	_, err := Bind(t.Context(), parse(t, nil, []string{path}), Options{})
	assert.ErrorContains(t, err, fmt.Sprintf("cannot bind path %q: a process listens there already", path))
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()

	require.NoError(t, os.Remove(path))
	bind(t, Options{}, nil, []string{path})
	require.NoError(t, old.Close())
	conn, err = net.Dial("unix", path)
	require.NoError(t, err, "the old one does not remove what is another's now")
	conn.Close()
}

func TestPathThatIsNoSocketIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o600))
	require.NoError(t, os.Symlink(file, link))
	for _, path := range []string{file, link, dir} {
		_, err := Bind(t.Context(), parse(t, nil, []string{path}), Options{})
		assert.EqualError(t, err, fmt.Sprintf("cannot bind path %q: the path is taken by something that is not a socket, which is not removed", path))
	}
	text, err := os.ReadFile(link)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

func TestPathThatWasTakenAwayOrOverIsNotRemovedAtTheEnd(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	gone, other := filepath.Join(dir, "gone"), filepath.Join(dir, "other")
	set := bind(t, Options{}, nil, []string{gone, other})
	require.NoError(t, os.Remove(gone))
	require.NoError(t, os.WriteFile(other+".new", []byte("precious"), 0o600))
	require.NoError(t, os.Rename(other+".new", other))
	require.NoError(t, set.Close())
	assert.FileExists(t, other)
}

func TestPathInNoDirectorySaysSo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "none", "s")
	_, err := Bind(t.Context(), parse(t, nil, []string{path}), Options{})
	assert.ErrorContains(t, err, fmt.Sprintf("cannot bind path %q: ", path))
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestPortInUseSaysSo(t *testing.T) {
	t.Parallel()
	port := portOf(t, bind(t, Options{}, []string{"127.0.0.1:0"}, nil).Sockets[0])
	text := fmt.Sprintf("127.0.0.1:%d", port)
	_, err := Bind(t.Context(), parse(t, []string{text + "=5"}, nil), Options{})
	assert.ErrorContains(t, err, fmt.Sprintf(`cannot bind port "%s=5": bind: address already in use`, text))
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestSecondUDPStartIsRefused(t *testing.T) {
	t.Parallel()
	port := portOf(t, bind(t, Options{}, []string{"127.0.0.1:u0"}, nil).Sockets[0])
	_, err := Bind(t.Context(), parse(t, []string{fmt.Sprintf("127.0.0.1:u%d", port)}, nil), Options{})
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestHostThatIsUnknownIsNamed(t *testing.T) {
	t.Parallel()
	// This is not a name at all: the resolver asks no server.
	_, err := Bind(t.Context(), parse(t, []string{"no..such..host:80"}, nil), Options{})
	assert.ErrorContains(t, err, `cannot bind port "no..such..host:80": `)
	assert.ErrorContains(t, err, "no such host")
}

func TestZoneThatIsUnknownIsRefused(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	set, err := Bind(t.Context(), parse(t, []string{"[::1%nosuchif]:0"}, nil), Options{})
	if err == nil {
		set.Close()
	}
	assert.Error(t, err)
}

func TestNothingIsLeftBoundAfterAFailure(t *testing.T) {
	t.Parallel()
	busy := bind(t, Options{}, []string{"127.0.0.1:0"}, nil).Sockets[0].Name
	path := filepath.Join(testkit.Dir(t), "s")
	// A port that was just free may be taken by somebody else by now.
	for range 5 {
		probe, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		free := probe.Addr().String()
		probe.Close()

		specs := parse(t, []string{free, busy}, []string{path})
		specs[1], specs[2] = specs[2], specs[1]
		_, err = Bind(t.Context(), specs, Options{})
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		assert.NoFileExists(t, path)
		if l, err := net.Listen("tcp", free); err == nil {
			l.Close()
			return
		}
	}
	t.Fatal("the port before the one that failed is still bound")
}

func TestLimitOfDescriptorsIsToldBeforeAnythingIsBound(t *testing.T) {
	t.Parallel()
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur > maxFD {
		t.Skip("no descriptor is beyond the limit here")
	}
	path := filepath.Join(testkit.Dir(t), "s")
	specs := parse(t, []string{fmt.Sprintf("127.0.0.1:0=%d", limit.Cur)}, []string{path})
	specs[0], specs[1] = specs[1], specs[0]
	removing := func(path string) { t.Errorf("%s is bound already", path) }
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := Bind(t.Context(), specs, Options{Removing: removing})
	assert.EqualError(t, err, fmt.Sprintf("2 sockets reach up to descriptor %d, and RLIMIT_NOFILE is %d: raise it (ulimit -n %d)",
		limit.Cur, limit.Cur, limit.Cur+1024))
}

func TestSocketsFitIntoTheLimitWithSomeToSpare(t *testing.T) {
	t.Parallel()
	set := &Set{Sockets: []Socket{{FD: 40}, {FD: 3}}}
	assert.NoError(t, set.Fit(0), "not known")
	assert.NoError(t, set.Fit(57))
	assert.EqualError(t, set.Fit(56), "2 sockets reach up to descriptor 40, and RLIMIT_NOFILE is 56: raise it (ulimit -n 1064)")
	assert.NoError(t, (&Set{}).Fit(10), "there are no sockets")
}

func TestTableHasEachSocketAtItsDescriptor(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0", "127.0.0.1:0=0", "127.0.0.1:0=6", "127.0.0.1:0"}, nil)
	s := set.Sockets
	assert.Equal(t, []int{s[1].fd, 101, 102, s[0].fd, s[3].fd, -1, s[2].fd}, set.Table(0, 0, 100, 101, 102))
	assert.Equal(t, []int{100, 101, 102}, (&Set{}).Table(0, 0, 100, 101, 102))
}

// A descriptor that is moved to where it is already must not be closed in the
// child, nor keep its close-on-exec flag there.
func TestSocketPinnedToTheNumberItHasAnywayArrives(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0", "127.0.0.1:0"}, nil)
	own, other := &set.Sockets[0], &set.Sockets[1]
	own.FD = own.fd
	other.FD = own.fd + 1
	table := set.Table(0, 0, -1, 1, 2)
	require.Equal(t, own.fd, table[own.fd])

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	table[1] = int(w.Fd())
	script := fmt.Sprintf("[ -S /dev/fd/%d ] && [ -S /dev/fd/%d ] && echo both", own.FD, other.FD)
	p, err := proc.Start(proc.Command{Args: []string{"/bin/sh", "-c", script}, Files: table})
	w.Close()
	require.NoError(t, err)
	buffer := make([]byte, 16)
	n, _ := r.Read(buffer)
	assert.Zero(t, p.Wait())
	assert.Equal(t, "both\n", string(buffer[:n]))
}

// As with Server::Starter. Go would take the name for that of an abstract socket.
func TestPathThatBeginsWithAnAtIsAFile(t *testing.T) {
	t.Chdir(testkit.Dir(t))
	set := bind(t, Options{}, nil, []string{"@s"})
	assert.Equal(t, "@s", set.Sockets[0].Name)
	assert.FileExists(t, "@s")
	dial(t, "unix", "./@s")
	assert.Empty(t, set.Lost())
	_, err := Bind(t.Context(), parse(t, nil, []string{"@s"}), Options{})
	assert.ErrorContains(t, err, "a process listens there already")
	if runtime.GOOS == "linux" {
		assert.ErrorContains(t, err, "already: this process has it, as another socket that was asked for or passed to it")
	}
	require.NoError(t, set.Close())
	assert.NoFileExists(t, "@s")
}

// A worker has 0, 1 and 2 in any case.
func TestStandardDescriptorsCountForTheLimit(t *testing.T) {
	t.Parallel()
	set := &Set{Sockets: Plan(parse(t, []string{"127.0.0.1:0=0"}, nil))}
	assert.EqualError(t, set.Fit(18), "1 socket reaches up to descriptor 2, and RLIMIT_NOFILE is 18: raise it (ulimit -n 1026)")
	assert.NoError(t, set.Fit(19))
}
