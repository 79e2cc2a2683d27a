//go:build linux

package e2e

import (
	"fmt"
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

// startAiling runs testdata/ailing, which says itself when it is ready, and waits until it
// is.
func startAiling(t *testing.T, addr string, options ...string) *daemon {
	t.Helper()
	d := start(t, ours, append(append([]string{"--port=" + addr, "--interval=0.2", "--ready=notify", "--status-file=status", "--control=ctl", "--kill-timeout=2"}, options...),
		"--", program(t, "ailing"))...)
	d.answers(1, "tcp", addr)
	d.isLive(1)
	return d
}

// renews waits until the nth worker has the slot of the one before it.
func (d *daemon) renews(n int, sig string) {
	d.t.Helper()
	d.sees(1, fmt.Sprintf(`^new worker %d has slot 0, sending %s to worker %d$`, d.worker(n), sig, d.worker(n-1)))
	isGone(d.t, d.worker(n-1))
	d.serves("status", "1:%d\n", d.worker(n))
}

// losesNoneBut ends the load. At most n requests may be lost, and only requests on accepted
// connections.
func (l *load) losesNoneBut(n int) {
	l.t.Helper()
	lost := l.end()
	for _, err := range lost {
		assert.True(l.t, cut(err), "not accepted, or never answered: %v", err)
	}
	assert.LessOrEqual(l.t, len(lost), n, "%v", lost)
	l.t.Logf("%d requests answered, %d lost that the hung worker had accepted", l.answered.Load(), len(lost))
}

func TestHungWorkerIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	for name, fallsIll := range map[string]func(d *daemon, addr string){
		"stopped": func(d *daemon, _ string) { require.NoError(d.t, syscall.Kill(d.worker(1), syscall.SIGSTOP)) },
		"deadlocked": func(d *daemon, addr string) {
			c := client{network: "tcp", addr: addr}
			_, err := c.get("/deadlock")
			require.NoError(d.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const clients = 4
			addr := "127.0.0.1:" + freePort(t)
			d := startAiling(t, addr, "--watchdog=2")
			l := startLoad(t, "tcp", addr, clients, 0)
			l.goesOn(50)
			fallsIll(d, addr)
			d.sees(1, fmt.Sprintf(`^worker %d in slot 0 hangs: it has not said for [0-9.]+ secs that it is alive$`, d.worker(1)))
			d.renews(2, "ABRT")
			l.goesOn(50)
			l.losesNoneBut(clients) // each has one request under way
			assert.Equal(t, 1, d.status().Generation)
			d.stop()
			d.runs()
		})
	}
}

func TestLargeWorkerIsReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startAiling(t, addr, "--max-rss=60M")
	l := startLoad(t, "tcp", addr, 2, 2)
	c := client{network: "tcp", addr: addr}
	for range 2 {
		_, err := c.get("/leak")
		require.NoError(t, err)
	}
	d.sees(1, fmt.Sprintf(`^worker %d in slot 0 has [0-9.]+ MB of memory, more than the limit of 60.0 MB, and gets a successor$`, d.worker(1)))
	d.renews(2, "TERM")
	l.goesOn(50)
	l.stop()
	d.stop()
	d.runs()
}

func TestOldWorkersAreReplacedUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startAiling(t, addr, "--max-age=1+-20%")
	l := startLoad(t, "tcp", addr, 2, 2)
	for n := 2; n <= 4; n++ {
		d.sees(1, fmt.Sprintf(`^worker %d in slot 0 is [0-9.]+ secs old, and gets a successor$`, d.worker(n-1)))
		d.sees(1, fmt.Sprintf(`^new worker %d has slot 0, sending TERM to worker %d$`, d.worker(n), d.worker(n-1)))
		isGone(t, d.worker(n-1))
	}
	l.goesOn(50)
	l.stop()
	d.stop()
	d.runs()
}

