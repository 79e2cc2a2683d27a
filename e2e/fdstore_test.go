//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// stored is a descriptor that a service manager keeps.
type stored struct {
	name string
	file *os.File
}

// keeps does what a message asks of the descriptor store.
func (m *serviceManager) keeps(text string, rights []byte) {
	name := ""
	lines := strings.Split(text, "\n")
	for _, line := range lines {
		if value, ok := strings.CutPrefix(line, "FDNAME="); ok {
			name = value
		}
	}
	if slices.Contains(lines, "FDSTOREREMOVE=1") {
		m.store = slices.DeleteFunc(m.store, func(s stored) bool {
			if s.name == name {
				s.file.Close()
			}
			return s.name == name
		})
	}
	messages, _ := unix.ParseSocketControlMessage(rights)
	for _, message := range messages {
		fds, _ := unix.ParseUnixRights(&message)
		for _, n := range fds {
			unix.CloseOnExec(n)
			assert.True(m.t, slices.Contains(lines, "FDSTORE=1") && slices.Contains(lines, "FDPOLL=0"), text)
			m.store = append(m.store, stored{name, os.NewFile(uintptr(n), name)})
		}
	}
}

// kept are the names in the store, sorted.
func (m *serviceManager) kept() (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.store {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// hasKept waits until exactly these are in the store.
func (m *serviceManager) hasKept(want ...string) {
	m.t.Helper()
	slices.Sort(want)
	eventually(m.t, func() bool { return slices.Equal(m.kept(), want) }, func() string { return fmt.Sprintf("%q and not %q", m.kept(), want) })
}

// starts runs a service in dir, which gets what is in the store.
func (m *serviceManager) starts(dir string, args ...string) *daemon {
	m.t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", ours}, args...)...)
	cmd.Env = append(os.Environ(), m.env()...)
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, s := range m.store {
		names = append(names, s.name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, s.file)
	}
	if len(names) > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	}
	return follow(m.t, dir, cmd)
}

// endsAll ends a service whose main process was killed, as systemd does.
func (d *daemon) endsAll() {
	d.t.Helper()
	d.isKilled()
	syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
}

// queuers connect as fast as they can, and read the answer later.
type queuers struct {
	t       *testing.T
	stop    chan struct{}
	clients sync.WaitGroup
	mu      sync.Mutex
	opened  int // connections
	refused []error
	cut     int // connections that were accepted, and not answered
	served  int
	longest time.Duration
}

func startQueuers(t *testing.T, network, addr string) *queuers {
	q := &queuers{t: t, stop: make(chan struct{})}
	q.clients.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-q.stop:
				return
			case <-tick.C:
			}
			conn, err := net.DialTimeout(network, addr, deadline)
			q.mu.Lock()
			if err != nil {
				q.refused = append(q.refused, err)
			} else {
				q.opened++
				q.clients.Go(func() { q.ask(conn) })
			}
			q.mu.Unlock()
		}
	})
	return q
}

func (q *queuers) ask(conn net.Conn) {
	defer conn.Close()
	began := time.Now()
	conn.SetDeadline(began.Add(deadline))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	n, err := conn.Read(make([]byte, 512))
	q.mu.Lock()
	defer q.mu.Unlock()
	if n == 0 || err != nil {
		q.cut++
		return
	}
	q.served++
	q.longest = max(q.longest, time.Since(began))
}

// end stops them, and returns how many connections were cut.
func (q *queuers) end() int {
	q.t.Helper()
	close(q.stop)
	q.clients.Wait()
	assert.Empty(q.t, q.refused, "refused")
	assert.Equal(q.t, q.opened, q.served+q.cut)
	q.t.Logf("%d connections, 0 refused, %d cut, the longest wait %v", q.opened, q.cut, q.longest)
	return q.cut
}

