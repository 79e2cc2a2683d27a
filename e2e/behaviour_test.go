//go:build linux

package e2e

import (
	"fmt"
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

// worker.sh is a server program for tests: it writes what it sees to
// gen-N.env, fails while a file "broken" is there, or once if it is "broken-once",
// and goes at TERM unless a file "stubborn" is there. It does so from when it says
// that it is up: a signal that comes before ends it as it would any program.
const workerScript = `#!/bin/sh
[ -e "$TESTDIR/broken" ] && exit 3
[ -e "$TESTDIR/broken-once" ] && rm "$TESTDIR/broken-once" && exit 3
[ -e "$TESTDIR/stubborn" ] && trap '' TERM || trap 'echo "told TERM: $$"; exit 0' TERM
trap 'echo "told USR1: $$"; exit 0' USR1
trap 'echo "told QUIT: $$"; exit 0' QUIT
{ pwd; env; } > "$TESTDIR/gen-$SERVER_STARTER_GENERATION.tmp$$"
mv "$TESTDIR/gen-$SERVER_STARTER_GENERATION.tmp$$" "$TESTDIR/gen-$SERVER_STARTER_GENERATION.env"
echo "worker $$ is up"
while :; do sleep 0.05; done
`

// startWorkers runs start_server with worker.sh.
func startWorkers(t *testing.T, binary string, options ...string) *daemon {
	t.Helper()
	return startWorkersIn(t, tempDir(t), nil, binary, options...)
}

func startWorkersIn(t *testing.T, dir string, env []string, binary string, options ...string) *daemon {
	t.Helper()
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, []byte(workerScript), 0o755))
	return startIn(t, dir, append(env, "TESTDIR="+dir), binary, append(options, "--", script)...)
}

// env reads what a generation's worker saw, as soon as it has written it.
func (d *daemon) env(generation int) map[string]string {
	d.t.Helper()
	name := fmt.Sprintf("gen-%d.env", generation)
	eventually(d.t, func() bool { return d.file(name) != "" }, func() string { return name + " is missing; printed:\n" + d.out.String() })
	vars := map[string]string{}
	for i, line := range strings.Split(d.file(name), "\n") {
		if i == 0 {
			vars["PWD of the process"] = line
			continue
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			vars[name] = value
		}
	}
	return vars
}

// before checks that one thing was printed before another.
func (d *daemon) before(first, then string) {
	d.t.Helper()
	text := d.out.String()
	i, j := strings.Index(text, first), strings.Index(text, then)
	assert.True(d.t, i >= 0 && j > i, "%q before %q in:\n%s", first, then, text)
}

func TestLifeInTheLog(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=1", "--status-file=st", "--pid-file=pid")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	assert.Equal(t, fmt.Sprintf("%d\n", d.cmd.Process.Pid), d.file("pid"))

	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, one))
	d.serves("st", "2:%d\n", two)

	d.sees(2, `^worker \d+ is up`)
	d.write("broken-once", "")
	d.signal(syscall.SIGHUP)
	three := d.worker(3)
	d.sees(1, fmt.Sprintf(`^new worker %d seems to have failed to start, exit status:768$`, three))
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, two))
	four := d.worker(4)
	d.serves("st", "4:%d\n", four)

	require.NoError(t, syscall.Kill(four, syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`^worker %d died unexpectedly with status:9, restarting$`, four))
	five := d.worker(5)
	d.serves("st", "5:%d\n", five)
	d.sees(1, fmt.Sprintf(`^worker %d is up`, five))

	d.stop()
	want := []string{
		fmt.Sprintf("start_server (pid:%d) starting now...", d.cmd.Process.Pid),
		fmt.Sprintf("starting new worker %d", one),
		"received HUP, spawning a new worker",
		fmt.Sprintf("starting new worker %d", two),
		fmt.Sprintf("new worker is now running, sending TERM to old workers:%d", one),
		"killing old workers",
		fmt.Sprintf("old worker %d died, status:0", one),
		"received HUP, spawning a new worker",
		fmt.Sprintf("starting new worker %d", three),
		fmt.Sprintf("new worker %d seems to have failed to start, exit status:768", three),
		fmt.Sprintf("starting new worker %d", four),
		fmt.Sprintf("new worker is now running, sending TERM to old workers:%d", two),
		"killing old workers",
		fmt.Sprintf("old worker %d died, status:0", two),
		fmt.Sprintf("worker %d died unexpectedly with status:9, restarting", four),
		fmt.Sprintf("starting new worker %d", five),
		fmt.Sprintf("received TERM, sending TERM to all workers:%d", five),
		fmt.Sprintf("worker %d died, status:0", five),
		"exiting",
	}
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(d.out.String()), "\n") {
		if !strings.HasPrefix(line, "worker ") || !strings.HasSuffix(line, "is up") {
			if !strings.HasPrefix(line, "told ") {
				got = append(got, line)
			}
		}
	}
	assert.Equal(t, want, got)
	assert.NoFileExists(t, filepath.Join(d.dir, "st"))
	assert.NoFileExists(t, filepath.Join(d.dir, "pid"))
}

