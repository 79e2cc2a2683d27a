//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// activated runs start_server under systemd-socket-activate, which listens on
// addresses, waits for the first connection and becomes start_server.
func activated(t *testing.T, dir string, addresses []string, names string, args ...string) *daemon {
	t.Helper()
	var all []string
	for _, addr := range addresses {
		all = append(all, "--listen="+addr)
	}
	if names != "" {
		all = append(all, "--fdname="+names)
	}
	all = append(all, "--setenv=TESTDIR="+dir, ours)
	return startIn(t, dir, nil, needs(t, "systemd-socket-activate"), append(all, args...)...)
}

// connects makes the first connection to the address, which makes start_server run.
func connects(t *testing.T, network, addr string) {
	t.Helper()
	eventually(t, func() bool {
		c, err := net.Dial(network, addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, func() string { return "nobody listens on " + addr })
}

// startActivatedWorkers runs worker.sh on a port that comes from above.
func startActivatedWorkers(t *testing.T, names string, options ...string) *daemon {
	t.Helper()
	dir := tempDir(t)
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, []byte(workerScript), 0o755))
	addresses := []string{"127.0.0.1:" + freePort(t)}
	for range strings.Count(names, ":") {
		addresses = append(addresses, "127.0.0.1:"+freePort(t))
	}
	d := activated(t, dir, addresses, names, append(options, "--", script)...)
	connects(t, "tcp", addresses[0])
	return d
}

func TestActivatedRestarts(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := activated(t, tempDir(t), []string{addr}, "web", "--inherit=web", "--interval=0.4", "--status-file=status", "--", hello)
	d.restartUnderLoad(restarts, "tcp", addr, 4, 4).stop()
	d.stop()
	d.runs()
}

func TestActivatedPathStays(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	path := filepath.Join(dir, "http.sock")
	d := activated(t, dir, []string{path}, "", "--inherit", "--interval=0.4", "--status-file=status", "--", hello)
	d.restartUnderLoad(3, "unix", path, 4, 4).stop()
	d.stop()
	d.runs()
	info, err := os.Lstat(path)
	require.NoError(t, err, "who has bound a path removes it")
	assert.Equal(t, os.ModeSocket, info.Mode().Type())
}

// The variables of the manager about sockets are for start_server only.
func TestActivatedWorkersDoNotHearOfIt(t *testing.T) {
	t.Parallel()
	d := startActivatedWorkers(t, "web", "--inherit=web", "--interval=0.2")
	env := d.env(1)
	for name := range env {
		assert.False(t, strings.HasPrefix(name, "LISTEN_"), "%s=%s", name, env[name])
	}
	assert.Regexp(t, `^127\.0\.0\.1:\d+=3$`, env["SERVER_STARTER_PORT"])
	d.stop()
}

func TestActivatedWorkersHearOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := startActivatedWorkers(t, "web:api", "--inherit", "--export=systemd", "--interval=0.2")
	for generation := 1; generation <= 2; generation++ {
		env := d.env(generation)
		assert.Equal(t, strconv.Itoa(d.worker(generation)), env["LISTEN_PID"])
		assert.Equal(t, "2", env["LISTEN_FDS"])
		assert.Equal(t, "web:api", env["LISTEN_FDNAMES"])
		d.sees(generation, `^worker \d+ is up$`)
		d.signal(syscall.SIGHUP)
	}
	d.stop()
}

// Sockets that are not asked for by name are not for the workers.
func TestActivatedByName(t *testing.T) {
	t.Parallel()
	d := startActivatedWorkers(t, "api:web:web", "--inherit=web", "--export=systemd", "--interval=0.2")
	env := d.env(1)
	assert.Equal(t, "2", env["LISTEN_FDS"])
	assert.Equal(t, "web:web", env["LISTEN_FDNAMES"])
	assert.Len(t, strings.Split(env["SERVER_STARTER_PORT"], ";"), 2)
	sockets := 0
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", d.worker(1)))
	require.NoError(t, err)
	for _, fd := range fds {
		if link, _ := os.Readlink(fd); strings.HasPrefix(link, "socket:") {
			sockets++
		}
	}
	assert.Equal(t, 2, sockets)
	d.stop()
}

// listenerFile is a bound socket as a parent would pass it on.
func listenerFile(t *testing.T, network, addr string) (*os.File, string) {
	t.Helper()
	ln, err := net.Listen(network, addr)
	require.NoError(t, err)
	if l, ok := ln.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	t.Cleanup(func() { f.Close() })
	return f, ln.Addr().String()
}