func TestSuccessorThatFailsLeavesTheOldWorker(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startAiling(t, addr, "--max-age=1")
	d.write("broken", "")
	l := startLoad(t, "tcp", addr, 2, 2)
	d.sees(2, `^new worker \d+ of generation 1 failed after .*: exit code 1: the old worker in slot 0 stays, sleeping [0-9.]+ secs before the next successor$`)
	d.serves("status", "1:%d\n", d.worker(1))
	l.goesOn(50)
	d.hasNo("broken")
	d.sees(1, fmt.Sprintf(`^new worker \d+ has slot 0, sending TERM to worker %d$`, d.worker(1)))
	isGone(t, d.worker(1))
	l.goesOn(50)
	l.stop()
	d.stop()
	d.runs()
}

// The next image finishes a renewal that is under way.
func TestUpgradeInTheMiddleOfARenewal(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=6", "--max-age=2", "--status-file=status", "--control=ctl", "--", hello)
	d.isLive(1)
	l := startLoad(t, "tcp", addr, 2, 2)
	two := d.worker(2)
	d.upgraded("--keep-workers")
	assert.NotContains(t, d.out.String(), "has slot 0", "the upgrade is in its middle")
	d.sees(1, fmt.Sprintf(`^new worker %d has slot 0, sending TERM to worker %d$`, two, d.worker(1)))
	isGone(t, d.worker(1))
	l.goesOn(50)
	l.stop()
	d.stop()
	d.runs()
}

// A live worker that cannot notify is probed.
func TestLiveWorkerThatDoesNotPassItsProbeIsReplaced(t *testing.T) {
	t.Parallel()
	const clients = 4
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--probe-timeout=1", "--probe-interval=0.5", "--kill-timeout=1")
	l := startLoad(t, "tcp", addr, clients, 0)
	l.goesOn(50)
	require.NoError(t, syscall.Kill(d.worker(1), syscall.SIGSTOP))
	d.sees(1, fmt.Sprintf(`^worker %d in slot 0 hangs, as it does not pass its probe: `, d.worker(1)))
	d.renews(2, "ABRT")
	l.goesOn(50)
	l.losesNoneBut(clients)
	d.stop()
	d.runs()
}

// A worker that hangs has the same socket as its successor. The successor must not answer in its
// place: the worker would seem well again, and its successor would be given up, again and again.
func TestSuccessorDoesNotAnswerTheProbesOfTheOneThatHangs(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--probe-timeout=1", "--probe-interval=0.3", "--interval=3", "--kill-timeout=1")
	require.NoError(t, syscall.Kill(d.worker(1), syscall.SIGSTOP))
	d.renews(2, "ABRT")
	d.stop()
	d.runs()
}

// A broken successor is not proven by answers of the worker that it is to replace.
func TestOldWorkerDoesNotAnswerTheProbesOfItsSuccessor(t *testing.T) {
	t.Parallel()
	for _, probe := range []string{"http://web/", "tcp://web", `exec:printf 'GET / HTTP/1.0

' >&3; read -r _ status _ <&3; [ "$status" = 200 ]`} {
		for _, option := range []string{"", ",defer-accept"} {
			t.Run(probe+option, func(t *testing.T) {
				t.Parallel()
				d := start(t, ours, "--port=web@127.0.0.1:0"+option, "--blue-green", "--ready=probe", "--probe="+probe, "--ready-timeout=3", "--interval=0.1",
					"--max-age=3", "--status-file=status", "--control=ctl", "--", moods)
				d.isLive(1)
				d.write("mood", map[bool]string{true: "deaf", false: "500"}[probe == "tcp://web"])
				d.sees(1, `^new worker \d+ of generation 1 has not passed its probe within .*: the old worker in slot 0 stays, sleeping`)
				assert.NotContains(t, d.out.String(), "has slot 0")
				d.hasNo("mood")
				d.sees(1, fmt.Sprintf(`^new worker \d+ has slot 0, sending TERM to worker %d$`, d.worker(1)))
				d.stop()
				d.runs()
			})
		}
	}
}

// passes waits until the time d is over.
func passes(t *testing.T, d time.Duration) {
	t.Helper()
	end := time.Now().Add(d)
	eventually(t, func() bool { return time.Now().After(end) }, func() string { return "time stands still" })
}