func TestKilledSuperdaemonFindsItsSockets(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	addr := "127.0.0.1:" + freePort(t)
	path := filepath.Join(dir, "http.sock")
	options := []string{"--fdstore", "--port=" + addr, "--path=http.sock", "--status-file=status", "--interval=0.1", "--", hello, "-all"}
	d := m.starts(dir, options...)
	tcp := "start_server/0/-/tcp+127.0.0.1+" + strings.TrimPrefix(addr, "127.0.0.1:") + "+0+false"
	m.hasKept(tcp, "start_server/0/-/unix+http.sock")
	d.answers(1, "tcp", addr)
	before, err := os.Stat(path)
	require.NoError(t, err)
	for range 3 {
		ports, paths := startQueuers(t, "tcp", addr), startQueuers(t, "unix", path)
		eventually(t, func() bool { ports.mu.Lock(); defer ports.mu.Unlock(); return ports.served > 20 }, d.out.String)
		d.endsAll()
		killed := time.Now()
		waiting, err := net.Dial("tcp", addr)
		require.NoError(t, err, "it is in the queue")
		waitingAtPath, err := net.Dial("unix", path)
		require.NoError(t, err)
		d = m.starts(dir, options...)
		for _, conn := range []net.Conn{waiting, waitingAtPath} {
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			conn.SetDeadline(time.Now().Add(deadline))
			n, err := conn.Read(make([]byte, 512))
			assert.NoError(t, err)
			assert.NotZero(t, n)
			conn.Close()
		}
		t.Logf("served again after %v", time.Since(killed))
		ports.end()
		paths.end()
	}
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "the path is the same socket's")
	m.hasKept(tcp, "start_server/0/-/unix+http.sock")
	assert.NotContains(t, d.out.String(), "not taken")
	assert.NotContains(t, m.String(), "FDSTOREREMOVE")
	d.stop()
	after, err = os.Stat(path)
	require.NoError(t, err, "it stays for systemctl restart")
	assert.True(t, os.SameFile(before, after))
	d = m.starts(dir, options...)
	d.answers(1, "unix", path)
	d.stop()
}

