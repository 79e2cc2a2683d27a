//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listed are the workers in its status file.
func (d *daemon) listed() (pids []int) {
	d.t.Helper()
	for line := range strings.Lines(d.file("status")) {
		_, pid, _ := strings.Cut(strings.TrimSpace(line), ":")
		n, err := strconv.Atoi(pid)
		require.NoError(d.t, err)
		pids = append(pids, n)
	}
	return pids
}

// lists waits until its status file lists n workers, and returns them.
func (d *daemon) lists(n int) []int {
	d.t.Helper()
	eventually(d.t, func() bool { return len(d.listed()) == n }, func() string { return d.file("status") + d.out.String() })
	return d.listed()
}

func TestOrphansAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	addr, udp := "127.0.0.1:"+freePort(t), freePort(t)
	shared := "127.0.0.1:" + freePort(t)
	path := filepath.Join(dir, "http.sock")
	options := []string{"--replace-orphans", "--port=" + addr, "--port=u" + udp, "--port=" + shared + ",reuseport", "--path=http.sock",
		"--workers=2", "--status-file=status", "--pid-file=pid", "--control=ctl", "--interval=0.2", "--", filepath.Join(dir, "server")}
	// The server cannot serve HTTP on the UDP socket.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "server"), []byte(fmt.Sprintf("#!/bin/sh\nexport SERVER_STARTER_PORT=\"$(echo \"$SERVER_STARTER_PORT\" | tr ';' '\\n' | grep -v '^%s=' | paste -sd ';')\"\nexec %s -all\n", udp, hello)), 0o755))
	d := startIn(t, dir, nil, ours, options...)
	before := d.lists(2)
	file, err := os.Stat(path)
	require.NoError(t, err)
	d.answers(1, "tcp", addr)
	loads := []*load{startLoad(t, "tcp", addr, 2, 2), startLoad(t, "tcp", shared, 2, 2), startLoad(t, "unix", path, 2, 2)}
	for range 3 {
		d.isKilled()
		for _, pid := range before {
			require.True(t, alive(pid))
			t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
		}
		began := time.Now()
		d = startIn(t, dir, nil, ours, options...)
		d.sees(1, fmt.Sprintf(`^4 sockets taken over from workers of a superdaemon that was killed:%d,%d$`, before[0], before[1]))
		d.sees(1, fmt.Sprintf(`^sending TERM to workers of a superdaemon that was killed:%d,%d$`, before[0], before[1]))
		t.Logf("taken over after %v", time.Since(began))
		for _, pid := range before {
			d.sees(1, fmt.Sprintf(`^worker %d of a superdaemon that was killed is gone$`, pid))
			isGone(t, pid)
		}
		before = d.lists(2)
		for _, l := range loads {
			l.goesOn(20)
		}
	}
	for _, l := range loads {
		t.Logf("%d requests, the longest %v", l.answered.Load(), time.Duration(l.longest.Load()))
		l.stop()
	}
	after, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(file, after))
	d.stop()
	assert.NoFileExists(t, path)
	assert.NoFileExists(t, filepath.Join(dir, "status"))
	assert.Empty(t, d.strangers(nil))
}

// Orphans that do not go are killed at the timeout, and a stop waits for that. They write nothing,
// because no process reads their output any more.
func TestOrphansThatDoNotGoAreKilled(t *testing.T) {
	t.Parallel()
	for _, stop := range []bool{false, true} {
		dir := tempDir(t)
		options := []string{"--replace-orphans", "--port=127.0.0.1:" + freePort(t), "--status-file=status", "--interval=0.1", "--kill-timeout=1", "--signal-on-hup=USR1", "--",
			"/bin/sh", "-c", `trap ":" USR1; while :; do sleep 0.05; done`}
		d := startIn(t, dir, nil, ours, options...)
		orphan := d.lists(1)[0]
		d.isKilled()
		d = startIn(t, dir, nil, ours, options...)
		d.sees(1, fmt.Sprintf(`^sending USR1 to workers of a superdaemon that was killed:%d$`, orphan))
		if stop {
			d.stop()
			assert.False(t, alive(orphan))
		}
		d.sees(1, fmt.Sprintf(`^workers of a superdaemon that was killed are still there 1 secs after they were told to go, sending KILL:%d$`, orphan))
		isGone(t, orphan)
		if !stop {
			d.stop()
		}
	}
}

