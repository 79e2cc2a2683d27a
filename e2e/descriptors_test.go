//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fdScript is a worker that tells what descriptors it has, and the flags of
// each (octal, fdinfo of proc(5)). It is a shell, because Go would change them. It
// opens nothing but what it needs. It starts no process for each descriptor: there
// may be a thousand.
const fdScript = `
trap 'exit 0' TERM
cd /proc/$$/fd
(exec ls -l . > "$TESTDIR/links")
for fd in *; do
	[ -e $fd ] || continue
	while read -r key value; do [ $key = flags: ] && echo "$fd $value"; done < ../fdinfo/$fd
done > "$TESTDIR/flags"
echo "$SERVER_STARTER_PORT" > "$TESTDIR/port"
mv "$TESTDIR/links" "$TESTDIR/fds"
while :; do sleep 0.05; done
`

type descriptor struct {
	target string
	flags  int64
}

// startFds runs fdScript by a shell that keeps no descriptor for itself.
func startFds(t *testing.T, options ...string) (*daemon, map[int]descriptor) {
	t.Helper()
	dir := tempDir(t)
	d := startIn(t, dir, []string{"TESTDIR=" + dir}, ours, append(options, "--", "/bin/sh", "-c", fdScript)...)
	eventually(t, func() bool { return d.file("fds") != "" }, func() string { return "the worker tells nothing; printed:\n" + d.out.String() })
	flags := map[string]int64{}
	for line := range strings.Lines(d.file("flags")) {
		words := strings.Fields(line)
		octal, err := strconv.ParseInt(words[1], 8, 64)
		require.NoError(t, err)
		flags[words[0]] = octal
	}
	fds := map[int]descriptor{}
	for _, link := range regexp.MustCompile(`(?m) (\d+) -> (.*)$`).FindAllStringSubmatch(d.file("fds"), -1) {
		fd, err := strconv.Atoi(link[1])
		require.NoError(t, err)
		require.Contains(t, flags, link[1])
		fds[fd] = descriptor{link[2], flags[link[1]]}
	}
	return d, fds
}

func numbers(fds map[int]descriptor) map[int]bool {
	sockets := map[int]bool{}
	for fd, d := range fds {
		if strings.HasPrefix(d.target, "socket:") {
			sockets[fd] = true
		}
	}
	return sockets
}

func TestWorkerSeesItsSocketsAndNothingElse(t *testing.T) {
	t.Parallel()
	a, b, c, u := freePort(t), freePort(t), freePort(t), freePort(t)
	path := filepath.Join(tempDir(t), "s")
	d, fds := startFds(t, "--port="+a, "--port=127.0.0.1:"+b+",[::1]:"+c, "--port=localhost:u"+u, "--path="+path)
	assert.Equal(t, fmt.Sprintf("%s=3;127.0.0.1:%s=4;[::1]:%s=5;localhost:%s=6;%s=7\n", a, b, c, u, path), d.file("port"))
	assert.Len(t, fds, 8, "0, 1, 2 and five sockets: %v", fds)
	for fd := 3; fd <= 7; fd++ {
		assert.Contains(t, fds[fd].target, "socket:")
		assert.Zero(t, fds[fd].flags&unix.O_NONBLOCK, "descriptor %d is nonblocking", fd)
	}
	d.stop()
	assert.NoFileExists(t, path)
}

func TestNoPort(t *testing.T) {
	t.Parallel()
	d, fds := startFds(t)
	assert.Equal(t, "\n", d.file("port"), "set and empty")
	assert.Len(t, fds, 3)
	d.stop()
}

func TestInheritedDescriptorsAreNotPassedOn(t *testing.T) {
	t.Parallel()
	var pipe [2]int
	require.NoError(t, unix.Pipe(pipe[:])) // not close-on-exec
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	d, fds := startFds(t)
	assert.Len(t, fds, 3, "%v", fds)
	d.stop()
}

