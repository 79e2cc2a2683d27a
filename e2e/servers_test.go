//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// booted is the interval for servers written in Perl and Ruby. They boot in 70
// to 130 ms on an idle machine, so this is about ten times as much, for a machine
// that is busy with the load. If it is not enough requests wait for the boot, but
// none is lost. TestNoRequestWaitsForABoot tests the waiting.
const booted = "--interval=1"

// restarts is how often each server is restarted.
const restarts = 10

func TestStarlet(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	d := start(t, ours, append([]string{"--port=127.0.0.1:" + port, booted, "--status-file=status", "--"}, starlet(t)...)...)
	d.restartUnderLoad(restarts, "tcp", "127.0.0.1:"+port, 4, 4).stop()
	d.stop()
	d.runs()
}

func TestStarletOnUnixSocket(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--path=http.sock", booted, "--status-file=status", "--"}, starlet(t)...)...)
	d.restartUnderLoad(restarts, "unix", filepath.Join(d.dir, "http.sock"), 4, 4).stop()
	d.stop()
	d.runs()
	require.NoFileExists(t, filepath.Join(d.dir, "http.sock"))
}

// starlet is the command line of a Starlet that keeps connections alive, with
// more workers than the load has clients: a connection that is kept alive
// occupies a worker. It hears every TERM; see testdata/PreforkHearsTERM.pm.
func starlet(t *testing.T) []string {
	needsPerl(t, "Plack::Handler::Starlet")
	return []string{needs(t, "plackup"), "-I" + inTestdata(""), "-MPreforkHearsTERM", "-E", "deployment", "-s", "Starlet", "--max-workers=10", "--max-keepalive-reqs=50", app()}
}

func app() string { return filepath.Join(source, "examples", "hello", "app.psgi") }

// needsPerl is needs for a Perl module.
func needsPerl(t *testing.T, module string) {
	t.Helper()
	perl := needs(t, "perl")
	if text, err := exec.Command(perl, "-M"+module, "-e1").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the Perl module %s is not installed, and in CI nothing is skipped: %s", module, text)
		}
		t.Skipf("the Perl module %s is not installed", module)
	}
}

// Stock Starman loses a few requests at each restart, for reasons of its own;
// testdata/StarmanKeepsAccepted.pm explains and mends them. A Starman without any
// start_server, sent HUP by hand five times under the same load, lost 15 of
// 63,526 requests; with the mending, and HUP twelve times, 0 of 56,401. So the
// mended one shows what start_server itself loses.
func TestStarman(t *testing.T) {
	t.Parallel()
	faults := restartStarman(t, "-I"+filepath.Join(source, "e2e", "testdata"), "-MStarmanKeepsAccepted")
	require.Empty(t, faults, "lost requests")
}

// Stock Starman loses connections that its workers have accepted, each worker one
// at most. None is refused.
func TestStockStarman(t *testing.T) {
	t.Parallel()
	faults := restartStarman(t)
	t.Logf("Starman lost %d requests in %d restarts", len(faults), restarts)
	require.LessOrEqual(t, len(faults), restarts*starmanWorkers, "%v", faults)
	for _, err := range faults {
		require.True(t, cut(err), "%v", err)
	}
}

const starmanWorkers = 10

// restartStarman restarts it under load and returns the errors of lost requests.
//
// A Starman worker that was told to go serves its kept-alive connection until
// that is idle for a second. So the clients that keep connections alive cannot be
// the same ones all the time: they are there before, while and after the old
// workers are told to go, and then they leave.
func restartStarman(t *testing.T, options ...string) []error {
	needsPerl(t, "Net::Server::SS::PreFork")
	port := freePort(t)
	addr := "127.0.0.1:" + port
	args := []string{"--port=" + addr, booted, "--status-file=status", "--signal-on-hup=QUIT", "--",
		needs(t, "starman"), "--preload-app", "--workers=" + strconv.Itoa(starmanWorkers)}
	d := start(t, ours, append(append(args, options...), app())...)
	d.answers(1, "tcp", addr)
	d.isLive(1)
	fresh := startLoad(t, "tcp", addr, 4, 0)
	var faults []error
	for generation := 2; generation <= restarts+1; generation++ {
		keptAlive := startLoad(t, "tcp", addr, 0, 4)
		keptAlive.goesOn(100)
		d.restart(generation, "tcp", addr)
		keptAlive.goesOn(100)
		faults = append(faults, keptAlive.end()...)
		d.isLive(generation)
		d.runs(d.worker(generation))
	}
	fresh.goesOn(100)
	faults = append(faults, fresh.end()...)
	d.stop()
	d.runs()
	return faults
}

// end ends the load and leaves it to the caller to judge what went wrong.
func (l *load) end() []error {
	l.cancel()
	l.clients.Wait()
	return l.faults
}

// cut tells whether a request was lost on a connection that had been made.
func cut(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func TestH2O(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	dir := tempDir(t)
	conf, err := os.ReadFile(filepath.Join(source, "e2e", "testdata", "h2o.conf"))
	require.NoError(t, err)
	conf = []byte(strings.ReplaceAll(string(conf), "@PORT@", port))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "h2o.conf"), conf, 0o644))

	d := startIn(t, dir, nil, ours, "--port=127.0.0.1:"+port, "--interval=0.5", "--status-file=status", "--",
		needs(t, "h2o"), "-c", "h2o.conf")
	d.restartUnderLoad(restarts, "tcp", "127.0.0.1:"+port, 4, 4).stop()
	d.stop()
	d.runs()
}