// On a slow machine, or after the superdaemon itself was stopped, no healthy worker is taken for
// hung.
func TestHealthyWorkersDoNotHang(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startAiling(t, addr, "--watchdog=2", "--workers=1")
	for range 2 {
		busy := exec.Command("/bin/sh", "-c", "while :; do :; done")
		require.NoError(t, busy.Start())
		t.Cleanup(func() { busy.Process.Kill(); busy.Wait() })
	}
	passes(t, 3*time.Second)
	d.signal(syscall.SIGSTOP)
	passes(t, 3*time.Second)
	d.signal(syscall.SIGCONT)
	one := d.worker(1)
	for range 2 {
		require.Equal(t, one, d.status().Workers[0].Pid)
		passes(t, time.Second)
	}
	assert.NotContains(t, d.out.String(), "hangs")
	d.stop()
}

// switches is how often the threads of a process have given up a processor so far.
func switches(t *testing.T, pid int) (n int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread may have ended
		for line := range strings.Lines(string(text)) {
			if count, is := strings.CutPrefix(line, "voluntary_ctxt_switches:"); is {
				more, err := strconv.Atoi(strings.TrimSpace(count))
				require.NoError(t, err)
				n += more
			}
		}
	}
	return n
}

// wakeUps is how often each of these superdaemons wakes up within a time. All that one does in
// half a second counts once.
func wakeUps(t *testing.T, within time.Duration, daemons ...*daemon) []int {
	t.Helper()
	const apart = 500 * time.Millisecond
	look := func() (counts []int) {
		for _, d := range daemons {
			counts = append(counts, switches(t, d.cmd.Process.Pid))
		}
		return counts
	}
	woken, last, wakes := make([]time.Time, len(daemons)), look(), make([]int, len(daemons))
	for end := time.Now().Add(within); time.Now().Before(end); passes(t, 20*time.Millisecond) {
		for i, n := range look() {
			if n == last[i] {
				continue
			}
			last[i] = n
			if time.Since(woken[i]) > apart {
				wakes[i]++
			}
			woken[i] = time.Now()
		}
	}
	return wakes
}

func TestIdleCostOfRenewals(t *testing.T) {
	t.Parallel()
	startIdle := func(options ...string) *daemon {
		d := start(t, ours, append(append([]string{"--interval=0.1", "--status-file=status"}, options...), "--", "sleep", "1000")...)
		d.isLive(1)
		return d
	}
	none, limited, old := startIdle(), startIdle("--max-rss=1G"), startIdle("--max-age=3600")
	passes(t, 2*time.Second) // on a busy machine a start takes that long to come to rest
	wakes := wakeUps(t, 10*time.Second, none, limited, old)
	assert.Equal(t, 0, wakes[0], "without any of the options")
	assert.Equal(t, 2, wakes[1], "--max-rss: one in five seconds")
	assert.Equal(t, 0, wakes[2], "--max-age: when it is over")
}

func TestRenewalsBadInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ option, want string }{
		{"--watchdog=0", "--watchdog: 0 would take every worker for hung"},
		{"--watchdog=x", `--watchdog: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--max-rss=0", `--max-rss: "0" is not a size such as 512M`},
		{"--max-rss=x", `--max-rss: "x" is not a size such as 512M`},
		{"--max-rss=-1M", `--max-rss: "-1M" is not a size such as 512M`},
		{"--max-age=0", "--max-age: 0 would replace workers without end"},
		{"--max-age=5+-200%", `--max-age: "5+-200%" is not SECONDS+-PERCENT, as in 3600+-10%`},
		{"--max-age=+-10%", `--max-age: "+-10%" is not SECONDS+-PERCENT, as in 3600+-10%`},
		{"--probe-interval=1", "--probe-interval: it needs --ready=probe"},
	} {
		code, printed := command(t, tempDir(t), ours, c.option, "--", "true")
		assert.Equal(t, 2, code, c.option)
		assert.Equal(t, "start_server: "+c.want+"\n", printed, c.option)
	}
}
