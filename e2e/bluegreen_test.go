//go:build linux

package e2e

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// many is a number that the environment may set, for a longer test.
func many(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, variable)
	return n
}

// startApart runs testdata/release with two sets of sockets, and waits until it is live. A
// worker passes its probes only while there is a file go; at the start there is one.
func startApart(t *testing.T, addr string, options ...string) *daemon {
	t.Helper()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	d := startIn(t, dir, nil, ours, apart(addr, options...)...)
	d.isAll(1)
	return d
}

// apart is the command line of startApart.
func apart(addr string, options ...string) []string {
	return append(append([]string{"--port=" + addr, "--blue-green", "--ready=probe", "--probe=http://" + addr + "/", "--probe=exec:test -e go",
		"--probe-timeout=20", "--interval=0.1", "--attempts=1", "--control=ctl", "--status-file=status"}, options...), "--", moods)
}

// isAll waits until a generation serves, and until no other one does.
func (d *daemon) isAll(generation int) {
	d.t.Helper()
	re := regexp.MustCompile(fmt.Sprintf(`^(%d:\d+\n)+$`, generation))
	eventually(d.t, func() bool { return re.MatchString(d.file("status")) }, func() string {
		return fmt.Sprintf("the status file holds %q, not generation %d; printed:\n%s", d.file("status"), generation, d.out)
	})
}

// in waits until a generation has n workers in a state, and returns their pids.
func (d *daemon) in(state string, generation, n int) (pids []int) {
	d.t.Helper()
	eventually(d.t, func() bool {
		pids = nil
		for _, w := range d.status().Workers {
			if w.Generation == generation && w.State == state && w.Pid > 0 {
				pids = append(pids, w.Pid)
			}
		}
		return len(pids) == n
	}, func() string {
		_, s := d.ask("--status")
		return fmt.Sprintf("not %d of %s:\n%s\n%s", n, state, s, d.out)
	})
	return pids
}

// hasNo removes a file.
func (d *daemon) hasNo(name string) {
	d.t.Helper()
	require.NoError(d.t, os.Remove(filepath.Join(d.dir, name)))
}

// orders makes a worker do something, see testdata/release.
func (d *daemon) orders(pid int, order string) {
	d.t.Helper()
	d.write("order", order)
	require.NoError(d.t, syscall.Kill(pid, syscall.SIGUSR1))
}

// restarts asks for a restart that has to succeed.
func (d *daemon) restarts(options ...string) {
	d.t.Helper()
	code, printed := d.ask(append([]string{"--restart", "--timeout=60"}, options...)...)
	require.Zero(d.t, code, "%s\n%s", printed, d.out)
}