// An upgrade forgets no orphans: neither those that are told to go later, because no generation
// serves or after a delay, nor those that are to be killed.
func TestOrphansAreReplacedOverAnUpgrade(t *testing.T) {
	t.Parallel()
	const term, kill = `^sending TERM to workers of a superdaemon that was killed:%d$`, `^workers of a superdaemon that was killed are still there 1 secs after they were told to go, sending KILL:%d$`
	for _, row := range []struct {
		options []string
		serves  bool // the new worker serves at the upgrade
		told    bool // the orphan is told by then
	}{
		{[]string{"--interval=1.5"}, false, false},
		{[]string{"--interval=0.1", "--kill-old-delay=2"}, true, false},
		{[]string{"--interval=0.1"}, true, true},
	} {
		dir := tempDir(t)
		options := append(row.options, "--replace-orphans", "--port=127.0.0.1:"+freePort(t), "--control=ctl", "--status-file=status", "--kill-timeout=1",
			"--", "/bin/sh", "-c", `trap ":" TERM; while :; do sleep 0.05; done`)
		d := startIn(t, dir, nil, ours, options...)
		orphan := d.lists(1)[0]
		d.isKilled()
		d = startIn(t, dir, nil, ours, options...)
		if row.told {
			d.sees(1, fmt.Sprintf(term, orphan))
		}
		next := d.worker(1)
		eventually(t, func() bool { return !row.serves || d.listed()[0] == next }, d.out.String)
		d.upgraded("--keep-workers")
		assert.True(t, alive(orphan))
		d.sees(1, fmt.Sprintf(kill, orphan))
		isGone(t, orphan)
		d.sees(1, fmt.Sprintf(`^worker %d of a superdaemon that was killed is gone$`, orphan))
		assert.Len(t, d.sees(1, fmt.Sprintf(term, orphan)), 1)
		d.stop()
		d.runs()
	}
}

// As long as no generation serves the orphans serve on, and are found again.
func TestOrphansServeOnWhenTheNewOneFails(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	path := filepath.Join(dir, "http.sock")
	with := func(program ...string) []string {
		return append([]string{"--replace-orphans", "--path=http.sock", "--status-file=status", "--interval=1", "--attempts=1", "--"}, program...)
	}
	d := startIn(t, dir, nil, ours, with(hello)...)
	orphan := d.lists(1)[0]
	status := d.file("status")
	l := startLoad(t, "unix", path, 2, 2)
	d.isKilled()
	failing := startIn(t, dir, nil, ours, with("/bin/sh", "-c", "exit 3")...)
	assert.Equal(t, 1, failing.exit())
	assert.Contains(t, failing.out.String(), fmt.Sprintf("workers of a superdaemon that was killed go on:%d\n", orphan))
	assert.Equal(t, status, failing.file("status"))
	l.goesOn(20)
	d = startIn(t, dir, nil, ours, with(hello)...)
	isGone(t, orphan)
	l.goesOn(20)
	l.stop()
	d.stop()
	assert.NoFileExists(t, path)
}

// A process that is no orphan, or not the one that the status file meant, is left alone.
func TestWhoIsNoOrphanIsLetBe(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	port := "127.0.0.1:" + freePort(t)
	options := []string{"--replace-orphans", "--port=" + port, "--status-file=status", "--interval=0.1", "--", "sleep", "1000"}
	d := startIn(t, dir, nil, ours, options...)
	worker := d.lists(1)[0]
	code, printed := command(t, dir, ours, options...)
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, fmt.Sprintf(`replace-orphans: port %q: process %d (sleep 1000): it is no orphan: its parent, process %d (`, port, worker, d.cmd.Process.Pid))
	assert.Contains(t, printed, `is alive and has the socket, too: stop that first`)
	assert.Equal(t, 1, strings.Count(printed, "address already in use"))
	assert.True(t, alive(worker))
	d.stop()

	// A process that has got the pid of a worker, and one that has no socket.
	stranger := exec.Command("sleep", "1000")
	require.NoError(t, stranger.Start())
	defer stranger.Wait()
	defer stranger.Process.Kill()
	for _, written := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(time.Hour)} {
		d = startIn(t, dir, nil, ours, "--version")
		d.exit()
		file := filepath.Join(dir, "status")
		require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf("1:%d\n7:1\n", stranger.Process.Pid)), 0o644))
		require.NoError(t, os.Chtimes(file, written, written))
		d = startIn(t, dir, nil, ours, options...)
		eventually(t, func() bool { return d.file("status") == fmt.Sprintf("1:%d\n", d.worker(1)) }, d.out.String)
		assert.NotContains(t, d.out.String(), "that was killed")
		d.stop()
		assert.True(t, alive(stranger.Process.Pid))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), []byte("hello\n"), 0o644))
	d = startIn(t, dir, nil, ours, options...)
	d.worker(1)
	d.stop()
}

