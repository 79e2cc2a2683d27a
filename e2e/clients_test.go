//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// command runs start_server to its end, in dir.
func command(t *testing.T, dir, binary string, args ...string) (code int, printed string) {
	t.Helper()
	c := exec.Command(binary, args...)
	c.Dir = dir
	text, err := c.CombinedOutput()
	if c.ProcessState == nil {
		require.NoError(t, err)
	}
	return c.ProcessState.ExitCode(), string(text)
}

// asking starts a client command, which ends with the test if not before. printed
// waits for its end, and returns what it has printed.
func asking(t *testing.T, dir string, args ...string) (printed func() string) {
	t.Helper()
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), ours, args...)
	c.Dir, c.Stdout, c.Stderr = dir, &out, &out
	require.NoError(t, c.Start())
	wait := sync.OnceFunc(func() { c.Wait() })
	t.Cleanup(wait)
	return func() string {
		wait()
		return out.String()
	}
}

// client runs one of the client commands on d.
func (d *daemon) client(args ...string) (code int, printed string) {
	d.t.Helper()
	return command(d.t, d.dir, ours, append([]string{"--pid-file=pid", "--status-file=st"}, args...)...)
}

// startServed runs start_server with files for clients, until it serves.
func startServed(t *testing.T, binary string, options ...string) *daemon {
	t.Helper()
	d := startWorkers(t, binary, append([]string{"--pid-file=pid", "--status-file=st"}, options...)...)
	d.serves("st", "1:%d\n", d.worker(1))
	return d
}

func TestRestartAndStop(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=0.3")
	code, printed := d.client("--restart")
	assert.Zero(t, code, printed)
	assert.Empty(t, printed)
	assert.Equal(t, fmt.Sprintf("2:%d\n", d.worker(2)), d.file("st"), "--restart returned when it was done")
	isGone(t, d.worker(1))

	code, printed = d.client("--stop")
	assert.Zero(t, code, printed)
	assert.Contains(t, printed, fmt.Sprintf("stopping now (pid:%d)", d.cmd.Process.Pid))
	assert.NoFileExists(t, filepath.Join(d.dir, "pid"), "--stop returned when it was done")
	assert.Zero(t, d.exit())
}

func TestRestartTellsOfAFailure(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=1")
	d.write("broken", "")
	code, printed := d.client("--restart", "--timeout=30")
	assert.Equal(t, 1, code)
	assert.Regexp(t, fmt.Sprintf(`^start_server: restart failed: .*still serving: 1:%d; `, d.worker(1)), printed)

	require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))
	code, printed = d.client("--restart", "--timeout=30")
	assert.Zero(t, code, "failed attempts in between, and so any number, are no hindrance: %s", printed)
	d.stop()
}

func TestRestartTellsOfAFailureWhenNothingHasEverServed(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=1", "--pid-file=pid", "--status-file=st")
	d.sees(1, `seems to have failed to start`)
	code, printed := d.client("--restart", "--timeout=30")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "restart failed")
	d.stop()
}

// TestRestartIsNotAnsweredByAnEarlierOne: a generation is starting. Then a broken
// release is deployed, and another restart is asked for.
func TestRestartIsNotAnsweredByAnEarlierOne(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=1")
	d.signal(syscall.SIGHUP)
	d.sees(2, `^worker \d+ is up`)
	d.write("broken", "")
	code, printed := d.client("--restart", "--timeout=30")
	assert.Equal(t, 1, code)
	assert.Regexp(t, fmt.Sprintf(`restart failed: .*still serving: (%d:%d )?%d:%d;`, 1, d.worker(1), 2, d.worker(2)), printed)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))
	code, printed = d.client("--restart", "--timeout=30")
	assert.Zero(t, code, printed)
	d.stop()
}

func TestRestartDuringTheFirstStart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.5", "--pid-file=pid", "--status-file=st")
	d.sees(1, `^worker \d+ is up`)
	code, printed := d.client("--restart", "--timeout=30")
	assert.Zero(t, code, printed)
	assert.Equal(t, fmt.Sprintf("2:%d\n", d.worker(2)), d.file("st"), "generation 1 was begun before")
	d.stop()
}

func TestRestartTimesOut(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=3", "--kill-timeout=1")
	code, printed := d.client("--restart", "--timeout=0.2")
	assert.Equal(t, 1, code)
	assert.Equal(t, fmt.Sprintf("start_server: timed out after 200ms, and no newer generation is serving alone yet; start_server (pid:%d) goes on; last seen in its status file: 1:%d\n", d.cmd.Process.Pid, d.worker(1)), printed)
	d.stop()
}

