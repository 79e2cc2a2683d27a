//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// release makes the program that the next workers run: hello, or one that is
// broken.
func (d *daemon) release(script string) {
	d.t.Helper()
	d.write("next", script)
	require.NoError(d.t, os.Rename(filepath.Join(d.dir, "next"), filepath.Join(d.dir, "release")))
}

const brokenRelease = "#!/bin/sh\necho cannot load the application\nexit 4\n"

func goodRelease() string { return "#!/bin/sh\nexec " + hello + "\n" }

// TestRollingUnderLoad restarts four workers thirty times, slot by slot. Every
// tenth release is broken, and rolled back.
func TestRollingUnderLoad(t *testing.T) {
	t.Parallel()
	dir, addr := tempDir(t), "127.0.0.1:"+freePort(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "release"), []byte(goodRelease()), 0o755))
	d := startIn(t, dir, nil, ours, "--port="+addr, "--workers=4", "--rolling", "--ready=notify", "--interval=0",
		"--attempts=1", "--control=ctl", "--status-file=status", "--log-file=log", "--", "./release")
	eventually(t, func() bool { return strings.Count(d.file("status"), "\n") == 4 }, func() string { return d.file("log") })
	pids := d.slots(1, 4)
	l := startLoad(t, "tcp", addr, 4, 4)
	l.goesOn(100)
	generation := 1
	for n := range 30 {
		if n%10 == 5 {
			d.release(brokenRelease)
			code, printed := d.ask("--restart", "--timeout=30")
			assert.Equal(t, 1, code)
			assert.Regexp(t, `restart failed: new worker \d+ of generation \d+ failed after \S+: exit code 4\n`, printed)
			assert.Contains(t, printed, "start_server:   cannot load the application\n")
			generation++
			assert.Equal(t, pids, d.slots(generation-1, 4), "the old workers are as they were")
			d.release(goodRelease())
		}
		code, printed := d.ask("--restart", "--drained", "--timeout=60")
		require.Zero(t, code, printed)
		generation++
		pids = d.slots(generation, 4)
	}
	l.goesOn(100)
	l.stop()
	t.Logf("%d requests answered, the longest in %v ns", l.answered.Load(), l.longest.Load())
	s := d.status()
	assert.Equal(t, 30, s.Restarts)
	assert.Equal(t, 30, s.Workers[3].Restarts, "of its slot: the broken ones were in another")
	d.stop()
}

// TestRollingIsOneByOne: with --surge=1 there are never more than five processes
// for four workers.
func TestRollingIsOneByOne(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--workers=4", "--rolling", "--interval=0.2", "--control=ctl", "--status-file=status")
	old := d.slots(1, 4)
	code, printed := d.ask("--restart", "--drained", "--timeout=30")
	assert.Zero(t, code, printed)
	d.slots(2, 4)
	there, most := 0, 0
	for line := range strings.Lines(d.out.String()) {
		if strings.HasPrefix(line, "starting new worker") {
			there++
		} else if strings.HasPrefix(line, "old worker") {
			there--
		}
		most = max(most, there)
	}
	assert.Equal(t, 5, most)
	for slot, pid := range old {
		d.sees(1, fmt.Sprintf(`^new worker \d+ is now running in slot %d, sending TERM to old workers:%d$`, slot, pid))
	}
	d.sees(1, `^all workers are of generation 2 now$`)
	d.stop()
}

// A restart that fails at its third slot leaves new workers in the first two, and the
// old ones in the others.
func TestRollingThatFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--workers=4", "--rolling", "--interval=1", "--attempts=1", "--control=ctl", "--status-file=status")
	old := d.slots(1, 4)
	d.write("worker.sh", strings.Replace(workerScript, "\n", "\n[ $SERVER_STARTER_WORKER = 2 ] && exit 5\n", 1))
	code, printed := d.ask("--restart", "--timeout=30")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "exit code 5")
	assert.Contains(t, printed, fmt.Sprintf("still serving: 1:%d 1:%d 2:", old[2], old[3]))
	for slot, pid := range old {
		assert.Equal(t, slot >= 2, alive(pid), "slot %d", slot)
	}
	d.write("worker.sh", workerScript)
	code, printed = d.ask("--restart", "--drained", "--timeout=30")
	assert.Zero(t, code, printed)
	d.slots(3, 4)
	d.stop()
}

func TestRollingByHUPAndTTIN(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--workers=3", "--rolling", "--surge=2", "--interval=0.2", "--status-file=status")
	d.slots(1, 3)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^received HUP, spawning a new worker$`)
	d.signal(syscall.SIGTTIN)
	d.slots(2, 4)
	d.stop()
}

func TestRollingBadInput(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]string{
		"--rolling":                       "--rolling needs --workers",
		"--rolling --workers=2 --surge=3": "--surge: 3 is more than there are workers, 2",
		"--workers=2 --surge=1":           "--surge needs --rolling",
		"--ready=nosuch":                  `--ready: "nosuch" is not interval, notify or probe`,
	} {
		code, printed := command(t, tempDir(t), ours, append(strings.Fields(options), "--", "sleep", "1000")...)
		assert.Equal(t, 2, code)
		assert.Equal(t, "start_server: "+want+"\n", printed)
	}
}
