//go:build linux

package e2e

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Killing the process that asks probes does not decide on a release.
func TestBlueGreenProberIsKilled(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr)
	d.hasNo("go")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=60")
	d.in("proving", 2, 1)
	killed := map[int]bool{}
	eventually(t, func() bool {
		for pid, p := range processes(t) {
			if p.parent == d.cmd.Process.Pid && strings.HasPrefix("start_server_probe", p.name) && p.name != "start_server" && !killed[pid] {
				killed[pid] = syscall.Kill(pid, syscall.SIGKILL) == nil
			}
		}
		return len(killed) >= 3
	}, func() string { return fmt.Sprintf("killed: %v; printed:\n%s", killed, d.out) })
	d.write("go", "")
	assert.Contains(t, printed(), "generation 2 is live")
	assert.Equal(t, map[int]int{2: 4}, flood(t, "tcp", addr, 4))
	d.stop()
	d.runs()
}

// listens waits until n sockets listen at an IPv4 address, and until start_server knows that.
func (d *daemon) listens(addr string, n int) {
	d.t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(d.t, err)
	number, err := strconv.Atoi(port)
	require.NoError(d.t, err)
	listening := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: [0-9A-F]{8}:%04X \S+ 0A `, number))
	var found []string
	eventually(d.t, func() bool {
		found = listening.FindAllString(readFile(d.t, "/proc/net/tcp"), -1)
		return len(found) == n
	}, func() string { return fmt.Sprint(found) })
	d.status() // this looks at the sockets, in case nothing else does
}

// A worker may end listening on its socket by shutdown(2), and so for all processes that have
// it. The kernel then moves the last socket of the group to its place. This must not bring
// clients to a generation that is not for them.
func TestBlueGreenShutdown(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startApart(t, addr, "--workers=2")
	asked := regexp.MustCompile(`(?m)^2 start_server_probe`)
	d.hasNo("go")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=60")
	eventually(t, func() bool { return len(asked.FindAllString(d.file("asked"), -1)) == 2 }, func() string { return d.file("asked") })
	const again = `^a worker has shut down the listening socket .*: listening again$`
	d.write("order", "shutdown")
	for _, pid := range d.in("proving", 2, 2) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGUSR1))
	}
	d.sees(2, `shutdown: <nil>$`)
	d.sees(1, again)
	d.listens(addr, 5)
	assert.Equal(t, map[int]int{1: 200}, flood(t, "tcp", addr, 200))
	d.write("go", "")
	printed() // it may have failed
	l := startLoad(t, "tcp", addr, 2, 2)
	for range 2 {
		d.restarts("--drained")
		assert.Equal(t, map[int]int{d.status().Generation: 200}, flood(t, "tcp", addr, 200))
	}
	l.stop()

	// A worker that serves does so, too: what waits in its queue is lost, and nothing after that.
	live := d.status()
	before := len(d.sees(1, again))
	d.orders(live.Workers[0].Pid, "shutdown")
	d.sees(before+1, again)
	d.listens(addr, 5)
	eventually(t, func() bool { return d.status().State == "serving" }, d.out.String)
	assert.Equal(t, map[int]int{live.Generation: 200}, flood(t, "tcp", addr, 200))
	d.restarts("--drained")
	assert.Equal(t, map[int]int{d.status().Generation: 200}, flood(t, "tcp", addr, 200))
	d.upgraded()
	assert.Equal(t, map[int]int{d.status().Generation: 200}, flood(t, "tcp", addr, 200), "the next image knows")
	d.stop()
	d.runs()
}

func TestBlueGreenBadInput(t *testing.T) {
	t.Parallel()
	probe := " --blue-green --port=127.0.0.1:0,www@127.0.0.1:0 --ready=probe --probe="
	for options, want := range map[string]string{
		"--canary=5%:1":     "--canary: it needs --blue-green",
		"--keep-old=5":      "--keep-old: it needs --blue-green",
		"--probe=tcp://www": "--probe: it needs --ready=probe",
		"--ready=probe":     "--ready: probe needs --probe",
		"--blue-green --port=127.0.0.1:0 --canary=100%:1":      `--canary: "100%:1" is not SHARE:TIME, as in 5%:30s, with a share from 0.01% to 99.99%`,
		"--blue-green --port=127.0.0.1:0 --canary=50%:1,20%:1": `--canary: "20%:1": the share is not more than the one before it`,
		"--blue-green --port=127.0.0.1:0 --canary=50%:0":       `--canary: "50%:0": 0 is no time`,
		"--blue-green --port=127.0.0.1:0 --canary=50%":         `--canary: "50%" is not SHARE:TIME, as in 5%:30s, with a share from 0.01% to 99.99%`,
		probe + "ftp://www/":                                   `probe "ftp://www/": scheme "ftp" is not known; a probe is http://NAME/path, https://NAME/path, tcp://NAME or exec:COMMAND`,
		probe + "http://api/":                                  `probe "http://api/": no socket is called "api"; there is only www`,
		"--blue-green --path=x.sock":                           "blue/green needs a TCP port: paths and UDP ports are shared by all generations",
		"--rollback":                                           "--rollback needs --control",
	} {
		code, printed := command(t, tempDir(t), ours, append(strings.Fields(options), "--", "sleep", "1000")...)
		assert.Equal(t, 2, code, options)
		assert.Equal(t, "start_server: "+want+"\n", printed, options)
	}
}