func TestStopTimesOut(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--pid-file=pid", "--status-file=st")
	d.sees(1, `^worker \d+ is up`)
	code, printed := d.client("--stop", "--timeout=0.2")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, fmt.Sprintf("start_server (pid:%d) still holds pid file", d.cmd.Process.Pid))
	require.NoError(t, syscall.Kill(d.worker(1), syscall.SIGKILL))
	assert.Zero(t, d.exit())
}

func TestRestartWhenTheDaemonEndsMeanwhile(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=3")
	printed := asking(t, d.dir, "--pid-file=pid", "--status-file=st", "--restart", "--timeout=30")
	d.sees(1, "^received HUP")
	d.stop()
	assert.Contains(t, printed(), "has ended instead of restarting")
}

func TestClientsWithoutADaemon(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, client := range []string{"--restart", "--stop"} {
		code, printed := command(t, dir, ours, client, "--pid-file=pid", "--status-file=st")
		assert.Equal(t, 1, code)
		assert.Regexp(t, `^start_server: pid file "pid" does not exist: no start_server is running with it\n$`, printed)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pid"), []byte("4194305\n"), 0o644))
	code, printed := command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Equal(t, 1, code)
	assert.Equal(t, "start_server: pid file \"pid\" is stale: process 4194305, which it names, is gone\n", printed)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pid"), []byte("nonsense"), 0o644))
	code, printed = command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, `does not hold a pid but "nonsense"`)
}

// TestClientsAcrossImplementations: on the day when the binary is swapped, clients of
// one implementation ask the other.
func TestClientsAcrossImplementations(t *testing.T) {
	t.Parallel()
	perl := original(t)
	for _, c := range []struct{ daemon, client string }{{perl, ours}, {ours, perl}} {
		d := startServed(t, c.daemon, "--interval=1")
		d.isAttentive()
		code, printed := command(t, d.dir, c.client, "--pid-file=pid", "--status-file=st", "--restart")
		assert.Zero(t, code, printed)
		assert.Equal(t, fmt.Sprintf("2:%d\n", d.worker(2)), d.file("st"))
		d.isAttentive()
		code, printed = command(t, d.dir, c.client, "--pid-file=pid", "--stop")
		assert.Zero(t, code, printed)
		assert.Zero(t, d.exit())
	}
}

func TestStalePidFileIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pid"), []byte("4194305\n"), 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--pid-file=pid")
	d.worker(1)
	assert.Equal(t, fmt.Sprintf("%d\n", d.cmd.Process.Pid), d.file("pid"))
	d.stop()
}

func TestPidFileOfALiveProcessIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	socket := filepath.Join(dir, "sock")
	d := startWorkersIn(t, dir, nil, ours, "--pid-file=pid", "--path="+socket)
	d.worker(1)
	before, err := os.Stat(socket)
	require.NoError(t, err)
	code, printed := command(t, dir, ours, "--pid-file=pid", "--path="+socket, "--", "sleep", "100")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, fmt.Sprintf("is held by running process %d;", d.cmd.Process.Pid))
	assert.Equal(t, fmt.Sprintf("%d\n", d.cmd.Process.Pid), d.file("pid"), "not truncated")
	after, err := os.Stat(socket)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "the first one's socket is still there")
	d.stop()
	assert.NoFileExists(t, socket)
}

func TestStatusFileOfWhoHasThePortIsLeftAlone(t *testing.T) {
	t.Parallel()
	port := "--port=127.0.0.1:" + freePort(t)
	d := startServed(t, ours, "--interval=0.2", port)
	code, printed := command(t, d.dir, ours, port, "--status-file=st", "--", "sleep", "100")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "address already in use")
	assert.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("st"))
	d.stop()
}

// TestStatusFileIsWholeAtEveryRead reads as fast as it can while restarts go on.
func TestStatusFileIsWholeAtEveryRead(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=0")
	stop, torn := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(torn)
		for {
			select {
			case <-stop:
				return
			default:
			}
			text, err := os.ReadFile(filepath.Join(d.dir, "st"))
			if err != nil || len(text) == 0 || !strings.HasSuffix(string(text), "\n") {
				torn <- fmt.Sprintf("%q, %v", text, err)
				return
			}
		}
	}()
	for range 5 {
		code, printed := d.client("--restart", "--timeout=30")
		assert.Zero(t, code, printed)
	}
	close(stop)
	for what := range torn {
		assert.Fail(t, "the status file was not whole", what)
	}
	d.stop()
}