// The sockets that are asked for change from one start to the next, and by an upgrade.
func TestStoreIsKeptUpToDate(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	one, two := freePort(t), freePort(t)
	name := func(nth int, slot, port string) string {
		return fmt.Sprintf("start_server/%d/%s/tcp+127.0.0.1+%s+0+false", nth, slot, port)
	}
	common := []string{"--control=ctl", "--interval=0.1"}
	program := []string{"--", hello, "-all"}
	with := func(options ...string) []string { return slices.Concat(common, options, program) }
	first := with("--fdstore", "--port=127.0.0.1:"+one, "--port=127.0.0.1:0", "--port=127.0.0.1:0", "--path=a.sock,mode=600")
	d := m.starts(dir, first...)
	names := []string{name(0, "-", one), name(0, "-", "0"), name(1, "-", "0"), "start_server/0/-/unix+a.sock"}
	m.hasKept(names...)
	ports := d.sees(1, `^starting new worker`)
	require.NotEmpty(t, ports)
	d.endsAll()

	d = m.starts(dir, with("--fdstore", "--port=127.0.0.1:"+one+",reuseport", "--workers=2", "--path=a.sock,mode=640")...)
	m.hasKept(name(0, "0", one), name(0, "1", one), "start_server/0/-/unix+a.sock")
	info, err := os.Stat(filepath.Join(dir, "a.sock"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
	d.answers(1, "tcp", "127.0.0.1:"+one)
	d.signal(syscall.SIGTTIN)
	m.hasKept(name(0, "0", one), name(0, "1", one), name(0, "2", one), "start_server/0/-/unix+a.sock")
	d.endsAll()

	d = m.starts(dir, with("--fdstore", "--port=127.0.0.1:"+one+",reuseport", "--workers=3")...)
	m.hasKept(name(0, "0", one), name(0, "1", one), name(0, "2", one))
	assert.NoFileExists(t, filepath.Join(dir, "a.sock"), "it is given up")
	for range 30 {
		d.answers(1, "tcp", "127.0.0.1:"+one)
	}
	d.upgraded(slices.Concat([]string{"--fdstore", "--port=127.0.0.1:" + one + ",reuseport", "--workers=3", "--port=127.0.0.1:" + two, "--interval=0.1"}, program)...)
	m.hasKept(name(0, "0", one), name(0, "1", one), name(0, "2", one), name(0, "-", two))
	d.upgraded(slices.Concat([]string{"--fdstore", "--port=127.0.0.1:" + two, "--interval=0.1"}, program)...)
	m.hasKept(name(0, "-", two))
	d.upgraded()
	d.upgraded(slices.Concat([]string{"--port=127.0.0.1:" + two, "--interval=0.1"}, program)...)
	m.hasKept()
	d.upgraded(slices.Concat([]string{"--fdstore", "--port=127.0.0.1:" + two, "--interval=0.1"}, program)...)
	m.hasKept(name(0, "-", two))
	d.endsAll()

	d = m.starts(dir, with("--port=127.0.0.1:"+two)...)
	d.answers(1, "tcp", "127.0.0.1:"+two)
	m.hasKept()
	d.stop()
}

// A long path does not fit into a name, and a blank in it is escaped.
func TestStoreOfStrangePaths(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	long := strings.Repeat("é", 50)
	options := []string{"--fdstore", "--path=" + long, "--path=a b:c", "--interval=0.1", "--", hello, "-all"}
	d := m.starts(dir, options...)
	eventually(t, func() bool { return len(m.kept()) == 2 }, d.out.String)
	for _, name := range m.kept() {
		assert.Regexp(t, `^start_server/0/-/(#[0-9a-f]{32}|unix\+a\+b%3Ac)$`, name)
	}
	before, err := os.Stat(filepath.Join(dir, long))
	require.NoError(t, err)
	d.endsAll()
	d = m.starts(dir, options...)
	d.answers(1, "unix", filepath.Join(dir, "a b:c"))
	after, err := os.Stat(filepath.Join(dir, long))
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	d.stop()
}

// Sockets of a .socket unit come beside those of the store.
func TestStoreBesideInheritedSockets(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	addr := "127.0.0.1:" + freePort(t)
	above, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer above.Close()
	file, err := above.(*net.TCPListener).File()
	require.NoError(t, err)
	m.store = append(m.store, stored{"web", file})
	options := []string{"--fdstore", "--inherit", "--port=" + addr, "--interval=0.1", "--", hello, "-all"}
	d := m.starts(dir, options...)
	eventually(t, func() bool { return len(m.kept()) == 2 }, d.out.String)
	d.endsAll()
	d = m.starts(dir, options...)
	d.answers(1, "tcp", addr)
	d.answers(1, "tcp", above.Addr().String())
	d.stop()
}

func TestStoreBadInput(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, row := range []struct {
		args []string
		env  []string
		says string
	}{
		{[]string{"--fdstore", "--", "true"}, nil, "start_server: fdstore: there is no service manager to keep the sockets, as NOTIFY_SOCKET is not set\n"},
		{[]string{"--replace-orphans", "--", "true"}, nil, "start_server: --replace-orphans needs --status-file\n"},
		{[]string{"--fdstore=1", "--", "true"}, nil, "start_server: --fdstore: it takes no value\n"},
		{[]string{"--inherit", "--", "true"}, []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=start_server/0/-/x"}, "start_server: inherit: all sockets that LISTEN_FDS passes are those of the descriptor store: a .socket unit of systemd passes others\n"},
	} {
		c := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", ours}, row.args...)...)
		c.Dir, c.Env = dir, append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") }), row.env...)
		text, _ := c.CombinedOutput()
		assert.Equal(t, 2, c.ProcessState.ExitCode(), row.args)
		assert.Equal(t, row.says, string(text), row.args)
	}
}
