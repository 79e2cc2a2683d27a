//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// upgraded makes start_server go on as another image, with a command line if one is given.
func (d *daemon) upgraded(line ...string) {
	d.t.Helper()
	code, printed := d.ask(append([]string{"--upgrade", "--timeout=60"}, line...)...)
	require.Zero(d.t, code, "%s\n%s", printed, d.out)
}

// open is how many descriptors and threads it has.
func (d *daemon) open() (descriptors, threads int) {
	d.t.Helper()
	for what, n := range map[string]*int{"fd": &descriptors, "task": &threads} {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, what))
		require.NoError(d.t, err)
		*n = len(entries)
	}
	return descriptors, threads
}

// manyUpgrades is how many upgrades are made: UPGRADES may be set, to 1,000 for example.
func manyUpgrades(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("UPGRADES"))
	if err != nil {
		return 25
	}
	return n
}

func TestUpgradesUnderLoad(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--path=http.sock", "--control=ctl", "--status-file=status", "--pid-file=pid",
		"--ready=notify", "--interval=0", "--", hello, "-all")
	d.answers(1, "tcp", addr)
	tcp := startLoad(t, "tcp", addr, 2, 2)
	unix := startLoad(t, "unix", filepath.Join(d.dir, "http.sock"), 2, 2)
	pid := d.file("pid")
	d.upgraded()
	files, threads := d.open()
	for n := 2; n <= manyUpgrades(t); n++ {
		d.upgraded()
		require.Regexp(t, fmt.Sprintf(`(?m)^%d:\d+$`, n+1), d.file("status"))
	}
	tcp.goesOn(50)
	unix.goesOn(50)
	tcp.stop()
	unix.stop()
	eventually(t, func() bool { n, _ := d.open(); return n <= files+1 }, func() string { n, _ := d.open(); return fmt.Sprintf("%d descriptors, and %d before", n, files) })
	_, after := d.open()
	assert.LessOrEqual(t, after, threads+4, "threads")
	assert.Equal(t, pid, d.file("pid"), "the same process, with the same file")
	t.Logf("%d upgrades, %d requests, the slowest took %v", manyUpgrades(t), tcp.answered.Load()+unix.answered.Load(),
		time.Duration(max(tcp.longest.Load(), unix.longest.Load())))
	d.stop()
	d.runs()
}

// An upgrade does not lose what is known of workers, and they are still its children.
func TestUpgradeKeepsWhatIsKnownOfWorkers(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--control=ctl", "--status-file=status", "--workers=2", "--interval=0.2")
	eventually(t, func() bool { return len(d.slots(1, 2)) == 2 }, d.out.String)
	require.NoError(t, syscall.Kill(d.slots(1, 2)[0], syscall.SIGKILL))
	d.sees(1, `^worker \d+ died unexpectedly with status:9, restarting$`)
	eventually(t, func() bool { return d.status().State == "serving" }, d.out.String)
	before := d.status()
	d.upgraded("--keep-workers")
	after := d.status()
	for i := range before.Workers {
		assert.GreaterOrEqual(t, after.Workers[i].Age, before.Workers[i].Age)
		after.Workers[i].Age = before.Workers[i].Age
	}
	assert.Equal(t, before.Workers, after.Workers)
	assert.GreaterOrEqual(t, after.Uptime, before.Uptime)
	worker := d.slots(1, 2)[1]
	require.NoError(t, syscall.Kill(worker, syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`^worker %d died unexpectedly with status:9, restarting$`, worker))
	d.stop()
	d.runs()
}

// The next image finishes a restart that is under way.
func TestUpgradeInTheMiddleOfARestart(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=1.5")
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	d.upgraded("--keep-workers")
	d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, d.worker(1)))
	d.serves("st", "2:%d\n", two)
	d.stop()
}

