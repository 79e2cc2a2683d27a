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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogFile(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "log"), []byte("what was there\n"), 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--log-file=log")
	read := func() string { return d.file("log") }
	seesIn(t, read, 1, `^worker \d+ is up$`)
	for _, fd := range []string{"1", "2"} {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", d.cmd.Process.Pid, fd))
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(dir, "log"), target, "its own output goes there too")
	}
	d.stop()
	assert.Equal(t, fmt.Sprintf("start_server (pid:%d) starting now...\n", d.cmd.Process.Pid), d.out.String(), "before the log is open")
	log := read()
	assert.Regexp(t, `^what was there\n(worker \d+ is up\n)?starting new worker `, log, "appended")
	assert.True(t, strings.HasSuffix(log, "\nexiting\n"), log)
}

func TestLogCommand(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"plain words": "| tee -a log", "shell": "|sed -u s/^/L:/ >> log"} {
		d := startWorkers(t, ours, "--log-file="+line)
		seesIn(t, func() string { return d.file("log") }, 1, `^(L:)?worker \d+ is up$`)
		d.stop()
		assert.Regexp(t, `(?s)worker \d+ died, status:0\n(L:)?exiting\n$`, d.file("log"), "%s: the last line is there when start_server has gone", name)
	}
}

// TestLoggerIsKilled: a worker counts into a log command that is killed again
// and again while the worker holds the only port.
func TestLoggerIsKilled(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	port := freePort(t)
	logger := filepath.Join(dir, "logger.sh")
	require.NoError(t, os.WriteFile(logger, []byte("#!/bin/sh\necho $$ >> pids\nls -l /proc/$$/fd >> fds\nexec cat >> log\n"), 0o755))
	count := filepath.Join(dir, "count.sh")
	require.NoError(t, os.WriteFile(count, []byte(`#!/bin/sh
trap 'exit 0' TERM
for i in $(seq 400); do
	echo "line $i"
	[ $((i % 100)) = 0 ] || continue
	echo pausing
	until [ -e "go$i" ]; do sleep 0.01; done
done
echo done
while :; do sleep 0.05; done
`), 0o755))
	d := startIn(t, dir, nil, ours, "--interval=0.2", "--port=127.0.0.1:"+port, "--log-file=| "+logger, "--", count)
	for n := 1; n <= 3; n++ {
		pids := seesIn(t, func() string { return d.file("pids") }, n, `^\d+$`)
		pid, err := strconv.Atoi(pids[n-1])
		require.NoError(t, err)
		// A kill loses lines that the command has read and not written: so wait until there are none.
		seesIn(t, func() string { return d.file("log") }, n, `^pausing$`)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		isGone(t, pid) // until then its read(2) may still take something
		d.write(fmt.Sprintf("go%d", n*100), "")
		seesIn(t, func() string { return d.file("pids") }, n+1, `^\d+$`)
	}
	d.write("go400", "")
	seesIn(t, func() string { return d.file("log") }, 1, `^done$`)
	d.stop()
	log := d.file("log")
	lost := 0
	for i := 1; i <= 400; i++ {
		if !strings.Contains(log, fmt.Sprintf("line %d\n", i)) {
			lost++
		}
	}
	assert.Zero(t, lost, "lines lost with three loggers killed")
	assert.Equal(t, 3, strings.Count(log, "died unexpectedly with status:9, restarting"))
	assert.NotContains(t, d.file("fds"), "socket:", "the logger holds no port")
	ln, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err, "the port is free again")
	ln.Close()
}

func TestDaemonize(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, []byte(workerScript), 0o755))
	port := freePort(t)
	c := exec.Command(ours, "--daemonize", "--log-file=log", "--pid-file=pid", "--interval=0.2", "--port=127.0.0.1:"+port, "--", script)
	c.Dir, c.Env = dir, append(os.Environ(), "TESTDIR="+dir)
	began := time.Now()
	text, err := c.CombinedOutput() // returns only when no process holds our pipe any more
	require.NoError(t, err, "%s", text)
	pidText, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err, "the pid file is there when the command returns")
	pid, err := strconv.Atoi(strings.TrimSpace(string(pidText)))
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Kill(-pid, syscall.SIGKILL) })
	assert.Less(t, time.Since(began), deadline)
	assert.Equal(t, fmt.Sprintf("start_server (pid:%d) starting now...\n", pid), string(text))

	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err, "and it is bound")
	conn.Close()
	d := &daemon{t: t, dir: dir}
	assert.NotContains(t, d.env(1), "START_SERVER_DAEMON_FD")
	for _, p := range []int{pid, d.loggedWorker()} {
		stdin, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", p))
		require.NoError(t, err)
		assert.Equal(t, "/dev/null", stdin)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	assert.NotEqual(t, strconv.Itoa(syscall.Getpgrp()), strings.Fields(string(stat))[4], "a session of its own")

	code, printed := command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Zero(t, code, printed)
	isGone(t, pid)
}

// loggedWorker is the pid of the first worker, from the file "log".
func (d *daemon) loggedWorker() int {
	pid, err := strconv.Atoi(seesIn(d.t, func() string { return d.file("log") }, 1, `^starting new worker (\d+)`)[0])
	require.NoError(d.t, err)
	return pid
}

