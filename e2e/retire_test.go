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

// ticks is the CPU time that it has used, without its children, in hundredths of a second; 0 if
// it is gone.
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