func TestPinnedDescriptors(t *testing.T) {
	t.Parallel()
	p := []string{freePort(t), freePort(t), freePort(t), freePort(t)}
	d, fds := startFds(t, "--port=127.0.0.1:"+p[0], "--port=127.0.0.1:"+p[1]+"=4", "--port=127.0.0.1:"+p[2], "--port=127.0.0.1:"+p[3]+"=9")
	assert.Equal(t, fmt.Sprintf("127.0.0.1:%s=3;127.0.0.1:%s=4;127.0.0.1:%s=5;127.0.0.1:%s=9\n", p[0], p[1], p[2], p[3]), d.file("port"))
	assert.Equal(t, map[int]bool{3: true, 4: true, 5: true, 9: true}, numbers(fds))
	assert.Len(t, fds, 7)
	d.stop()
}

// TestEachPinnedNumberIsItsOwnSocket pins in every way that could mix sockets up: to
// numbers that another socket, or the socket itself, has in start_server.
func TestEachPinnedNumberIsItsOwnSocket(t *testing.T) {
	t.Parallel()
	for _, pins := range [][]int{{8, 7, 6, 5, 4, 3}, {4, 3, 6, 5, 8, 7}, {3, 4, 5, 6, 7, 8}, {5, 9, 6, 10, 7, 11}, {14, 13, 12, 11, 10, 9}} {
		var options []string
		want := map[int]string{}
		for _, fd := range pins {
			port := freePort(t)
			options = append(options, fmt.Sprintf("--port=127.0.0.1:%s=%d", port, fd))
			want[fd] = port
		}
		d, _ := startFds(t, options...)
		for fd, port := range want {
			assert.Equal(t, port, portOf(t, d.worker(1), fd), "descriptor %d of %v", fd, pins)
		}
		d.stop()
	}
}

// socketOf is our own descriptor of a process's socket, until the test ends.
func socketOf(t *testing.T, pid, fd int) int {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	defer unix.Close(pidfd)
	s, err := unix.PidfdGetfd(pidfd, fd, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(s) })
	return s
}

// portOf is the port that a process's socket is bound to. It does not read
// /proc/net/tcp: that is long after tests under load.
func portOf(t *testing.T, pid, fd int) string {
	t.Helper()
	addr, err := unix.Getsockname(socketOf(t, pid, fd))
	require.NoError(t, err)
	require.IsType(t, &unix.SockaddrInet4{}, addr)
	return strconv.Itoa(addr.(*unix.SockaddrInet4).Port)
}

func TestSocketPinnedToStdin(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	d, fds := startFds(t, "--port=127.0.0.1:"+port+"=0")
	assert.Equal(t, port, portOf(t, d.worker(1), 0))
	assert.Len(t, fds, 3)
	d.stop()
}

func TestThousandPortsWithPinsInTheMiddle(t *testing.T) {
	t.Parallel()
	var options, want []string
	for i := range 1000 {
		pin := ""
		fd := 3 + i
		if i == 500 {
			fd, pin = 600, "=600"
		} else if i > 500 && i <= 597 {
			fd--
		}
		options = append(options, "--port=127.0.0.1:0"+pin)
		want = append(want, strconv.Itoa(fd))
	}
	d, fds := startFds(t, options...)
	var got []string
	for _, pair := range strings.Split(strings.TrimSpace(d.file("port")), ";") {
		got = append(got, pair[strings.LastIndex(pair, "=")+1:])
	}
	assert.Equal(t, want, got)
	sockets := numbers(fds)
	assert.Len(t, sockets, 1000)
	for fd := 3; fd <= 1002; fd++ {
		assert.True(t, sockets[fd], "descriptor %d", fd)
		assert.Zero(t, fds[fd].flags&unix.O_NONBLOCK)
	}
	d.stop()
}

