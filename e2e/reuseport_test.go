//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program builds a worker of testdata.
func program(t *testing.T, name string) string {
	t.Helper()
	out := filepath.Join(tempDir(t), name)
	build := exec.Command("go", "build", "-o", out, "./e2e/testdata/"+name)
	build.Dir = source
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	return out
}

const reuseportWorkers = 4

// startReuseport starts four workers, and waits until all serve. With the option
// reuseport each has a socket of its own.
func startReuseport(t *testing.T, addr, options string, program ...string) *daemon {
	t.Helper()
	d := start(t, ours, append([]string{"--port=" + addr + options, fmt.Sprintf("--workers=%d", reuseportWorkers), "--ready=notify", "--interval=0.1",
		"--control=ctl", "--status-file=status", "--"}, program...)...)
	d.slots(1, reuseportWorkers)
	return d
}

// A connection that waits in a worker's own queue is not lost when that worker is
// replaced or dies: the superdaemon holds the queue. A connection that a killed worker
// has accepted is lost; these workers are killed between two connections.
func TestReuseportUnderLoad(t *testing.T) {
	t.Parallel()
	const times = 40
	addr := "127.0.0.1:" + freePort(t)
	d := startReuseport(t, addr, ",reuseport", program(t, "oneatatime"))
	l := startLoad(t, "tcp", addr, 8, 0)
	for n := range times {
		code, printed := d.ask("--restart", "--drained", "--timeout=30")
		require.Zero(t, code, printed)
		d.slots(n+2, reuseportWorkers)
	}
	restarted := l.answered.Load()
	c := client{network: "tcp", addr: addr}
	for n := range times {
		_, err := c.get("/die")
		require.NoError(t, err)
		d.sees(n+1, `^worker \d+ died unexpectedly with status:9, restarting$`)
		eventually(t, func() bool { return strings.Count(d.file("status"), "\n") == reuseportWorkers },
			func() string { return "the slot is not filled again: " + d.file("status") })
	}
	l.goesOn(100)
	l.stop()
	t.Logf("%d requests in %d restarts, %d more in %d kills, none lost", restarted, times, l.answered.Load()-restarted, times)
	d.stop()
	d.runs()
}

// The same with fewer workers, and then more again: a worker that has to go first
// serves what waits for it.
func TestReuseportResizeUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startReuseport(t, addr, ",reuseport", program(t, "oneatatime"))
	l := startLoad(t, "tcp", addr, 8, 0)
	for range 10 {
		for _, n := range []int{1, 3, 2, reuseportWorkers} {
			require.Equal(t, true, d.talk(fmt.Sprintf(`{"command":"workers","workers":%d}`, n))[0]["ok"])
			eventually(t, func() bool { return strings.Count(d.file("status"), "\n") == n },
				func() string { return fmt.Sprintf("not %d workers: %s", n, d.file("status")) })
			l.goesOn(50)
		}
	}
	l.stop()
	d.stop()
	d.runs()
}

// TestReuseportBalance: which of four workers answers, with a queue for each and with
// one for all.
func TestReuseportBalance(t *testing.T) {
	t.Parallel()
	for _, options := range []string{"", ",reuseport"} {
		addr := "127.0.0.1:" + freePort(t)
		d := startReuseport(t, addr, options, hello)
		const requests = 4000
		answers := make(map[string]int)
		for range requests {
			c := client{network: "tcp", addr: addr}
			answer, err := c.get("/")
			require.NoError(t, err)
			answers[answer]++
		}
		var shares []string
		for answer, n := range answers {
			shares = append(shares, fmt.Sprintf("%.1f%%", 100*float64(n)/requests))
			if options != "" {
				assert.InDelta(t, requests/reuseportWorkers, n, requests/reuseportWorkers/3, "%s: by a hash, each gets about a quarter", answer)
			}
		}
		if options != "" {
			assert.Len(t, answers, reuseportWorkers)
		}
		t.Logf("%q: %s", options, strings.Join(shares, " "))
		d.stop()
	}
}

// Each worker finds the socket of its slot at the same number, and no other.
func TestReuseportSocketsAreTheSlots(t *testing.T) {
	t.Parallel()
	d := startReuseport(t, "127.0.0.1:0", ",reuseport", hello)
	first, again := map[string]bool{}, map[string]bool{}
	for _, pid := range d.slots(1, reuseportWorkers) {
		first[target(t, pid, 3)] = true
	}
	assert.Len(t, first, reuseportWorkers)
	d.signal(syscall.SIGHUP)
	for _, pid := range d.slots(2, reuseportWorkers) {
		again[target(t, pid, 3)] = true
	}
	assert.Equal(t, first, again, "they outlive a generation")
	d.stop()
}

// target is what a process has at a descriptor.
func target(t *testing.T, pid, fd int) string {
	t.Helper()
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	require.NoError(t, err)
	return link
}
