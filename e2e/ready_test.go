//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serversNotice restarts a server that says by itself when it is ready, under a
// load, and returns the load.
func (d *daemon) serversNotice(addr string, fresh, keepAlive int) *load {
	d.t.Helper()
	d.answers(1, "tcp", addr)
	d.isLive(1)
	l := startLoad(d.t, "tcp", addr, fresh, keepAlive)
	l.goesOn(100)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^new worker is now running, sending \w+ to old workers:%d$`, d.worker(1)))
	d.sees(1, fmt.Sprintf(`^worker %d is ready after [0-9.]+ secs$`, d.worker(2)))
	d.before(fmt.Sprintf("worker %d is ready", d.worker(2)), "new worker is now running")
	d.isLive(2)
	d.answers(2, "tcp", addr)
	l.goesOn(100)
	return l
}

func TestReadyBySayingSo(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=0.1", "--ready=notify", "--status-file=status", "--", hello, "-boot=300ms")
	after, err := strconv.ParseFloat(d.sees(1, `^worker \d+ is ready after ([0-9.]+) secs$`)[0], 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after, 0.3, "not by the interval")
	l := d.serversNotice(addr, 4, 4)
	l.stop()
	d.stop()
	d.runs()
}

// gunicorn's arbiter says that it is ready. With --preload it has loaded the
// application by then; without, its workers still have to load it.
func TestReadyOfGunicorn(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startIn(t, tempDir(t), []string{"PYTHONDONTWRITEBYTECODE=1"}, ours,
		"--port="+addr, "--interval=0.1", "--ready=notify", "--status-file=status", "--",
		needs(t, "gunicorn"), "--preload", "--workers=4", "--chdir="+filepath.Join(source, "e2e", "testdata"), "-b", "fd://3", "application:app")
	d.serversNotice(addr, 4, 0).stop()
	d.stop()
	d.runs()
}

func TestReadyOfPuma(t *testing.T) {
	t.Parallel()
	puma, addr := needsPuma(t), "127.0.0.1:"+freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=0.1", "--ready=notify", "--export=puma", "--status-file=status", "--",
		puma, "-C", inTestdata("puma.rb"), "-e", "production", "-b", "tcp://"+addr, inTestdata("config.ru"))
	d.serversNotice(addr, 4, 0).stop()
	d.stop()
	d.runs()
}

// notifier.sh notifies as files in its directory tell it to.
const notifierScript = `#!/bin/sh
trap 'echo "told TERM: $$"; exit 0' TERM
[ -e "$TESTDIR/broken" ] && exit 3
[ -e "$TESTDIR/silent" ] || systemd-notify --ready --status="serving $SERVER_STARTER_GENERATION"
[ -e "$TESTDIR/silent" ] && systemd-notify --status="loading $SERVER_STARTER_GENERATION"
echo "worker $$ is up"
while :; do sleep 0.05; done
`

func startNotifier(t *testing.T, dir string, options ...string) *daemon {
	t.Helper()
	needs(t, "systemd-notify")
	script := filepath.Join(dir, "notifier.sh")
	require.NoError(t, os.WriteFile(script, []byte(notifierScript), 0o755))
	return startIn(t, dir, []string{"TESTDIR=" + dir}, ours, append(options, "--ready=notify", "--status-file=st", "--", script)...)
}

func TestReadyOfAShellScript(t *testing.T) {
	t.Parallel()
	d := startNotifier(t, tempDir(t), "--interval=1", "--ready-timeout=20")
	one := d.worker(1)
	d.sees(1, fmt.Sprintf(`^worker %d is ready after [0-9.]+ secs$`, one))
	d.serves("st", "1:%d\n", one)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	d.serves("st", "2:%d\n", d.worker(2))
	d.stop()
}

func TestNeverReady(t *testing.T) {
	t.Parallel()
	d := startNotifier(t, tempDir(t), "--interval=0.2", "--ready-timeout=3")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	d.write("silent", "")
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	d.sees(1, fmt.Sprintf(`^new worker %d seems to have failed to start, not ready after [0-9.]+ secs, its last status: "loading 2"$`, two))
	d.sees(1, fmt.Sprintf(`^told TERM: %d$`, two))
	isGone(t, two)
	d.serves("st", "1:%d\n", one)
	assert.True(t, alive(one), "the old one serves on")
	require.NoError(t, os.Remove(filepath.Join(d.dir, "silent")))
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	d.stop()
	d.runs()
}

func TestNeverReadyAtTheStart(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=0.2", "--ready=notify", "--ready-timeout=0.3", "--attempts=1", "--", "sleep", "1000")
	assert.Equal(t, 1, d.exit())
	d.sees(1, `^giving up: new worker \d+ of generation 1 was not ready after \S+s$`)
	d.runs()
}

// environ reads a variable that a process was started with.
func environ(t *testing.T, pid int, name string) (value string) {
	t.Helper()
	// In the middle of execve(2) the file is empty, or only a part of it is read.
	eventually(t, func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		require.NoError(t, err)
		for pair := range strings.SplitSeq(string(text), "\x00") {
			if after, ok := strings.CutPrefix(pair, name+"="); ok {
				value = after
				return true
			}
		}
		return false
	}, func() string { return fmt.Sprintf("process %d has no variable %s", pid, name) })
	return value
}

// Any user may write to the socket. A notice that is not from a worker has no
// effect, and fills no log.
func TestFloodOfForgedNotices(t *testing.T) {
	t.Parallel()
	d := startNotifier(t, tempDir(t), "--interval=0.2", "--ready-timeout=300")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	conn, err := net.Dial("unixgram", environ(t, one, "NOTIFY_SOCKET"))
	require.NoError(t, err)
	defer conn.Close()

	d.write("silent", "")
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	began := time.Now()
	for range 4_000 {
		_, err := fmt.Fprintf(conn, "READY=1\nMAINPID=%d\nSTATUS=forged\n", two)
		require.NoError(t, err)
	}
	t.Logf("4,000 notices in %v", time.Since(began))
	assert.True(t, alive(one))
	d.serves("st", "1:%d\n", one)

	stop, flooded := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(flooded)
		for {
			select {
			case <-stop:
				return
			default:
				conn.Write([]byte("READY=1"))
			}
		}
	}()
	require.NoError(t, os.Remove(filepath.Join(d.dir, "silent")))
	require.NoError(t, syscall.Kill(two, syscall.SIGKILL))
	began = time.Now()
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	t.Logf("restarted in %v under the flood", time.Since(began))
	close(stop)
	<-flooded
	d.stop()
	lines := d.sees(1, `^ignored a notice from process .*$`)
	assert.Equal(t, fmt.Sprintf("ignored a notice from process %d: it belongs to no worker, or ended before that could be seen", os.Getpid()), lines[0])
	assert.LessOrEqual(t, len(lines), 1+int(time.Since(began)/time.Minute)+1)
	assert.NotContains(t, d.out.String(), "forged")
}

func TestNoticeSocketIsRemoved(t *testing.T) {
	t.Parallel()
	d := startIn(t, tempDir(t), nil, ours, "--interval=0.2", "--ready=notify", "--", "sleep", "1000")
	path := environ(t, d.worker(1), "NOTIFY_SOCKET")
	assert.FileExists(t, path)
	d.stop()
	assert.NoFileExists(t, path)
	assert.NoDirExists(t, filepath.Dir(path))
}

func TestAttemptsAtTheStart(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=1", "--attempts=2", "--", "/bin/sh", "-c", "exit 3")
	assert.Equal(t, 1, d.exit())
	assert.Len(t, d.sees(2, `^new worker \d+ seems to have failed to start, exit status:768$`), 2)
	d.sees(1, `^giving up: new worker \d+ of generation 2 failed after \S+: exit code 3$`)
	d.sees(1, `^start_server: new worker \d+ of generation 2 failed after \S+: exit code 3$`)
}

func TestAttemptsAtARestart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=1", "--attempts=2", "--status-file=st")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	d.write("broken", "")
	d.signal(syscall.SIGHUP)
	d.sees(2, `^new worker \d+ seems to have failed to start, exit status:768$`)
	d.sees(1, `^giving the restart up after 2 failed attempts, the old workers serve on: new worker \d+ of generation 3 failed after \S+: exit code 3$`)
	assert.True(t, alive(one))
	d.serves("st", "1:%d\n", one)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	d.serves("st", "4:%d\n", d.worker(4))
	d.stop()
}

// slots waits until the status file lists n workers, all of one generation, and
// returns their pids by slot.
func (d *daemon) slots(generation, n int) []int {
	d.t.Helper()
	var pids []int
	eventually(d.t, func() bool {
		pids = nil
		for line := range strings.Lines(d.file("status")) {
			pid, found := strings.CutPrefix(strings.TrimSpace(line), strconv.Itoa(generation)+":")
			if !found {
				return false
			}
			number, _ := strconv.Atoi(pid)
			pids = append(pids, number)
		}
		return len(pids) == n
	}, func() string {
		return fmt.Sprintf("not %d lines of generation %d: %q; printed:\n%s", n, generation, d.file("status"), d.out)
	})
	for slot, pid := range pids {
		assert.Equal(d.t, strconv.Itoa(slot), environ(d.t, pid, "SERVER_STARTER_WORKER"))
		assert.Equal(d.t, strconv.Itoa(slot), environ(d.t, pid, "EINHORN_CHILD_INDEX"))
		assert.Equal(d.t, strconv.Itoa(generation), environ(d.t, pid, "SERVER_STARTER_GENERATION"))
	}
	return pids
}

func TestSeveralWorkers(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=1", "--ready=notify", "--workers=3", "--status-file=status", "--", hello)
	first := d.slots(1, 3)

	// Only one is killed.
	require.NoError(t, syscall.Kill(first[1], syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`^worker %d died unexpectedly with status:9, restarting$`, first[1]))
	d.sees(4, `^worker \d+ is ready`)
	second := d.slots(1, 3)
	assert.Equal(t, []int{first[0], d.worker(4), first[2]}, second, "its slot was filled again, in the same generation")

	l := startLoad(t, "tcp", addr, 4, 4)
	for generation := 2; generation <= 4; generation++ {
		l.goesOn(100)
		d.signal(syscall.SIGHUP)
		d.runs(d.slots(generation, 3)...)
	}
	d.signal(syscall.SIGTTIN)
	d.sees(1, `^received TTIN, running 4 workers from now on$`)
	four := d.slots(4, 4)
	d.sees(1, fmt.Sprintf(`^worker %d is ready`, four[3]))
	l.goesOn(100)
	d.signal(syscall.SIGTTOU)
	d.sees(1, `^received TTOU, running 3 workers from now on$`)
	assert.Equal(t, four[:3], d.slots(4, 3))
	isGone(t, four[3])
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, four[3]))
	for range 3 {
		l.goesOn(100)
		d.signal(syscall.SIGTTOU)
		d.signal(syscall.SIGTTIN)
	}
	l.goesOn(100)
	l.stop()
	d.stop()
	d.runs()
}

func TestFewerWorkersThanOneThereAreNot(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=0.2", "--workers=1", "--status-file=status", "--", "sleep", "1000")
	one := d.slots(1, 1)
	d.signal(syscall.SIGTTOU)
	d.sees(1, `^received TTOU: ignored, as there is one worker, the least there can be$`)
	d.signal(syscall.SIGHUP)
	assert.NotEqual(t, one, d.slots(2, 1))
	d.stop()
}

// A lone worker is told no number, and TTIN and TTOU are left alone.
func TestOneWorkerIsToldNoNumber(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours)
	assert.NotContains(t, d.env(1), "SERVER_STARTER_WORKER")
	assert.NotContains(t, d.env(1), "EINHORN_CHILD_INDEX")
	assert.NotContains(t, d.env(1), "NOTIFY_SOCKET")
	d.stop()
}

func TestKillGroup(t *testing.T) {
	t.Parallel()
	const family = `trap '' TERM; (while :; do sleep 0.05; done) & echo "child $!"; wait; while :; do sleep 0.05; done`
	d := start(t, ours, "--interval=0.2", "--kill-group", "--kill-timeout=0.5", "--", "/bin/sh", "-c", family)
	one := d.worker(1)
	child, err := strconv.Atoi(d.sees(1, `^child (\d+)$`)[0])
	require.NoError(t, err)
	group, err := syscall.Getpgid(child)
	require.NoError(t, err)
	assert.Equal(t, one, group)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:9$`, one))
	isGone(t, child)
	d.signal(syscall.SIGTERM)
	assert.Zero(t, d.exit())
	for _, word := range d.sees(2, `^child (\d+)$`) {
		child, err := strconv.Atoi(word)
		require.NoError(t, err)
		isGone(t, child)
	}
}