func TestDaemonizeTellsTheCallerOfFaults(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	code, printed := command(t, dir, ours, "--daemonize", "--log-file=log", "--port="+ln.Addr().String(), "--", "sleep", "100")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "address already in use")
	code, printed = command(t, dir, ours, "--daemonize", "--log-file=no/such/dir/log", "--", "sleep", "100")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "no such file or directory")
	code, printed = command(t, dir, ours, "--daemonize", "--log-file=log", "--interval=x", "--", "sleep", "100")
	assert.Equal(t, 2, code)
	assert.Contains(t, printed, `--interval: "x" is not a duration`)
	code, printed = command(t, dir, ours, "--daemonize", "--", "sleep", "100")
	assert.Equal(t, 2, code)
	assert.Contains(t, printed, "--daemonize needs --log-file")
}

// Workers do not need the superdaemon for their output. While it is stopped, or
// after it was killed, more than a pipe holds gets through, every line.
func TestOutputNeedsNoSuperdaemon(t *testing.T) {
	t.Parallel()
	const script = `for n in 1 2; do
		until [ -e "go$n" ]; do sleep 0.05; done
		i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "output $n line $i"; done
		echo "end $n"
	done; sleep 1000`
	for _, log := range []string{"log", "| cat >> log"} {
		d := start(t, ours, "--interval=0.2", "--log-file="+log, "--", "/bin/sh", "-c", script)
		read := func() string { return d.file("log") }
		seesIn(t, read, 1, `^starting new worker \d+$`)
		d.signal(syscall.SIGSTOP)
		d.write("go1", "")
		seesIn(t, read, 1, `^end 1$`)
		d.signal(syscall.SIGKILL)
		d.write("go2", "")
		seesIn(t, read, 1, `^end 2$`)
		for n := 1; n <= 2; n++ {
			assert.Equal(t, 20000, strings.Count(read(), fmt.Sprintf("output %d line ", n)), "%s", log)
		}
	}
}

// Sockets that systemd, or another parent, passes to the command are for the daemon.
func TestDaemonizeWithSocketsFromAbove(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, []byte(workerScript), 0o755))
	var files []*os.File
	var ports []string
	for range 8 {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		f, err := ln.(*net.TCPListener).File()
		require.NoError(t, err)
		defer f.Close()
		files, ports = append(files, f), append(ports, ln.Addr().String())
	}
	line := "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=web:api exec " + ours +
		" --daemonize --log-file=log --pid-file=pid --interval=0.2 --port=tenth@fd://10 --inherit=api --export=systemd -- " + script
	c := exec.Command("/bin/sh", "-c", line)
	c.Dir, c.Env, c.ExtraFiles = dir, append(os.Environ(), "TESTDIR="+dir), files
	text, err := c.CombinedOutput()
	require.NoError(t, err, "%s", text)
	d := &daemon{t: t, dir: dir}
	pid, err := strconv.Atoi(strings.TrimSpace(d.file("pid")))
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Kill(-pid, syscall.SIGKILL) })
	env := d.env(1)
	assert.Equal(t, ports[7]+"=3;"+ports[1]+"=4", env["SERVER_STARTER_PORT"])
	assert.Equal(t, "tenth:api", env["LISTEN_FDNAMES"])
	assert.Equal(t, "2", env["LISTEN_FDS"])
	assert.Equal(t, strconv.Itoa(d.loggedWorker()), env["LISTEN_PID"])
	code, printed := command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Zero(t, code, printed)
	isGone(t, pid)
}

// The last words of a worker come before the line about its end, so they are among the lines that
// tell why it has failed.
func TestLastWordsTellWhy(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"plain", "json"} {
		dir := tempDir(t)
		script := filepath.Join(dir, "worker.sh")
		require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n[ -e fail ] || exec sleep 1000\nseq 2000\necho 'no such \"database\"'\nexit 3\n"), 0o755))
		d := startIn(t, dir, nil, ours, "--control=ctl", "--log-file=log", "--log-workers", "--log-format="+form, "--attempts=1", "--interval=0.1",
			"--ready=probe", "--probe=exec:test ! -e fail", "--ready-timeout=60", "--", script) // however slowly it fails
		eventually(t, func() bool { code, _ := d.ask("--status"); return code == 0 }, d.out.String)
		d.write("fail", "")
		for range 5 {
			code, printed := d.ask("--restart", "--timeout=60")
			assert.Equal(t, 1, code, printed)
			assert.Regexp(t, `\nstart_server:   \[\d+[^]]*\] 2000\nstart_server:   \[\d+[^]]*\] no such "database"\n$`, printed)
			assert.NotContains(t, printed, "{")
		}
		d.stop()
	}
	dir := tempDir(t)
	code, printed := command(t, dir, ours, "--log-file=log", "--log-workers", "--log-format=json", "--daemonize=ready", "--", "/bin/sh", "-c", "echo no database; exit 3")
	assert.Equal(t, 1, code, printed)
	assert.Regexp(t, `(?m)^start_server:   \[\d+\] no database$`, printed)
}