// flood makes n connections, with a request each, and returns how many each generation has
// answered.
func flood(t *testing.T, network, addr string, n int) map[int]int {
	t.Helper()
	const clients = 4
	var all sync.WaitGroup
	var mu sync.Mutex
	heard := map[int]int{}
	for range clients {
		all.Go(func() {
			for range n / clients {
				c := client{network: network, addr: addr}
				body, err := c.get("/")
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				heard[generationOf(body)]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return heard
}

// A canary gets its share, and a generation that proves itself or stands by gets nothing:
// only probes reach it. CONNECTIONS may be set, to 20,000 for a share within a point.
func TestBlueGreenShares(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	n := many(t, "CONNECTIONS", 2000)
	d := startApart(t, addr, "--workers=2", "--canary=5%:600", "--keep-old=600", "--probe-interval=0.2")
	d.hasNo("go")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=120")
	d.in("proving", 2, 2)
	assert.Equal(t, map[int]int{1: n}, flood(t, "tcp", addr, n), "while it proves itself")
	asked := regexp.MustCompile(`(?m)^2 (.*)$`).FindAllStringSubmatch(d.file("asked"), -1)
	assert.NotEmpty(t, asked)
	for _, request := range asked {
		assert.Contains(t, request[1], "start_server_probe")
	}

	before := startLoad(t, "tcp", addr, 2, 0) // goes on during the change
	d.write("go", "")
	d.in("canary", 2, 2)
	heard := flood(t, "tcp", addr, n)
	const share = 0.05
	sigma := math.Sqrt(float64(n) * share * (1 - share))
	assert.InDelta(t, share*float64(n), heard[2], 5*sigma, "%v", heard)
	t.Logf("%d of %d connections, %.2f %%", heard[2], n, 100*float64(heard[2])/float64(n))
	assert.Equal(t, n, heard[1]+heard[2])

	code, said := d.ask("--promote")
	assert.Zero(t, code, said)
	assert.Equal(t, map[int]int{2: n}, flood(t, "tcp", addr, n), "the old one stands by")
	before.stop()
	assert.Contains(t, printed(), "generation 2 is live")
	d.stop()
	d.runs()
}

// RESTARTS may be set.
func TestBlueGreenRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr)
	l := startLoad(t, "tcp", addr, 3, 3)
	n, files := many(t, "RESTARTS", 25), 0
	for generation := 2; generation <= n+1; generation++ {
		d.restarts()
		assert.Equal(t, map[int]int{generation: 4}, flood(t, "tcp", addr, 4))
		if generation == 2 {
			files, _ = d.open()
		}
	}
	l.goesOn(50)
	eventually(t, func() bool { n, _ := d.open(); return n <= files }, func() string { n, _ := d.open(); return fmt.Sprintf("%d descriptors, and %d before", n, files) })
	l.stop()
	t.Logf("%d requests in %d restarts, none lost", l.answered.Load(), n)
	d.isAll(n + 1)
	d.stop()
	d.runs()
}

// A canary that fails at any moment loses only what it had accepted. CANARIES may be set.
func TestBlueGreenCanariesThatFail(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--workers=2", "--canary=30%:100,60%:100", "--probe-interval=0.1")
	n, lost, answered := many(t, "CANARIES", 9), 0, int64(0)
	for generation := 2; generation <= n+1; generation++ {
		l := startLoad(t, "tcp", addr, 4, 2)
		printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=60")
		victim := d.in("canary", generation, 2)[rand.N(2)]
		l.goesOn(int64(rand.N(60)))
		var why string
		switch generation % 3 {
		case 0:
			require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
			why = fmt.Sprintf(`worker %d ended after \S+: killed by signal 9`, victim)
		case 1:
			d.orders(victim, "abort")
			why = fmt.Sprintf(`worker %d says that it is not fit to serve; its last status: "the cache is cold"`, victim)
		case 2:
			d.orders(victim, "sick")
			why = fmt.Sprintf(`worker %d did not pass its probe again: http://%s/: status 500: broken`, victim, addr)
		}
		assert.Regexp(t, `(?m)^start_server: restart failed: generation \d+ failed with 30 % of the connections, \d+ so far: `+why+`$`, printed())
		l.goesOn(20)
		for _, err := range l.end() {
			switch generation % 3 {
			case 0:
				assert.True(t, cut(err), "%v", err)
			case 1:
				assert.NoError(t, err)
			case 2:
				assert.ErrorContains(t, err, "answer 500 Internal Server Error: broken")
			}
			lost++
		}
		assert.Equal(t, map[int]int{1: 20}, flood(t, "tcp", addr, 20), "after generation %d", generation)
		answered += l.answered.Load()
	}
	t.Logf("%d canaries, %d requests, and %d that the broken ones had taken", n, answered, lost)
	d.isAll(1)
	d.stop()
	d.runs()
}

// ROLLBACKS may be set.
func TestBlueGreenRollback(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--keep-old=600")
	code, printed := d.ask("--rollback")
	assert.Equal(t, 1, code)
	assert.Equal(t, "start_server: there is no generation to go back to: generation 1 serves, and none stands by\n", printed)
	code, printed = d.ask("--promote")
	assert.Equal(t, 1, code)
	assert.Equal(t, "start_server: there is no canary, and no old generation stands by\n", printed)
	l := startLoad(t, "tcp", addr, 3, 3)
	n := many(t, "ROLLBACKS", 10)
	for generation := 2; generation <= n+1; generation++ {
		d.restarts()
		assert.Equal(t, map[int]int{generation: 4}, flood(t, "tcp", addr, 4))
		code, printed := d.ask("--rollback", "--timeout=30")
		require.Zero(t, code, printed)
		assert.Equal(t, map[int]int{1: 4}, flood(t, "tcp", addr, 4))
	}
	d.isAll(1)
	d.restarts()
	old := d.in("standby", 1, 1)[0]
	code, printed = d.ask("--promote", "--timeout=30")
	assert.Zero(t, code, printed)
	isGone(t, old)
	l.goesOn(20)
	l.stop()
	t.Logf("%d requests in %d rollbacks, none lost", l.answered.Load(), n)
	d.stop()
	d.runs()
}

// Each kind of address, with one worker and with four.
func TestBlueGreenAddresses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		port  string // @ is the number
		hosts []string
		also  string // an option of the port
	}{
		{"@", []string{"127.0.0.1"}, ""},
		{"127.0.0.1:@", []string{"127.0.0.1"}, ""},
		{"[::1]:@", []string{"[::1]"}, ""},
		{"[::]:@", []string{"[::1]", "127.0.0.1"}, ",v6only=0"},
	} {
		for _, workers := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s, %d workers", row.port, workers), func(t *testing.T) {
				t.Parallel()
				number := freePort(t)
				port := strings.ReplaceAll(row.port, "@", number)
				d := startIn(t, tempDir(t), nil, ours, "--port="+port+row.also, fmt.Sprintf("--workers=%d", workers), "--blue-green", "--ready=probe", "--probe=http://"+port+"/",
					"--probe-timeout=20", "--interval=0.1", "--attempts=1", "--control=ctl", "--status-file=status", "--", moods)
				d.isAll(1)
				var loads []*load
				for _, host := range row.hosts {
					loads = append(loads, startLoad(t, "tcp", host+":"+number, 2, 1))
				}
				d.restarts("--drained")
				d.restarts("--drained")
				for i, host := range row.hosts {
					assert.Equal(t, map[int]int{3: 40}, flood(t, "tcp", host+":"+number, 40))
					loads[i].stop()
				}
				asked := map[string]int{}
				for line := range strings.Lines(d.file("asked")) {
					if strings.Contains(line, "start_server_probe") {
						generation, _, _ := strings.Cut(line, " ")
						asked[generation]++
					}
				}
				for generation := 1; generation <= 3; generation++ {
					asked := asked[strconv.Itoa(generation)]
					assert.GreaterOrEqual(t, asked, workers, "each was asked")
					assert.LessOrEqual(t, asked, 2*workers, "and once more if it had passed before the interval was over")
				}
				d.stop()
				d.runs()
			})
		}
	}
}

