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

// worker.sh is a server program for tests. It writes its environment to gen-N.env.
// It fails while a file "broken" is there, or once if the file is "broken-once". It
// ends at TERM unless a file "stubborn" is there, but only after it has said that it
// is up: a signal that comes before that ends it as it would any program.
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

// serves waits until the status file has exactly this text.
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

// On a busy machine a program may take longer to end than the shortest interval, and is rightly
// taken as good then. So the program here ends very soon, and the test is tried again.
func TestFailingAtOnceIsNotTakenAsGood(t *testing.T) {
	t.Parallel()
	eventually(t, func() bool {
		d := startWorkers(t, ours, "--interval=0", "--status-file=st")
		d.serves("st", "1:%d\n", d.worker(1))
		d.sees(1, `^worker \d+ is up$`) // its shell has read worker.sh
		d.write("worker.sh", "#!/bin/false\n")
		began := time.Now()
		d.signal(syscall.SIGHUP)
		count := func(what string) int { return strings.Count(d.out.String(), what) }
		tooLate := func() bool { return count("new worker is now running") > 0 }
		eventually(t, func() bool { return count("seems to have failed to start") >= 4 || tooLate() }, d.out.String)
		defer d.stop()
		if tooLate() {
			return false
		}
		assert.Greater(t, time.Since(began), 600*time.Millisecond, "0.1 + 0.2 + 0.4 s between the attempts")
		d.serves("st", "1:%d\n", d.worker(1))
		return true
	}, func() string { return "each time the program took longer than 0.1 s to end" })
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

// TestSignalsWhileEndingLeaveNothingBehind has a log command that ends only after
// more signals have come: start_server is waiting for it when they come.
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

// TestPID1ReapsOrphans runs start_server as PID 1 of a PID namespace, with a
// worker that leaves orphans behind and then waits until they are gone, not even
// zombies.
func TestPID1ReapsOrphans(t *testing.T) {
	t.Parallel()
	unshare := needs(t, "unshare")
	root(t)
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
