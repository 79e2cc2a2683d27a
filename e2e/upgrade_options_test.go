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

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startLate starts workers. Those of later generations are ready only when there is a file go.
func startLate(t *testing.T, dir string, env []string) *daemon {
	t.Helper()
	script := filepath.Join(dir, "late.sh")
	require.NoError(t, os.WriteFile(script, []byte(`#!/bin/sh
trap 'exit 0' TERM
[ $SERVER_STARTER_GENERATION != 1 ] && until [ -e "$TESTDIR/go" ]; do sleep 0.02; done
`+needs(t, "systemd-notify")+` --ready
while :; do sleep 0.05; done
`), 0o755))
	return startIn(t, dir, append(env, "TESTDIR="+dir), ours, "--ready=notify", "--interval=0.1", "--control=ctl", "--status-file=st", "--", script)
}

// A worker that the last image has started says to this one that it is ready.
func TestUpgradeBeforeAWorkerSaysThatItIsReady(t *testing.T) {
	t.Parallel()
	d := startLate(t, tempDir(t), nil)
	d.serves("st", "1:%d\n", d.worker(1))
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	d.upgraded("--keep-workers")
	d.serves("st", "1:%d\n", d.worker(1))
	d.write("go", "")
	d.sees(1, fmt.Sprintf(`^worker %d is ready after [0-9.]+ secs$`, two))
	d.serves("st", "2:%d\n", two)
	d.upgraded()
	d.serves("st", "3:%d\n", d.worker(3))
	d.stop()
	d.runs()
}

func TestUpgradeOfSocketsOfSlots(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := startReuseport(t, addr, ",reuseport", hello, "-all")
	d.answers(1, "tcp", addr)
	l := startLoad(t, "tcp", addr, 4, 0)
	d.upgraded("--keep-workers")
	l.goesOn(50)
	for n := 2; n <= 4; n++ {
		d.upgraded()
		d.slots(n, reuseportWorkers)
		l.goesOn(50)
	}
	// A slot that goes first serves what waits for it. Without reuseport one socket takes the place
	// of all.
	line := []string{"--ready=notify", "--interval=0.1", "--control=ctl", "--status-file=status", "--", hello, "-all"}
	for n, options := range [][]string{{",reuseport", "--workers=2"}, {",reuseport", "--workers=4"}, {"", "--workers=3"}, {",reuseport", "--workers=2"}} {
		d.upgraded(append([]string{"--port=" + addr + options[0], options[1]}, line...)...)
		workers, _ := strconv.Atoi(options[1][len(options[1])-1:])
		d.slots(5+n, workers)
		l.goesOn(50)
	}
	l.stop()
	d.stop()
	d.runs()
}

// Options of a socket end if they are not in the new command line.
func TestUpgradeTakesOptionsOffSockets(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	line := []string{"--interval=0.1", "--control=ctl", "--status-file=st", "--", hello, "-all"}
	d := start(t, ours, append([]string{"--port=" + addr + ",backlog=5,nodelay,defer-accept,fastopen=3,nonblock", "--path=a.sock,mode=0600"}, line...)...)
	d.answers(1, "tcp", addr)
	listening := func() string {
		text, err := exec.Command(needs(t, "ss"), "-Htlno", "src", addr).Output()
		require.NoError(t, err)
		return strings.Fields(string(text))[2]
	}
	mode := func() os.FileMode {
		info, err := os.Stat(filepath.Join(d.dir, "a.sock"))
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	assert.Equal(t, "5", listening())
	assert.Equal(t, os.FileMode(0o600), mode())
	d.upgraded(append([]string{"--port=" + addr, "--path=a.sock"}, line...)...)
	assert.NotEqual(t, "5", listening())
	assert.Equal(t, os.FileMode(0o777), mode())
	d.sees(1, `^port "`+addr+`" stays nonblocking, which workers that run share; a stop and a start ends that$`)
	d.answers(2, "tcp", addr)
	d.stop()
	d.runs()
}

func TestUpgradeWithASocketFromAbove(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"--port=fd://5", "--inherit"} {
		file, addr := listenerFile(t, "tcp4", "127.0.0.1:0")
		line := []string{option, "--interval=0.1", "--control=ctl", "--status-file=st", "--", hello, "-all"}
		cmd := exec.Command(ours, line...)
		cmd.ExtraFiles = []*os.File{nil, nil, file}
		if option == "--inherit" {
			cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "-", ours}, line...)...)
			cmd.ExtraFiles = []*os.File{file}
		}
		d := follow(t, tempDir(t), cmd)
		d.answers(1, "tcp", addr)
		l := startLoad(t, "tcp", addr, 2, 2)
		d.upgraded()
		d.answers(2, "tcp", addr)
		d.upgraded(line[:len(line):len(line)]...)
		d.answers(3, "tcp", addr)
		d.upgraded("--keep-workers")
		l.goesOn(50)
		l.stop()
		d.stop()
		d.runs()
	}
}