// TestBindingDetails looks at the sockets from inside start_server.
func TestBindingDetails(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	path := filepath.Join(dir, "s")
	v4, v6, udp := freePort(t), freePort(t), freePort(t)
	d := startIn(t, dir, nil, ours, "--backlog=7", "--port="+v4, "--port=[::]:"+v6, "--port=127.0.0.1:u"+udp, "--path="+path, "--", "sleep", "1000")
	worker := d.worker(1)
	get := func(fd int) int { return socketOf(t, worker, fd) }
	option := func(fd, level, name int) int {
		value, err := unix.GetsockoptInt(fd, level, name)
		require.NoError(t, err)
		return value
	}
	for fd := 3; fd <= 5; fd++ {
		want := 1
		if fd == 5 {
			want = 0 // or any user could bind the UDP port, too
		}
		assert.Equal(t, want, option(get(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR), "descriptor %d", fd)
	}
	assert.Equal(t, unix.AF_INET, option(get(3), unix.SOL_SOCKET, unix.SO_DOMAIN), "0.0.0.0 only")
	assert.Equal(t, unix.IPPROTO_TCP, option(get(3), unix.SOL_SOCKET, unix.SO_PROTOCOL), "not MPTCP")
	assert.Equal(t, 1, option(get(4), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY))
	assert.Equal(t, 1, option(get(3), unix.SOL_SOCKET, unix.SO_ACCEPTCONN))
	assert.Equal(t, unix.SOCK_DGRAM, option(get(5), unix.SOL_SOCKET, unix.SO_TYPE))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o777, info.Mode())
	tcpInfo, err := unix.GetsockoptTCPInfo(get(3), unix.IPPROTO_TCP, unix.TCP_INFO)
	require.NoError(t, err)
	assert.EqualValues(t, 7, tcpInfo.Sacked, "of a listening socket, the backlog")
	d.stop()
}

func TestUDPPacketsReachTheWorker(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	dir := tempDir(t)
	d := startIn(t, dir, nil, ours, "--port=127.0.0.1:u"+port+"=0", "--", "/bin/sh", "-c", "exec head -c 5 > got; sleep 100")
	conn, err := net.Dial("udp", "127.0.0.1:"+port)
	require.NoError(t, err)
	defer conn.Close()
	d.worker(1)
	_, err = conn.Write([]byte("hello"))
	require.NoError(t, err)
	eventually(t, func() bool { return d.file("got") == "hello" }, func() string { return "the packet did not arrive: " + d.file("got") })
	d.signal(syscall.SIGTERM)
	d.exit()
}

func TestExistingSocketFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	path := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	d := startIn(t, dir, nil, ours, "--path="+path, "--", "sleep", "1000")
	d.sees(1, "^removing existing socket file:"+path+"$")
	d.worker(1)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()
	d.stop()
	assert.NoFileExists(t, path)
}

// A process of another user that binds the UDP port, with all options that let two share it, is
// refused, and the worker gets the packets.
func TestNobodyStealsUDP(t *testing.T) {
	t.Parallel()
	root(t)
	port := freePort(t)
	d := start(t, ours, "--port=127.0.0.1:u"+port, "--", "sleep", "1000")
	d.worker(1)
	python := "/usr/bin/python3"
	needs(t, python)
	thief := exec.Command(python, "-c", `import socket,sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))`, port)
	thief.Dir = "/"
	thief.SysProcAttr = &syscall.SysProcAttr{Credential: stranger}
	text, err := thief.CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(text), "Address already in use")
	d.stop()
}

// The original allows brackets around an IPv4 address, too. A path may be as long as the system
// allows.
func TestBracketsAndLongPaths(t *testing.T) {
	t.Parallel()
	dir, port := tempDir(t), freePort(t)
	path := filepath.Join(dir, strings.Repeat("x", 107-len(dir)-1))
	d := startIn(t, dir, nil, ours, "--port=[127.0.0.1]:"+port, "--path="+path, "--interval=0.2", "--", "/bin/sh", "-c", `echo "told: $SERVER_STARTER_PORT"; exec sleep 1000`)
	d.sees(1, "^told: 127.0.0.1:"+port+"=3;"+path+"=4$")
	for network, addr := range map[string]string{"tcp": "127.0.0.1:" + port, "unix": path} {
		conn, err := net.Dial(network, addr)
		require.NoError(t, err)
		conn.Close()
	}
	d.stop()
}
