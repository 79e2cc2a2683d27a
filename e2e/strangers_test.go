//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// systemPython is a Python that any user may run.
const systemPython = "/usr/bin/python3"

// runAs runs a Python script as a user until the test ends, and returns when the script
// has printed a line.
func runAs(t *testing.T, as *syscall.Credential, script string, args ...string) {
	t.Helper()
	needs(t, systemPython)
	cmd := exec.Command(systemPython, append([]string{"-c", script}, args...)...)
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
}

// As many clients of the workers' user as are allowed ask and do not read. They keep neither
// root nor our own user out.
func TestWorkersUserLocksNobodyOut(t *testing.T) {
	t.Parallel()
	root(t)
	d := startIn(t, openDir(t), nil, ours, "--user=nobody", "--control=ctl", "--interval=0.2", "--status-file=st", "--", "sleep", "1000")
	d.serves("st", "1:%d\n", d.worker(1))
	for range 5 {
		runAs(t, &syscall.Credential{Uid: 65534, Gid: 65534}, `import socket, sys, time
conns = []
for _ in range(16):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.setblocking(False)
    conns.append(s)
for _ in range(200):
    for s in conns:
        try: s.send(b'{"command":"worker:ack"}\n' * 100)
        except OSError: pass
print("full", flush=True)
time.sleep(1000)`, filepath.Join(d.dir, "ctl"))
	}
	for range 5 {
		code, printed := d.ask("--restart", "--timeout=25")
		assert.Zero(t, code, printed)
	}
	assert.Equal(t, 6, d.status().Generation)
	d.stop()
}

// Any process may listen at the path: a client of root trusts only root and itself.
func TestClientAsksNoStranger(t *testing.T) {
	t.Parallel()
	root(t)
	dir := openDir(t)
	const liar = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
s.listen()
print("listening", flush=True)
while True:
    c, _ = s.accept()
    f = c.makefile("rw")
    for line in f:
        f.write('{"version":1,"ok":true,"generation":7,"status":{"name":"\\u001b[31mgotcha","pid":1,"state":"serving","generation":7,"workers":[]}}\n')
        f.flush()`
	path := filepath.Join(dir, "ctl")
	runAs(t, stranger, liar, path)
	for what, want := range map[string]int{"--restart": 1, "--stop": 1, "--status": 4} {
		code, printed := command(t, dir, ours, what, "--control=ctl", "--timeout=10")
		assert.Equal(t, want, code)
		assert.Regexp(t, `^start_server: control socket "ctl": process \d+ listens there and runs as user 65533, neither as user 0 nor as root: .*\n$`, printed)
	}
}

// Text of the superdaemon itself cannot control a terminal either.
func TestClientPrintsNothingThatIsNotPrintable(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	const escapes = `\u001b[31m\u0007\u009b2J\u007f\u202e`
	ln, err := net.Listen("unix", filepath.Join(dir, "ctl"))
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			in := bufio.NewScanner(conn)
			for in.Scan() {
				answer := `{"version":1,"ok":true,"status":{"name":"x` + escapes + `","pid":1,"state":"` + escapes + `","generation":1,"workers":[{"pid":2,"state":"live` + escapes +
					`","says":"` + escapes + `"}],"sockets":[{"name":"` + escapes + `","network":"tcp","address":"` + escapes + `"}]}}`
				if strings.Contains(in.Text(), "restart") {
					answer = `{"version":1,"ok":false,"error":"no` + escapes + `","log":["` + escapes + `"]}`
				}
				fmt.Fprintln(conn, answer)
			}
			conn.Close()
		}
	}()
	for _, what := range [][]string{{"--status"}, {"--status", "--json"}, {"--restart"}} {
		_, printed := command(t, dir, ours, append(what, "--control=ctl", "--timeout=10")...)
		assert.NotEmpty(t, printed)
		assert.NotRegexp(t, "[\x00-\x09\x0b-\x1f\x7f-\u009f\u202e]", printed, "%s printed %q", what, printed)
	}
}

// A deployment may write to the envdir. The name of a file there forges no log line.
func TestNamesForgeNoLogLine(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "env"), 0o755))
	d := startIn(t, dir, nil, ours, "--envdir=env", "--interval=0.2", "--status-file=st", "--", "sleep", "1000")
	d.serves("st", "1:%d\n", d.worker(1))
	d.write("env/A\nexiting\n\x1b[31m\u009b", "a\x00b\n")
	d.signal(syscall.SIGHUP)
	d.sees(1, `failed to start: envdir: .*holds a NUL`)
	assert.NotRegexp(t, `(?m)^exiting$`, d.out.String())
	assert.NotContains(t, d.out.String(), "\x1b")
	d.stop()
}