func TestUpgradeOfAnotherUsersWorkers(t *testing.T) {
	t.Parallel()
	root(t)
	addr := "127.0.0.1:" + lowPort(t)
	d := startIn(t, openDir(t), nil, ours, "--port="+addr, "--user=nobody", "--interval=0.1", "--ready=notify", "--control=ctl", "--status-file=st", "--", hello, "-all")
	d.answers(1, "tcp", addr)
	uid := id(t, "-u", "nobody")
	d.upgraded()
	d.answers(2, "tcp", addr)
	assert.Equal(t, strings.Repeat(uid+" ", 3)+uid, processStatus(t, d.worker(2), "Uid"))
	d.upgraded("--port="+addr, "--interval=0.1", "--ready=notify", "--control=ctl", "--status-file=st", "--", hello, "-all")
	d.answers(3, "tcp", addr)
	assert.Equal(t, "0 0 0 0", processStatus(t, d.worker(3), "Uid"), "--user is gone")
	d.stop()
	d.runs()
}

// The log has the lines from before the upgrade and after it, and at the end our own stdout is the
// first image's.
func TestUpgradeWithALogFile(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d := startWorkersIn(t, dir, nil, ours, "--control=ctl", "--status-file=st", "--interval=0.1", "--log-file=log")
	line := func(n int) {
		t.Helper()
		seesIn(t, func() string { return d.file("log") }, n, `^worker \d+ is up$`)
	}
	line(1)
	stdout := func(name string) string {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", d.cmd.Process.Pid))
		require.NoError(t, err)
		return filepath.Base(to)
	}
	d.upgraded()
	line(2)
	assert.Equal(t, "log", stdout("1"))
	worker := filepath.Join(dir, "worker.sh")
	d.upgraded("--control=ctl", "--status-file=st", "--interval=0.1", "--log-file=other", "--", worker)
	seesIn(t, func() string { return d.file("other") }, 1, `^this is start_server .* now, in the place of `)
	assert.Equal(t, "other", stdout("1"))
	assert.Equal(t, 2, strings.Count(d.file("log"), "is up"))
	d.upgraded("--control=ctl", "--status-file=st", "--interval=0.1", "--", worker)
	d.sees(1, `^this is start_server .* now, in the place of `)
	d.sees(1, `^worker \d+ is up$`)
	assert.True(t, strings.HasPrefix(stdout("1"), "pipe:"), "as it was started with")
	d.stop()
	d.sees(1, `^exiting$`)
	d.runs()
}

