//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root skips the test unless it is run by root, as CI does.
func root(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can do this, and in CI nothing is skipped")
		t.Skip("only root can do this")
	}
}

// openDir is a directory that other users may use.
func openDir(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	return dir
}

// processStatus reads a line of /proc/PID/status.
func processStatus(t *testing.T, pid int, key string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`(?m)^` + key + `:[ \t]*(.*)$`).FindStringSubmatch(string(text))
	require.NotNil(t, found, key)
	return strings.Join(strings.Fields(found[1]), " ")
}

func id(t *testing.T, option, user string) string {
	t.Helper()
	text, err := exec.Command("id", option, user).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func TestRootBecomesNobody(t *testing.T) {
	root(t)
	addr := "127.0.0.1:" + lowPort(t)
	script := "echo generation $SERVER_STARTER_GENERATION writes; exec " + hello
	d := startIn(t, openDir(t), nil, ours, "--port="+addr, "--user=nobody", "--umask=027", "--nice=3", "--interval=0.4", "--kill-timeout=5",
		"--log-file=log", "--status-file=status", "--control=ctl", "--", "/bin/sh", "-c", script)
	eventually(t, func() bool { return strings.Count(d.file("status"), "\n") == 1 }, func() string { return d.file("log") })
	l := startLoad(t, "tcp", addr, 4, 0)
	for generation := range 3 {
		l.goesOn(100)
		if generation > 0 {
			code, printed := d.ask("--restart", "--drained", "--timeout=30")
			require.Zero(t, code, printed)
		}
		pid := d.status().Workers[0].Pid
		uid, gid := id(t, "-u", "nobody"), id(t, "-g", "nobody")
		assert.Equal(t, strings.Repeat(uid+" ", 3)+uid, processStatus(t, pid, "Uid"), "real, effective, saved and of files")
		assert.Equal(t, strings.Repeat(gid+" ", 3)+gid, processStatus(t, pid, "Gid"))
		assert.Equal(t, id(t, "-G", "nobody"), processStatus(t, pid, "Groups"))
		assert.Equal(t, "0027", processStatus(t, pid, "Umask"))
		assert.Equal(t, min(19, niceness(t, os.Getpid())+3), niceness(t, pid))
		assert.Contains(t, d.file("log"), fmt.Sprintf("generation %d writes\n", generation+1), "the log file is root's, and open")
		assert.Equal(t, "nobody", environ(t, pid, "USER"))
		assert.Equal(t, "/nonexistent", environ(t, pid, "HOME"))
	}
	l.stop()
	assert.Equal(t, "0 0 0 0", processStatus(t, d.cmd.Process.Pid, "Uid"), "start_server is what it was")
	d.stop()
}

func TestSupplementaryGroups(t *testing.T) {
	t.Parallel()
	root(t)
	for option, want := range map[string][2]string{
		"--user=daemon":             {id(t, "-g", "daemon"), id(t, "-G", "daemon")},
		"--user=daemon --group=adm": {groupID(t, "adm"), ""},
		"--group=adm":               {groupID(t, "adm"), ""},
	} {
		d := startIn(t, openDir(t), nil, ours, append(strings.Fields(option), "--interval=0.2", "--", "sleep", "1000")...)
		pid := d.worker(1)
		eventually(t, func() bool { return strings.HasPrefix(processStatus(t, pid, "Gid"), want[0]+" ") }, func() string {
			return option + ": " + processStatus(t, pid, "Gid")
		})
		if want[1] != "" {
			assert.Equal(t, want[1], processStatus(t, pid, "Groups"))
		}
		d.stop()
	}
}

func groupID(t *testing.T, name string) string {
	t.Helper()
	text, err := exec.Command("getent", "group", name).Output()
	require.NoError(t, err)
	return strings.Split(string(text), ":")[2]
}

// A worker of another user than root acknowledges over the control socket, as einhorn's do.
func TestNobodyAcknowledges(t *testing.T) {
	t.Parallel()
	root(t)
	nc := needs(t, "nc")
	script := `echo '{"command":"worker:ack","pid":'$$'}' | ` + nc + ` -NU "$EINHORN_SOCK_PATH"; echo '{"command":"stop"}' | ` + nc + ` -NU "$EINHORN_SOCK_PATH"; exec sleep 1000`
	d := startIn(t, openDir(t), nil, ours, "--user=nobody", "--ready=notify", "--interval=0.2", "--control=ctl", "--", "/bin/sh", "-c", script)
	d.sees(1, `^worker \d+ is ready`)
	d.sees(1, `^refused on the control socket: process \d+: user \d+, which the workers run as, may only acknowledge`)
	d.stop()
}

func TestBadUser(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	path := filepath.Join(dir, "left")
	files := []string{"--port=127.0.0.1:0", "--path=" + path + ".sock", "--pid-file=" + path + ".pid", "--"}
	for option, want := range map[string]string{
		"--user=no-such-user":   `user "no-such-user"`,
		"--group=no-such-group": `group "no-such-group"`,
	} {
		code, printed := command(t, dir, ours, append([]string{option}, append(files, "true")...)...)
		assert.Equal(t, 2, code, printed)
		assert.Contains(t, printed, want)
		assert.Len(t, strings.Split(strings.TrimSpace(printed), "\n"), 1, printed)
	}
	root(t)
	setpriv := needs(t, "setpriv")
	d := startIn(t, dir, nil, setpriv, append([]string{"--reuid=nobody", "--regid=nogroup", "--clear-groups", ours, "--user=daemon"}, append(files, "true")...)...)
	assert.Equal(t, 2, d.exit())
	assert.Len(t, strings.Split(strings.TrimSpace(d.out.String()), "\n"), 1, d.out)
	assert.Contains(t, d.out.String(), "cannot switch to user")
	left, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestDieWithParent(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--die-with-parent", "--workers=2", "--interval=0.2", "--status-file=status")
	pids := d.slots(1, 2)
	d.signal(syscall.SIGHUP)
	old, pids := pids, d.slots(2, 2)
	d.sees(4, `^worker \d+ is up`)
	for _, pid := range old {
		isGone(t, pid)
	}
	d.signal(syscall.SIGKILL)
	for _, pid := range pids {
		isGone(t, pid)
		d.sees(1, fmt.Sprintf("^told TERM: %d$", pid))
	}
}

func TestWithoutDieWithParentWorkersServeOn(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--status-file=status")
	d.serves("status", "1:%d\n", d.worker(1))
	d.isKilled()
	assert.True(t, alive(d.worker(1)))
}

func TestSubreaper(t *testing.T) {
	t.Parallel()
	script := `trap 'echo told USR1' USR1; (sleep 0.3 & echo $! >orphan; kill -STOP $! ; kill -CONT $!) ; echo up; while :; do sleep 0.05; done`
	d := start(t, ours, "--subreaper", "--interval=0.2", "--status-file=status", "--", "/bin/sh", "-c", script)
	d.sees(1, `^up$`)
	orphan, err := strconv.Atoi(strings.TrimSpace(d.file("orphan")))
	require.NoError(t, err)
	eventually(t, func() bool {
		_, there := processes(t)[orphan]
		return !there
	}, func() string {
		return fmt.Sprintf("orphan %d is there, or its zombie: %v", orphan, processes(t)[orphan])
	})
	d.signal(syscall.SIGUSR1)
	d.sees(1, fmt.Sprintf(`^received USR1, sending USR1 to workers:%d$`, d.worker(1)))
	d.sees(1, `^told USR1$`)
	d.stop()
}

func TestEnvironmentThatIsKeptFromWorkers(t *testing.T) {
	t.Parallel()
	given := []string{"SECRET=1", "OTHER=2", "KILL_OLD_DELAY=0.1"}
	d := startWorkersIn(t, tempDir(t), given, ours, "--drop-env=SECRET", "--interval=0.2")
	env := d.env(1)
	assert.NotContains(t, env, "SECRET")
	assert.Equal(t, "2", env["OTHER"])
	assert.Contains(t, env, "PATH")
	d.stop()

	dir := tempDir(t)
	d = startIn(t, dir, given, ours, "--clear-env", "--port=127.0.0.1:0", "--interval=0.2", "--", "/usr/bin/env")
	text := strings.Join(d.sees(1, `^starting new worker \d+\n((?:[A-Z_]+=.*\n)+)`)[:1], "")
	d.signal(syscall.SIGTERM)
	d.exit()
	var names []string
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	assert.ElementsMatch(t, []string{"PATH", "KILL_OLD_DELAY", "SERVER_STARTER_PORT", "SERVER_STARTER_GENERATION"}, names)
}

// A worker that removes the path as it leaves, as php-fpm does.
func TestPathThatAWorkerRemoves(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--path=app.sock", "--interval=0.2", "--export=php-fpm", "--", "/bin/sh", "-c", "trap 'rm app.sock; exit' TERM; echo up; while :; do sleep 0.05; done")
	d.sees(1, `^php-fpm removes app.sock when it leaves, and then new workers cannot be reached: `)
	d.sees(1, `^up$`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^old worker \d+ died, status:0$`)
	d.sees(1, `^app.sock was removed: new connections to it fail until start_server is restarted$`)
	d.stop()
	assert.Len(t, d.sees(1, `^app.sock was removed`), 1, "once is enough")
}

// niceness is the nice value of a process (proc_pid_stat(5)).
func niceness(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	n, err := strconv.Atoi(strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))[17])
	require.NoError(t, err)
	return n
}