// serves waits until the status file reads so.
func (d *daemon) serves(file, format string, args ...any) {
	d.t.Helper()
	want := fmt.Sprintf(format, args...)
	eventually(d.t, func() bool { return d.file(file) == want }, func() string {
		return fmt.Sprintf("the status file holds %q, not %q; printed:\n%s", d.file(file), want, d.out)
	})
}

func TestSignalsToWorkers(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--signal-on-hup=usr1", "--signal-on-term=SIGQUIT")
	d.sees(1, `^worker \d+ is up`)
	one := d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^told USR1: %d$`, one))
	d.sees(1, fmt.Sprintf(`^new worker is now running, sending USR1 to old workers:%d$`, one))
	two := d.worker(2)
	d.sees(2, `^worker \d+ is up`)
	d.stop()
	d.sees(1, fmt.Sprintf(`^received TERM, sending QUIT to all workers:%d$`, two))
	d.sees(1, fmt.Sprintf(`^told QUIT: %d$`, two))
}

func TestIntAndQuit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sig       syscall.Signal
		got, sent string
	}{{syscall.SIGINT, "INT", "TERM"}, {syscall.SIGQUIT, "QUIT", "QUIT"}} {
		d := startWorkers(t, ours, "--signal-on-term=USR1")
		d.sees(1, `^worker \d+ is up`)
		d.signal(c.sig)
		assert.Zero(t, d.exit())
		d.sees(1, fmt.Sprintf(`^received %s, sending %s to all workers:%d$`, c.got, c.sent, d.worker(1)))
		d.sees(1, fmt.Sprintf(`^told %s: %d$`, c.sent, d.worker(1)))
	}
}

func TestKillOldDelay(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--kill-old-delay=0.7")
	d.sees(1, `^worker \d+ is up`)
	assert.Equal(t, "0.7", d.env(1)["KILL_OLD_DELAY"])
	began := time.Now()
	d.signal(syscall.SIGHUP)
	d.sees(1, `^sleeping 0\.7 secs before killing old workers$`)
	d.sees(1, `^killing old workers$`)
	assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond, "the interval and the delay")
	d.sees(1, fmt.Sprintf(`^old worker %d died`, d.worker(1)))
	d.before("sleeping 0.7 secs", "killing old workers")
	d.before("killing old workers", "told TERM")
	d.stop()
}

func TestTermIsHeardDuringKillOldDelay(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--kill-old-delay=1h")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^sleeping 3600 secs`)
	d.stop()
	d.sees(1, fmt.Sprintf(`^received TERM, sending TERM to all workers:%d,%d$`, d.worker(1), d.worker(2)))
}

func TestNewWorkerDiesDuringKillOldDelay(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "env"), 0o755))
	delay := filepath.Join(dir, "env", "KILL_OLD_DELAY")
	require.NoError(t, os.WriteFile(delay, []byte("3600"), 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=1", "--envdir=env", "--status-file=st")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^sleeping 3600 secs`)
	d.write("broken", "")
	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGKILL))
	d.sees(2, `seems to have failed to start`)
	assert.True(t, alive(d.worker(1)), "the old worker is all that serves")
	d.serves("st", "1:%d\n", d.worker(1))
	require.NoError(t, os.WriteFile(delay, []byte("0.1"), 0o644))
	require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))
	d.sees(1, fmt.Sprintf(`^old worker %d died`, d.worker(1)))
	d.stop()
}