func TestStopDelay(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=0.2", "--stop-delay=2", "--status-file=status", "--", hello)
	d.answers(1, "tcp", addr)
	d.isLive(1)
	began := time.Now()
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM, serving on for 2 secs before stopping$`)
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM again, `)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^received HUP while stopping: ignored$`)
	answered := 0
	for !strings.Contains(d.out.String(), "sending TERM to all workers") {
		c := client{network: "tcp", addr: addr}
		if _, err := c.get("/"); err != nil {
			break // it has just been told to go
		}
		answered++
	}
	assert.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	assert.NotZero(t, answered)
	assert.Zero(t, d.exit())
	t.Logf("%d requests answered after TERM", answered)
	assert.Less(t, time.Since(began), 20*time.Second)
}

func TestIntEndsTheStopDelay(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--stop-delay=1h")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM, serving on for 3600 secs before stopping$`)
	d.signal(syscall.SIGINT)
	assert.Zero(t, d.exit())
	d.sees(1, fmt.Sprintf(`^received INT, sending TERM to all workers:%d$`, d.worker(1)))
}

func TestBadCommandLineOfWorkers(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		"--ready=soon":      `--ready: "soon" is not interval, notify or probe`,
		"--ready=":          `--ready: its value is missing`,
		"--ready-timeout=5": `--ready-timeout: it needs --ready=notify or probe`,
		"--attempts=-1":     `--attempts: "-1" is not a number from 0 to 2147483647`,
		"--attempts=many":   `--attempts: "many" is not a number from 0 to 2147483647`,
		"--attempts=":       `--attempts: its value is missing`,
		"--workers=0":       `--workers: "0" is not a number from 1 to 10000`,
		"--workers=10001":   `--workers: "10001" is not a number from 1 to 10000`,
		"--workers=1.5":     `--workers: "1.5" is not a number from 1 to 10000`,
		"--kill-group=yes":  "--kill-group: it takes no value",
		"--stop-delay=-1":   `--stop-delay: duration "-1" is negative`,
		"--stop-delay=x":    `--stop-delay: "x" is not a duration such as 2, 0.5 or 300ms`,
		"--stop-delay=":     `--stop-delay: its value is missing`,
	} {
		code, printed := command(t, tempDir(t), ours, option, "--", "true")
		assert.Equal(t, 2, code, option)
		assert.Equal(t, "start_server: "+want+"\n", printed, option)
	}
	code, printed := command(t, tempDir(t), ours, "--ready=notify", "--ready-timeout=0", "--", "true")
	assert.Equal(t, 2, code)
	assert.Equal(t, "start_server: --ready-timeout: 0 is too short for any worker\n", printed)
}