// A log command that was given up is waited for, also by later images. What is written to it
// meanwhile is read, even if it crashes.
func TestUpgradeWhileALogCommandGoes(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	worker := filepath.Join(dir, "stays.sh")
	require.NoError(t, os.WriteFile(worker, []byte(`#!/bin/sh
trap 'until [ -e go ]; do sleep 0.02; done; echo "$$ goes"; exit 0' TERM
while :; do sleep 0.05; done
`), 0o755))
	line := func(log string) []string {
		logger := filepath.Join(dir, log+".sh")
		require.NoError(t, os.WriteFile(logger, []byte("#!/bin/sh\necho $$ >> "+log+".pids\nexec cat >> "+log+"\n"), 0o755))
		return []string{"--control=ctl", "--status-file=st", "--interval=0.1", "--log-file=| " + logger, "--", worker}
	}
	d := startIn(t, dir, nil, ours, line("a")...)
	eventually(t, func() bool { return d.file("a.pids") != "" && d.file("st") != "" }, func() string { return "no log command: " + d.file("a") })
	d.upgraded(line("b")...)
	d.upgraded("--keep-workers")
	first, err := strconv.Atoi(strings.TrimSpace(d.file("a.pids")))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	eventually(t, func() bool { return strings.Count(d.file("a.pids"), "\n") == 2 }, func() string { return "it is not started again: " + d.file("a.pids") })
	second, err := strconv.Atoi(strings.Fields(d.file("a.pids"))[1])
	require.NoError(t, err)
	d.upgraded("--keep-workers")
	d.write("go", "")
	eventually(t, func() bool { return strings.Contains(d.file("a"), " goes\n") }, func() string { return d.file("a") })
	for _, pid := range []int{first, second} {
		eventually(t, func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
			return os.IsNotExist(err)
		}, func() string { return fmt.Sprintf("log command %d is there, or nobody has waited for it", pid) })
	}
	d.stop()
	d.runs()
}

func TestUpgradeOfADaemon(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	line := []string{"--daemonize=ready", "--log-file=log", "--pid-file=pid", "--status-file=status", "--control=ctl", "--interval=0.1", "--"}
	code, printed := command(t, dir, ours, append(line, "sleep", "1000")...)
	require.Zero(t, code, printed)
	pid := daemonPid(t, dir)
	d := &daemon{t: t, dir: dir, out: &testkit.Output{}}
	d.upgraded()
	assert.Regexp(t, `(?m)^2:\d+$`, d.file("status"))
	d.upgraded(append(line, "sleep", "2000")...)
	assert.Regexp(t, `(?m)^3:\d+$`, d.file("status"))
	assert.Equal(t, strconv.Itoa(pid)+"\n", d.file("pid"))
	code, printed = command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Zero(t, code, printed)
	isGone(t, pid)
}

// The caller of --daemonize does not wait for ever: the next image cannot tell it anything.
func TestUpgradeOfADaemonThatIsNotReady(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	cmd := exec.Command(ours, "--daemonize=ready", "--log-file=log", "--pid-file=pid", "--status-file=status", "--control=ctl", "--interval=3", "--", "sleep", "1000")
	cmd.Dir = dir
	printed := &testkit.Output{}
	cmd.Stderr = printed
	require.NoError(t, cmd.Start())
	d := &daemon{t: t, dir: dir, out: printed}
	seesIn(t, func() string { return d.file("log") }, 1, `^starting new worker`)
	d.upgraded("--keep-workers")
	assert.Error(t, cmd.Wait())
	assert.Contains(t, printed.String(), fmt.Sprintf("the daemon, process %d, was upgraded before it was ready, and runs: --status tells how it goes on", daemonPid(t, dir)))
	code, text := command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Zero(t, code, text)
}

// The next image reaps orphans from before, and does not take workers' exits for theirs.
func TestUpgradeOfPID1(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d := startIn(t, dir, nil, needs(t, "unshare"), "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child", ours, "--interval=0.1", "--control=ctl", "--status-file=st", "--", "/bin/sh", "-c",
		`trap 'exit 0' TERM; (sleep 0.3 & sleep 0.4 &) ; echo up as child of $PPID; while :; do sleep 0.05; done`)
	d.sees(1, `^up as child of 1$`)
	for n := 2; n <= 4; n++ {
		d.upgraded()
		d.sees(n, `^up as child of 1$`)
	}
	d.upgraded("--keep-workers")
	d.sees(3, `^old worker \d+ died, status:0$`)
	code, printed := d.ask("--stop", "--timeout=30")
	assert.Zero(t, code, printed)
	assert.Zero(t, d.exit(), d.out)
	d.printsNot("unexpectedly|has failed")
}