// The sockets of another user's processes may not be taken.
func TestOrphansOfAnotherUser(t *testing.T) {
	t.Parallel()
	root(t)
	dir := tempDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := ln.Addr().String()
	require.NoError(t, ln.Close())
	options := []string{"--replace-orphans", "--port=" + port, "--status-file=status", "--interval=0.1", "--", "sleep", "1000"}
	d := startIn(t, dir, nil, ours, options...)
	worker := d.lists(1)[0]
	d.isKilled()
	defer syscall.Kill(worker, syscall.SIGKILL)
	require.NoError(t, os.Chown(filepath.Join(dir, "status"), appUser, appUser))
	cmd := exec.Command(ours, options...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}}
	text, _ := cmd.CombinedOutput()
	assert.Equal(t, 1, cmd.ProcessState.ExitCode())
	assert.Contains(t, string(text), "address already in use")
	assert.Contains(t, string(text), fmt.Sprintf("; replace-orphans: port %q: cannot see what process %d (sleep 1000) has open: open /proc/%d/fd: permission denied; run as root or as its user, or end it: kill %d\n", port, worker, worker, worker))
	assert.Len(t, slices.Collect(strings.Lines(strings.TrimPrefix(string(text), "start_server"))), 2, "its start, and a line that says why")
	assert.True(t, alive(worker))
}

// The same user may take them even without a capability.
func TestOrphansOfTheSameUser(t *testing.T) {
	t.Parallel()
	root(t)
	dir := tempDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	options := []string{"--replace-orphans", "--port=127.0.0.1:" + freePort(t), "--path=http.sock", "--status-file=status", "--interval=0.1", "--", hello, "-all"}
	run := func() *daemon {
		cmd := exec.Command(ours, options...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}}
		return follow(t, dir, cmd)
	}
	d := run()
	orphan := d.lists(1)[0]
	before, err := os.Stat(filepath.Join(dir, "http.sock"))
	require.NoError(t, err)
	d.isKilled()
	d = run()
	d.sees(1, fmt.Sprintf(`^2 sockets taken over from workers of a superdaemon that was killed:%d$`, orphan))
	isGone(t, orphan)
	d.answers(1, "unix", filepath.Join(dir, "http.sock"))
	after, err := os.Stat(filepath.Join(dir, "http.sock"))
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	d.stop()
	assert.NoFileExists(t, filepath.Join(dir, "http.sock"))
}

// If the manager leaves the workers alone, as with KillMode=process, the sockets come from its
// store, and the workers are told to go.
func TestOrphansBesideTheStore(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	addr := "127.0.0.1:" + freePort(t)
	options := []string{"--fdstore", "--replace-orphans", "--port=" + addr, "--status-file=status", "--control=ctl", "--interval=0.1"}
	program := []string{"--", hello, "-all"}
	d := m.starts(dir, append(options, program...)...)
	orphan := d.lists(1)[0]
	l := startLoad(t, "tcp", addr, 2, 2)
	d.isKilled()
	d = m.starts(dir, append(options, program...)...)
	isGone(t, orphan)
	d.sees(1, fmt.Sprintf(`^worker %d of a superdaemon that was killed is gone$`, orphan))
	assert.NotContains(t, d.out.String(), "taken over")
	l.goesOn(20)
	d.upgraded(append(slices.DeleteFunc(options, func(o string) bool { return strings.HasPrefix(o, "--control") }), program...)...)
	d.answers(2, "tcp", addr)
	l.goesOn(20)
	l.stop()
	d.stop()
}