func TestUpgradeToAnotherCommandLine(t *testing.T) {
	t.Parallel()
	one, two, three := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	d := start(t, ours, "--port="+one, "--control=ctl", "--status-file=status", "--interval=0.2", "--workers=2", "--", hello, "-all")
	d.answers(1, "tcp", one)
	l := startLoad(t, "tcp", one, 2, 2)
	d.upgraded("--port="+one, "--port="+two, "--port="+three, "--path=a.sock", "--status-file=other", "--interval=0.2", "--workers=4", "--", hello, "-all")
	assert.Len(t, regexp.MustCompile(`(?m)^2:\d+$`).FindAllString(d.file("other"), -1), 4, d.file("other"))
	assert.NoFileExists(t, filepath.Join(d.dir, "status"))
	for _, addr := range []string{two, three} {
		d.answers(2, "tcp", addr)
	}
	d.answers(2, "unix", filepath.Join(d.dir, "a.sock"))
	d.sees(1, `^--workers is 4 now, and was 2$`)
	d.upgraded("--port="+one, "--path=b.sock", "--interval=0.2", "--workers=1", "--", hello, "-all")
	d.answers(3, "unix", filepath.Join(d.dir, "b.sock"))
	eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(d.dir, "a.sock"))
		return os.IsNotExist(err)
	}, func() string { return "a.sock is still there" })
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", two)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, func() string { return two + " is still open" })
	l.stop()
	d.upgraded("--path=b.sock", "--interval=0.2", "--", hello, "-all")
	d.stop()
	assert.NoFileExists(t, filepath.Join(d.dir, "b.sock"))
	d.runs()
}

// An image that cannot go on is refused before anything has happened.
func TestUpgradeThatIsRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	d := startControlled(t, "--interval=0.2")
	script := filepath.Join(d.dir, "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho I crash >&2\nexit 7\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "text"), []byte("hello"), 0o644))
	for _, row := range []struct{ request, answer string }{
		{`"executable":"/nowhere/at/all"`, `new executable: open /nowhere/at/all: no such file or directory`},
		{`"executable":"` + filepath.Join(d.dir, "text") + `"`, `permission denied`},
		{`"executable":"` + script + `"`, `I crash`},
		{`"executable":"/bin/true"`, `it is not a superdaemon that can take over`},
		{`"executable":"` + ours + `","args":["--bogus","--","x"]`, `--bogus: no such option`},
		{`"executable":"` + ours + `","args":["--","./nowhere"]`, `program "./nowhere": no such file or directory`},
		{`"executable":"` + ours + `","args":["--port=` + taken.Addr().String() + `","--","true"]`, `address already in use`},
		{`"command":"self-upgrade"`, `"executable" is missing`},
	} {
		a := d.talk(`{"command":"self-upgrade",` + row.request + `}`)[0]
		assert.Equal(t, false, a["ok"], row.request)
		assert.Contains(t, a["error"], row.answer, row.request)
	}
	assert.Equal(t, 1, d.status().Generation)
	code, printed := d.ask("--restart")
	assert.Zero(t, code, printed)
	d.stop()
	d.runs()
}

func TestUpgradeBadInput(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, row := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--upgrade"}, 2, "start_server: --upgrade needs --control\n"},
		{[]string{"--upgrade", "--control=nobody"}, 1, "start_server: control socket \"nobody\": no start_server listens there\n"},
		{[]string{"--upgrade", "--control=nobody", "--port=1"}, 2, "start_server: --upgrade with --port=1 needs the program, too: give the whole new command line\n"},
		{[]string{"--keep-workers", "--", "x"}, 2, "start_server: --keep-workers needs --upgrade\n"},
		{[]string{"--upgrade", "--restart", "--control=nobody"}, 2, "start_server: --restart and --upgrade exclude each other\n"},
	} {
		c := exec.Command(ours, row.args...)
		c.Dir = dir
		text, _ := c.CombinedOutput()
		assert.Equal(t, row.code, c.ProcessState.ExitCode(), row.args)
		assert.Equal(t, row.says, string(text), row.args)
	}
}

// A port that is taken between the rehearsal and the exec: the old image goes on.
func TestUpgradeThatFailsGoesBack(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2", "--pid-file=pid")
	// The log is a directory by then.
	log := filepath.Join(d.dir, "log")
	script := filepath.Join(d.dir, "start_server")
	// The rehearsal runs the real image. The exec then finds a directory at the path of the log.
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"+
		`case "$START_SERVER_HANDOVER" in rehearse:*) exec `+ours+` "$@";; esac`+"\n"+
		"rm -f "+log+"; mkdir "+log+"\nexec "+ours+` "$@"`+"\n"), 0o755))
	a := d.talk(`{"command":"self-upgrade","executable":"` + script + `","args":["--control=ctl","--status-file=st","--pid-file=pid","--interval=0.2","--log-file=log","--","` + filepath.Join(d.dir, "worker.sh") + `"]}`)[0]
	assert.Equal(t, false, a["ok"], d.out.String())
	assert.Contains(t, a["error"], "could not go on")
	assert.Contains(t, a["error"], "log file")
	d.sees(1, `could not go on: .*log file.*; this is start_server .* again$`)
	assert.Equal(t, 1, d.status().Generation)
	assert.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("st"))
	code, printed := d.ask("--restart")
	assert.Zero(t, code, printed)
	d.upgraded()
	d.stop()
	d.runs()
}