func TestHupAndTermDuringTheInterval(t *testing.T) {
	t.Parallel()
	// Long enough for the signals that have to come within it on a busy machine.
	d := startWorkers(t, ours, "--interval=2", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	d.sees(1, `^worker \d+ is up`)
	began := time.Now()
	d.signal(syscall.SIGHUP)
	d.worker(2)
	for range 10 {
		d.signal(syscall.SIGHUP)
	}
	d.sees(1, `^new worker is now running`)
	assert.GreaterOrEqual(t, time.Since(began), 2*time.Second, "the interval was cut short")
	d.sees(2, `^new worker is now running`)
	d.serves("st", "3:%d\n", d.worker(3))
	d.sees(1, fmt.Sprintf(`^old worker %d died`, d.worker(1)))
	assert.Equal(t, 1, strings.Count(d.out.String(), fmt.Sprintf("told TERM: %d", d.worker(1))))
	d.signal(syscall.SIGHUP)
	d.worker(4)
	d.stop()
	assert.Len(t, d.sees(2, `^new worker is now running`), 2, "TERM does not make an unproven worker live")
	assert.Len(t, d.sees(4, `^starting new worker`), 4, "eleven requests are two restarts")
}

func TestHupWhileAnOldWorkerDrains(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--status-file=st")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	d.sees(1, `^worker \d+ is up`)
	require.NoError(t, os.Remove(filepath.Join(dir, "stubborn")))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^killing old workers$`)
	d.signal(syscall.SIGHUP)
	three := d.worker(3)
	d.serves("st", "1:%d\n3:%d\n", one, three)
	require.NoError(t, syscall.Kill(one, syscall.SIGKILL))
	d.serves("st", "3:%d\n", three)
	d.stop()
}

func TestKillTimeout(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--kill-timeout=0.5")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^worker %d is still there 0.5 secs after it was told to go, sending KILL$`, d.worker(1)))
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:9$`, d.worker(1)))
	d.sees(2, `^worker \d+ is up`)
	d.stop()
	d.sees(1, fmt.Sprintf(`^worker %d died, status:9$`, d.worker(2)))
}

func TestWaitingForWorkersTakesNoCPU(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--kill-timeout=2")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM`)
	before := d.ticks()
	after := before
	eventually(t, func() bool {
		after = max(after, d.ticks())
		return strings.Contains(d.out.String(), "sending KILL")
	}, d.out.String)
	assert.Less(t, after-before, 20, "hundredths of a second, in two of waiting")
	assert.Zero(t, d.exit())
}

// ticks is the CPU time that it has used itself, in hundredths of a second, 0 if it is gone.
func (d *daemon) ticks() int {
	d.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, err := strconv.Atoi(fields[11])
	require.NoError(d.t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(d.t, err)
	return user + system
}

func TestFailingAtOnceIsNotTakenAsGood(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	d.write("broken", "")
	began := time.Now()
	d.signal(syscall.SIGHUP)
	d.sees(4, `seems to have failed to start`)
	assert.Greater(t, time.Since(began), 600*time.Millisecond, "0.1 + 0.2 + 0.4 s between the attempts")
	d.serves("st", "1:%d\n", d.worker(1))
	d.stop()
}

func TestAutoRestart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--enable-auto-restart", "--auto-restart-interval=0.5", "--kill-old-delay=0.1")
	d.sees(2, `^autorestart triggered \(interval=0\.5\)$`)
	env := d.env(2)
	assert.Equal(t, "1", env["ENABLE_AUTO_RESTART"])
	assert.Equal(t, "0.5", env["AUTO_RESTART_INTERVAL"])
	d.stop()
}

func TestAutoRestartIsForcedWhenAnOldWorkerStays(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, []string{"ENABLE_AUTO_RESTART=1", "AUTO_RESTART_INTERVAL=0.4", "KILL_OLD_DELAY=0"}, ours, "--interval=0.2", "--kill-timeout=3")
	d.sees(1, `^autorestart triggered \(interval=0\.4\)$`)
	d.sees(1, `^autorestart triggered \(forced, interval=0\.4\)$`)
	d.signal(syscall.SIGTERM)
	assert.Zero(t, d.exit())
}

func TestEnvdir(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	envdir := filepath.Join(dir, "env")
	require.NoError(t, os.Mkdir(envdir, 0o755))
	file := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(envdir, name), []byte(text), 0o644))
	}
	file("COLOUR", "  dark blue \nsecond line\n")
	file("EMPTY", "")
	file(".hidden", "x")
	d := startWorkersIn(t, dir, []string{"COLOUR=red"}, ours, "--interval=0.2", "--envdir=env")
	env := d.env(1)
	assert.Equal(t, "  dark blue ", env["COLOUR"])
	assert.NotContains(t, env, "EMPTY")
	assert.NotContains(t, env, ".hidden")
	assert.Equal(t, "env", env["ENVDIR"])

	require.NoError(t, os.Remove(filepath.Join(envdir, "COLOUR")))
	file("SHAPE", "round")
	file("KILL_OLD_DELAY", "0.3\n")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	env = d.env(2)
	assert.Equal(t, "red", env["COLOUR"], "what was there before")
	assert.Equal(t, "round", env["SHAPE"])
	d.sees(1, `^sleeping 0\.3 secs`)
	d.sees(1, `^old worker \d+ died`)

	file("ENABLE_AUTO_RESTART", "1")
	file("AUTO_RESTART_INTERVAL", "0.4")
	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGKILL))
	d.sees(1, `^autorestart triggered \(interval=0\.4\)$`)
	file("KILL_OLD_DELAY", "soon")
	d.sees(1, `KILL_OLD_DELAY: "soon" is not a duration`)
	d.stop()
}