func TestUnicorn(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	testdata := filepath.Join(source, "e2e", "testdata")
	d := startIn(t, tempDir(t), []string{"UNICORN_STATUS_FILE=status"},
		ours, "--port=127.0.0.1:"+port, booted, "--status-file=status", "--signal-on-hup=CONT", "--signal-on-term=QUIT", "--",
		needs(t, "unicorn"), "-E", "none", "-c", filepath.Join(testdata, "unicorn.conf.rb"), filepath.Join(testdata, "config.ru"))
	d.restartUnderLoad(restarts, "tcp", "127.0.0.1:"+port, 4, 4).stop()
	d.stop()
	d.runs()
}

// restartUnderLoad waits until the first generation answers, and restarts it n
// times under a load, which it leaves running. The answers must tell the
// generation. After each restart nothing of the old generation may be left.
func (d *daemon) restartUnderLoad(n int, network, addr string, fresh, keepAlive int) *load {
	d.t.Helper()
	d.answers(1, network, addr)
	d.isLive(1)
	l := startLoad(d.t, network, addr, fresh, keepAlive)
	for generation := 2; generation <= n+1; generation++ {
		l.goesOn(100)
		d.restart(generation, network, addr)
		d.isLive(generation)
		d.runs(d.worker(generation))
	}
	l.goesOn(100)
	return l
}

// restart brings a generation up, and returns when it has answered and the old
// one was told to go. That must not be before the interval has passed, unless the
// new one has said that it is ready.
func (d *daemon) restart(generation int, network, addr string) {
	d.t.Helper()
	re := regexp.MustCompile(`new worker is now running, sending \w+ to old workers:`)
	began := time.Now()
	var answered, told bool
	if d.deploy != nil {
		d.deploy(generation)
	}
	d.signal(syscall.SIGHUP)
	eventually(d.t, func() bool {
		if !told && len(re.FindAllString(d.out.String(), -1)) >= generation-1 {
			told = true
			if !d.saysReady() {
				require.GreaterOrEqual(d.t, time.Since(began), d.interval(), "generation %d was taken as good too early", generation)
				if !answered {
					d.t.Logf("generation %d took longer to boot than the interval: requests had to wait", generation)
				}
			}
		}
		if !answered {
			c := client{network: network, addr: addr}
			got, _ := c.get("/") // the load reports what is lost
			answered = strings.HasSuffix(got, fmt.Sprintf("generation %d\n", generation))
		}
		return answered && told
	}, func() string {
		return fmt.Sprintf("generation %d answered: %v, the old one was told to go: %v; printed:\n%s", generation, answered, told, d.out)
	})
}

// saysReady tells whether its workers say when they are ready.
func (d *daemon) saysReady() bool { return slices.Contains(d.cmd.Args, "--ready=notify") }

// interval is the interval that it was started with.
func (d *daemon) interval() time.Duration {
	d.t.Helper()
	for _, arg := range d.cmd.Args {
		if text, ok := strings.CutPrefix(arg, "--interval="); ok {
			interval, err := time.ParseDuration(text + "s")
			require.NoError(d.t, err)
			return interval
		}
	}
	return time.Second
}

// answers waits until a generation answers a fresh request.
func (d *daemon) answers(generation int, network, addr string) {
	d.t.Helper()
	want := fmt.Sprintf("generation %d\n", generation)
	var got string
	var err error
	eventually(d.t, func() bool {
		c := client{network: network, addr: addr}
		got, err = c.get("/")
		return strings.HasSuffix(got, want)
	}, func() string {
		return fmt.Sprintf("answer %q, error %v, not from %s; printed:\n%s", got, err, want, d.out)
	})
}

// isLive waits until a generation is the only one in the status file.
func (d *daemon) isLive(generation int) {
	d.t.Helper()
	want := fmt.Sprintf("%d:%d\n", generation, d.worker(generation))
	eventually(d.t, func() bool { return d.file("status") == want }, func() string {
		return fmt.Sprintf("the status file holds %q, not %q; printed:\n%s", d.file("status"), want, d.out)
	})
}

// runs waits until only the workers with these pids and their children are left, of
// all processes that start_server and its children have started.
func (d *daemon) runs(workers ...int) {
	d.t.Helper()
	var strangers []string
	eventually(d.t, func() bool {
		strangers = d.strangers(workers)
		return len(strangers) == 0
	}, func() string {
		return fmt.Sprintf("still running: %s; printed:\n%s", strings.Join(strangers, ", "), d.out)
	})
}

// strangers are the processes in start_server's process group that neither
// are among the workers nor come from them. Their parents may have died.
func (d *daemon) strangers(workers []int) []string {
	d.t.Helper()
	self := d.cmd.Process.Pid
	all := processes(d.t)
	known := func(pid int) bool {
		for ; pid > 1; pid = all[pid].parent {
			for _, worker := range workers {
				if pid == worker {
					return true
				}
			}
		}
		return false
	}
	var found []string
	for pid, p := range all {
		// Of dead processes only children of start_server count: it has to wait for them.
		dead := p.state == "Z" && p.parent != self
		if p.group == self && pid != self && !dead && !known(pid) {
			found = append(found, fmt.Sprintf("%d %s, child of %d", pid, p.name, p.parent))
		}
	}
	return found
}

type process struct {
	name, state   string
	parent, group int
}

// processes are all processes of the machine, by their pid.
func processes(t *testing.T) map[int]process {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	all := map[int]process{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // gone meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		open, end := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
		fields := strings.Fields(string(text[end+1:]))
		parent, _ := strconv.Atoi(fields[1])
		group, _ := strconv.Atoi(fields[2])
		all[pid] = process{string(text[open+1 : end]), fields[0], parent, group}
	}
	return all
}