func TestUpgradeKeepsItsLogs(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	logger := filepath.Join(dir, "logger.sh")
	require.NoError(t, os.WriteFile(logger, []byte("#!/bin/sh\necho $$ >> loggers\nexec cat >> log\n"), 0o755))
	count := filepath.Join(dir, "count.sh")
	require.NoError(t, os.WriteFile(count, []byte("#!/bin/sh\ntrap 'exit 0' TERM\nn=0\nwhile :; do n=$((n+1)); echo \"$SERVER_STARTER_GENERATION line $n\"; sleep 0.001; done\n"), 0o755))
	d := startIn(t, dir, nil, ours, "--interval=0.2", "--control=ctl", "--log-file=| "+logger, "--prefix-output", "--", count)
	eventually(t, func() bool { return strings.Contains(d.file("log"), "1 line 1\n") }, func() string { return "no line: " + d.out.String() })
	for range 5 {
		d.upgraded("--keep-workers")
	}
	d.upgraded()
	d.stop()
	log := d.file("log")
	assert.Len(t, strings.Fields(d.file("loggers")), 1, "the logger is the same")
	last := map[string]int{}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "[") {
			continue
		}
		_, text, _ := strings.Cut(strings.TrimSpace(line), "] ")
		var generation string
		var n int
		_, err := fmt.Sscanf(text, "%s line %d", &generation, &n)
		require.NoError(t, err, line)
		require.Equal(t, last[generation]+1, n, "a line is lost, or there twice: %q", line)
		last[generation] = n
	}
	assert.Contains(t, last, "2")
	d.runs()
}

// For workers that die with their parent, the kernel would take an exec for the parent's death.
func TestUpgradeOfWorkersThatDieWithTheirParent(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2", "--die-with-parent")
	for range 3 {
		d.upgraded("--keep-workers")
	}
	assert.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("st"))
	d.upgraded()
	d.isKilled()
	d.strangersGo()
}

// strangersGo waits until worker 2 is gone.
func (d *daemon) strangersGo() {
	d.t.Helper()
	pid := d.worker(2)
	eventually(d.t, func() bool { return syscall.Kill(pid, 0) != nil }, func() string { return "worker 2 lives on" })
}

// TERM at any moment around an upgrade stops everything, and leaves nothing.
func TestTERMDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	tries := 12
	if n, err := strconv.Atoi(os.Getenv("UPGRADES")); err == nil {
		tries = n
	}
	slots := make(chan struct{}, 2)
	for n := range tries {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			d := startControlled(t, "--interval=0.1", "--pid-file=pid", "--path=x.sock")
			asked := exec.Command(ours, "--upgrade", "--control="+filepath.Join(d.dir, "ctl"), "--timeout=60")
			require.NoError(t, asked.Start())
			<-time.After(time.Duration(n) * 3 * time.Millisecond)
			d.signal(syscall.SIGTERM)
			asked.Wait()
			if code := d.exit(); code != 0 {
				t.Logf("ended by %v", d.cmd.ProcessState)
			}
			eventually(t, func() bool {
				entries, err := os.ReadDir(d.dir)
				require.NoError(t, err)
				for _, e := range entries {
					if e.Name() != "worker.sh" && !strings.HasPrefix(e.Name(), "gen-") {
						return false
					}
				}
				return len(d.strangers(nil)) == 0
			}, func() string {
				entries, _ := os.ReadDir(d.dir)
				return fmt.Sprintf("left: %v %v", entries, d.strangers(nil))
			})
		})
	}
}

// A reader of the status file finds what serves, at any moment of an upgrade.
func TestStatusFileIsRightAllThroughAnUpgrade(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2") // names the status file by a relative path
	want := d.file("st")
	end, wrong := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(wrong)
		for {
			select {
			case <-end:
				return
			default:
			}
			if text, err := os.ReadFile(filepath.Join(d.dir, "st")); err != nil || string(text) != want {
				wrong <- fmt.Sprintf("%q, %v", text, err)
				return
			}
		}
	}()
	for range 4 {
		d.upgraded("--keep-workers")
	}
	close(end)
	assert.Empty(t, <-wrong)
	d.stop()
}