func TestDirIsFollowedAtEverySpawn(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, release := range []string{"one", "two"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, release), 0o755))
	}
	current := filepath.Join(dir, "current")
	require.NoError(t, os.Symlink("one", current))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--dir=current")
	assert.Equal(t, filepath.Join(dir, "one"), d.env(1)["PWD of the process"])
	d.sees(1, `^worker \d+ is up`)

	require.NoError(t, os.Remove(current))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: working directory: stat current: no such file or directory$`)
	require.NoError(t, os.Symlink("two", current))
	d.sees(1, `^old worker \d+ died`)
	where, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", d.worker(2)))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "two"), where)
	d.stop()
}

func TestProgramRemovedAtARestart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	script := filepath.Join(d.dir, "worker.sh")
	require.NoError(t, os.Rename(script, script+".away"))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: program ".*/worker.sh": no such file or directory`)
	d.serves("st", "1:%d\n", d.worker(1))
	require.NoError(t, os.Rename(script+".away", script))
	d.sees(1, `^old worker \d+ died`)
	d.stop()
}

func TestStatusFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o755))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--status-file=sub/st")
	d.serves("sub/st", "1:%d\n", d.worker(1))
	require.NoError(t, os.RemoveAll(sub))
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^status file: .*no such file or directory: trying again until it is right$`)
	d.sees(1, `^old worker \d+ died`)
	require.NoError(t, os.Mkdir(sub, 0o755))
	d.sees(2, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.serves("sub/st", "3:%d\n", d.worker(3))
	d.stop()
}

func TestIgnoredSignals(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours)
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGUSR1)
	d.sees(1, `^received USR1, which means nothing to start_server: ignored$`)
	d.signal(syscall.SIGPIPE)
	d.stop()
}

func TestPortZero(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--port=127.0.0.1:0")
	host, fd, _ := strings.Cut(d.env(1)["SERVER_STARTER_PORT"], "=")
	assert.Equal(t, "3", fd)
	port, err := strconv.Atoi(strings.TrimPrefix(host, "127.0.0.1:"))
	require.NoError(t, err)
	assert.NotZero(t, port)
	d.stop()
}

// TestSignalsWhileEndingLeaveNothingBehind has a log command that does not end
// before more signals have come, so that start_server is waiting for it then.
func TestSignalsWhileEndingLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--pid-file=pid", "--status-file=st", "--path=sock", "--log-file=| tee -a log; until [ -e signalled ]; do sleep 0.05; done")
	seesIn(t, func() string { return d.file("log") }, 1, `^worker \d+ is up`)
	eventually(t, func() bool { return d.file("st") != "" }, func() string { return "no status file" })
	d.signal(syscall.SIGTERM)
	seesIn(t, func() string { return d.file("log") }, 1, `^exiting`)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT} {
		require.NoError(t, d.cmd.Process.Signal(sig), "it has ended too soon for this test")
	}
	d.write("signalled", "")
	assert.Zero(t, d.exit())
	for _, name := range []string{"pid", "st", "sock"} {
		assert.NoFileExists(t, filepath.Join(d.dir, name))
	}
}

func TestStatusFileOfAPredecessorIsRemoved(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "st"), []byte("7:4194305\n"), 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=5", "--status-file=st")
	d.worker(1)
	assert.NoFileExists(t, filepath.Join(dir, "st"))
	d.stop()
	assert.NoFileExists(t, filepath.Join(dir, "st"))
}

func TestStatusFileThatIsGoneAtTheEndIsNoFailure(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	require.NoError(t, os.Remove(filepath.Join(d.dir, "st")))
	d.stop()
}

// TestPID1ReapsOrphans runs start_server as PID 1 of a PID namespace, with a
// worker that leaves orphans behind and then waits until they are no more, not
// even as zombies.
func TestPID1ReapsOrphans(t *testing.T) {
	t.Parallel()
	unshare := needs(t, "unshare")
	if os.Getuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "a PID namespace needs root, and in CI nothing is skipped")
		t.Skip("a PID namespace needs root")
	}
	dir := tempDir(t)
	d := startIn(t, dir, nil, unshare, "--pid", "--fork", "--mount-proc", "--kill-child", ours, "--interval=0.3", "--status-file=st", "--", "/bin/sh", "-c",
		`trap 'exit 0' TERM
		for i in $(seq 50); do (sh -c 'echo $$ >> orphans' &); done
		left=50
		while [ $left != 0 ] || [ $(wc -l < orphans) != 50 ]; do
			left=0
			for pid in $(cat orphans); do [ -e /proc/$pid ] && left=1; done
			sleep 0.05
		done
		touch no-orphans
		while :; do sleep 0.05; done`)
	eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "no-orphans")); return err == nil },
		func() string { return "zombies stay; printed:\n" + d.out.String() })
	eventually(t, func() bool { return strings.HasPrefix(d.file("st"), "1:") }, func() string { return "the first worker is not live" })
	assert.NotContains(t, d.out.String(), "failed to start", "no status of ours was stolen")
}