func TestPortThatIsADescriptor(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	file, addr := listenerFile(t, "tcp4", "127.0.0.1:0")
	path := filepath.Join(dir, "http.sock")
	unix, _ := listenerFile(t, "unix", path)
	cmd := exec.Command(ours, "--port=fd://4", "--port=web@fd://3", "--interval=0.4", "--status-file=status", "--", hello, "-all")
	cmd.ExtraFiles = []*os.File{file, unix}
	d := follow(t, dir, cmd)
	d.restartUnderLoad(3, "tcp", addr, 4, 4).stop()
	d.answers(4, "unix", path)
	d.stop()
	d.runs()
	assert.FileExists(t, path, "who has bound a path removes it")
	connects(t, "tcp", addr) // the caller still has it, too
}

// TestBadInheritance: one clear line, exit 2, nothing touched.
func TestBadInheritance(t *testing.T) {
	t.Parallel()
	listener, _ := listenerFile(t, "tcp4", "127.0.0.1:0")
	regular, err := os.Create(filepath.Join(tempDir(t), "regular"))
	require.NoError(t, err)
	defer regular.Close()
	here, there, err := socketPair()
	require.NoError(t, err)
	defer here.Close()
	defer there.Close()
	const mine = "LISTEN_PID=$$ "
	for _, c := range []struct {
		env  string // what a shell sets
		args string
		want string
	}{
		{"", "--inherit", "no socket is passed, as LISTEN_FDS and LISTEN_PID are not set"},
		{"", "--inherit=web", "no socket is passed, as LISTEN_FDS and LISTEN_PID are not set"},
		{"LISTEN_FDS=1 ", "--inherit", "LISTEN_PID are not set"},
		{"LISTEN_FDS=1 LISTEN_PID=1 ", "--inherit", `LISTEN_PID is "1" and not our own, `},
		{"LISTEN_FDS=1 LISTEN_PID=x ", "--inherit", `LISTEN_PID is "x" and not our own, `},
		{mine + "LISTEN_FDS=0 ", "--inherit", `LISTEN_FDS is "0", which is no number of sockets`},
		{mine + "LISTEN_FDS=many ", "--inherit", `LISTEN_FDS is "many", which is no number of sockets`},
		{mine + "LISTEN_FDS=1 LISTEN_FDNAMES=a:b ", "--inherit", `LISTEN_FDNAMES="a:b" names 2 sockets, and LISTEN_FDS is 1`},
		{mine + "LISTEN_FDS=1 LISTEN_FDNAMES=web ", "--inherit=api", `inherit "api": LISTEN_FDNAMES="web" has no such name`},
		{mine + "LISTEN_FDS=1 ", "--inherit=web", `inherit "web": LISTEN_FDNAMES="" has no such name`},
		{mine + "LISTEN_FDS=2 LISTEN_FDNAMES=web:log ", "--inherit", "descriptor 4 is a file, not a socket"},
		{mine + "LISTEN_FDS=9 ", "--inherit=*", "descriptor 8 is not open"},
		{"", "--port=fd://9", `"fd://9": descriptor 9 is not open`},
		{"", "--port=fd://4", `"fd://4": descriptor 4 is a file, not a socket`},
		{"", "--port=fd://0", `"fd://0": descriptor 0 is a terminal or another device, not a socket`},
		{"", "--port=fd://5", `"fd://5": descriptor 5 is a connection, not a listening socket`},
		{"", "--port=fd://3,fd://3", `"fd://3"`},
		{"", "--port=fd://x", `"fd://x"`},
		{"", "--port=fd://-1", `"fd://-1"`},
		{"", "--port=fd://", `"fd://"`},
	} {
		dir, port := tempDir(t), freePort(t)
		line := c.env + "exec " + ours + " --port=127.0.0.1:" + port + " --path=left.sock --pid-file=left.pid --status-file=left.st --control=left.ctl " + c.args + " -- touch left.over"
		cmd := exec.Command("/bin/sh", "-c", line)
		cmd.Dir = dir
		cmd.ExtraFiles = []*os.File{listener, regular, here}
		text, err := cmd.CombinedOutput()
		require.NotNil(t, cmd.ProcessState, err)
		assert.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s%s: %s", c.env, c.args, text)
		printed := string(text)
		assert.Contains(t, printed, c.want, "%s%s", c.env, c.args)
		assert.True(t, strings.HasPrefix(printed, "start_server: "), printed)
		if !strings.Contains(c.args, "*") { // more than one of nine sockets is not open
			assert.Equal(t, 1, strings.Count(printed, "\n"), "%s%s: one line, not %q", c.env, c.args, printed)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		require.NoError(t, err)
		assert.Empty(t, left, "%s%s left something behind", c.env, c.args)
		_, err = net.Dial("tcp", "127.0.0.1:"+port)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

// socketPair is the two ends of a connection.
func socketPair() (here, there *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "here"), os.NewFile(uintptr(fds[1]), "there"), nil
}