// What was under way is not forgotten by an upgrade.
func TestBlueGreenUpgrade(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--workers=2", "--canary=20%:600", "--keep-old=600", "--probe-interval=0.2")
	l := startLoad(t, "tcp", addr, 2, 2)
	d.signal(syscall.SIGHUP)
	canary := d.in("canary", 2, 2)
	d.upgraded("--keep-workers")
	assert.Equal(t, canary, d.in("canary", 2, 2), "it goes on")
	heard := flood(t, "tcp", addr, 400)
	assert.InDelta(t, 80, heard[2], 40, "%v", heard) // 5 sigma
	code, printed := d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)

	d.in("standby", 1, 2)
	d.upgraded("--keep-workers")
	d.in("standby", 1, 2)
	assert.Equal(t, map[int]int{2: 40}, flood(t, "tcp", addr, 40))
	code, printed = d.ask("--rollback", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", addr, 40))
	for _, pid := range canary {
		isGone(t, pid)
	}

	d.signal(syscall.SIGHUP) // the next image also notices a canary that is not fit
	canary = d.in("canary", 3, 2)
	d.upgraded("--keep-workers")
	d.orders(canary[1], "abort")
	d.sees(1, `generation 3 failed with 20 % of the connections, \d+ so far: worker \d+ says that it is not fit to serve`)
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", addr, 40))
	d.isAll(1)
	l.stop()
	d.stop()
	d.runs()
}

// More workers, and fewer, while a canary or an old generation is there.
func TestBlueGreenResize(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--workers=2", "--canary=50%:600", "--keep-old=600", "--probe-interval=0.2")
	l := startLoad(t, "tcp", addr, 3, 1)
	d.signal(syscall.SIGHUP)
	d.in("canary", 2, 2)
	d.signal(syscall.SIGTTIN)
	d.in("live", 1, 3)
	d.in("canary", 2, 3)
	heard := flood(t, "tcp", addr, 200)
	assert.InDelta(t, 100, heard[2], 36, "%v", heard) // 5 sigma
	d.signal(syscall.SIGTTOU)
	d.in("live", 1, 2)
	d.in("canary", 2, 2)
	assert.Len(t, flood(t, "tcp", addr, 200), 2)
	code, printed := d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)

	d.in("standby", 1, 2)
	d.signal(syscall.SIGTTOU)
	d.in("live", 2, 1)
	assert.Equal(t, map[int]int{2: 40}, flood(t, "tcp", addr, 40))
	code, printed = d.ask("--rollback", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", addr, 40))
	d.in("live", 1, 1)
	d.signal(syscall.SIGHUP)
	d.in("canary", 3, 1)
	code, printed = d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	d.signal(syscall.SIGTTIN)
	d.in("live", 3, 2)
	assert.Equal(t, map[int]int{3: 40}, flood(t, "tcp", addr, 40))
	l.goesOn(20)
	l.stop()
	d.stop()
	d.runs()
}

// Whatever is asked for, at whatever moment, no client notices. STEPS may be set.
func TestBlueGreenAnythingAtAnyMoment(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--workers=2", "--canary=20%:0.2,60%:0.2", "--keep-old=0.7", "--probe-interval=0.1")
	l := startLoad(t, "tcp", addr, 3, 3)
	var asked []string
	for range many(t, "STEPS", 20) {
		what := []string{"--restart", "--rollback", "--promote", "--upgrade --keep-workers", "HUP", "TTIN", "TTOU"}[rand.N(7)]
		asked = append(asked, what)
		switch what {
		case "HUP":
			d.signal(syscall.SIGHUP)
		case "TTIN":
			d.signal(syscall.SIGTTIN)
		case "TTOU":
			d.signal(syscall.SIGTTOU)
		default:
			asking(t, d.dir, append(strings.Fields(what), "--control=ctl", "--timeout=20")...)
		}
		l.goesOn(int64(rand.N(150)))
	}
	l.goesOn(300)
	l.stop()
	assert.NotContains(t, d.out.String(), "no worker had accepted", "%v", asked)
	assert.NotContains(t, d.out.String(), "died unexpectedly", "%v", asked)
	d.stop()
	d.runs()
}
