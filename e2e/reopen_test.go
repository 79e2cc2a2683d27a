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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// renames renames the log, as logrotate does.
func (d *daemon) renames(from, to string) {
	d.t.Helper()
	require.NoError(d.t, os.Rename(filepath.Join(d.dir, from), filepath.Join(d.dir, to)))
}

// startLogging runs start_server with a control socket, until it serves, wherever it logs to.
func startLogging(t *testing.T, options ...string) *daemon {
	t.Helper()
	d := startWorkers(t, ours, append([]string{"--control=ctl", "--status-file=st", "--interval=0.2"}, options...)...)
	eventually(t, func() bool { return d.file("st") != "" }, func() string { return "nothing serves; it printed:\n" + d.out.String() })
	return d
}

// logsTo are the files that its own stdout and stderr are.
func (d *daemon) logsTo() (files [2]string) {
	d.t.Helper()
	for i := range files {
		var err error
		files[i], err = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", d.cmd.Process.Pid, i+1))
		require.NoError(d.t, err)
		files[i] = filepath.Base(files[i])
	}
	return files
}

func TestHUPMovesOnToTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{false, true} {
		d := startLogging(t, "--log-file=log")
		read := func() string { return d.file("log") }
		seesIn(t, read, 1, `^worker \d+ is up$`)
		d.renames("log", "log.1")
		if there {
			d.write("log", "made by logrotate\n")
		}
		d.signal(syscall.SIGHUP)
		seesIn(t, read, 1, `^new worker is now running, sending TERM to old workers:\d+$`)
		seesIn(t, func() string { return d.file("log.1") }, 1, `^received HUP, spawning a new worker$`)
		seesIn(t, read, 1, `^worker \d+ is up$`)
		assert.Regexp(t, `"log" is another file now: the log goes there\nstarting new worker \d+\n`, read())
		assert.Equal(t, there, strings.HasPrefix(read(), "made by logrotate\n"))
		assert.NotContains(t, d.file("log.1"), "another file")
		assert.Equal(t, [2]string{"log", "log"}, d.logsTo())
		seesIn(t, read, 1, `^old worker \d+ died, status:0$`)
		d.stop()
	}
}

func TestReopenAndUSR1(t *testing.T) {
	t.Parallel()
	d := startLogging(t, "--log-file=log", "--log-workers")
	read := func() string { return d.file("log") }
	said := fmt.Sprintf("%q is another file now: the log goes there\n", "log")
	code, printed := d.ask("--reopen")
	assert.Zero(t, code)
	assert.Equal(t, "nothing to reopen: \"log\" is the file that the log is written to\n", printed)
	d.renames("log", "log.1")
	code, printed = d.ask("--reopen")
	assert.Zero(t, code)
	assert.Equal(t, said, printed)
	assert.Regexp(t, `^reopen asked for by process \d+: `+said+`$`, read())
	d.renames("log", "log.2")
	d.signal(syscall.SIGUSR1)
	seesIn(t, read, 1, `^received USR1: "log" is another file now`)
	d.signal(syscall.SIGUSR1)
	seesIn(t, read, 1, `^received USR1: nothing to reopen: "log" is the file that the log is written to$`)
	d.renames("log", "log.3")
	require.NoError(t, os.Mkdir(filepath.Join(d.dir, "log"), 0o755))
	code, printed = d.ask("--reopen")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^start_server: the log file cannot be reopened, and the old one stays in use: open .*/log: is a directory\n$`, printed)
	code, printed = d.ask("--restart")
	require.Zero(t, code, printed)
	seesIn(t, func() string { return d.file("log.3") }, 2, `the log file cannot be reopened, and the old one stays in use: open .*/log: is a directory$`)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "log")))
	code, printed = d.ask("--reopen")
	assert.Zero(t, code, printed)
	assert.Equal(t, [2]string{"log", "log"}, d.logsTo())
	d.stop()
	assert.Contains(t, read(), "\nexiting\n")
}

func TestReopenSaysWhatWorkersStillWriteTo(t *testing.T) {
	t.Parallel()
	d := startLogging(t, "--log-file=log")
	d.renames("log", "log.1")
	_, printed := d.ask("--reopen")
	assert.Equal(t, "\"log\" is another file now: the log goes there; running workers write to the old file until they are restarted\n", printed)
	d.stop()
}

func TestNothingToReopen(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"":           "nothing to reopen: there is no log file\n",
		"| cat >> l": "nothing to reopen: the log goes to the command \"cat >> l\"\n",
		"syslog:app": "nothing to reopen: the log goes to syslog\n",
	} {
		options := []string{}
		if file != "" {
			options = append(options, "--log-file="+file)
		}
		if file == "syslog:app" {
			needs(t, "logger")
		}
		d := startLogging(t, options...)
		code, printed := d.ask("--reopen")
		assert.Zero(t, code, file)
		assert.Equal(t, want, printed, file)
		d.stop()
	}
}

func TestDaemonReopensItsLog(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	code, printed := command(t, dir, ours, "--daemonize=ready", "--log-file=log", "--pid-file=pid", "--control=ctl", "--interval=0.2", "--", "/bin/sh", "-c", "sleep 1000")
	require.Zero(t, code, printed)
	d := &daemon{t: t, dir: dir}
	pid, err := strconv.Atoi(strings.TrimSpace(d.file("pid")))
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Kill(-pid, syscall.SIGKILL) })
	d.renames("log", "log.1")
	code, printed = d.ask("--reopen")
	assert.Zero(t, code)
	assert.Contains(t, printed, `"log" is another file now`)
	code, printed = d.ask("--stop")
	assert.Zero(t, code, printed)
	isGone(t, pid)
	assert.Contains(t, d.file("log"), "\nexiting\n")
}

// As PID 1, and with --subreaper, USR1 is for the workers, too: they may have logs of their own.
func TestUSR1IsForTheWorkersToo(t *testing.T) {
	t.Parallel()
	script := `trap 'echo told USR1' USR1; echo up; while :; do sleep 0.05; done`
	for _, file := range []string{"log", "| cat >> log"} {
		d := start(t, ours, "--subreaper", "--interval=0.2", "--log-workers", "--log-file="+file, "--", "/bin/sh", "-c", script)
		read := func() string { return d.file("log") }
		seesIn(t, read, 1, ` up$`)
		if file == "log" {
			d.renames("log", "log.1")
		}
		d.signal(syscall.SIGUSR1)
		seesIn(t, read, 1, `^received USR1, sending USR1 to workers:\d+$`)
		seesIn(t, read, 1, ` told USR1$`)
		if file == "log" {
			seesIn(t, read, 1, `^received USR1: "log" is another file now`)
		}
		assert.NotContains(t, read(), "nothing to reopen")
		d.stop()
	}
}

// The next image goes on with the pipes of the workers, and writes to the file that is there.
func TestUpgradeWritesToTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	options := []string{"--interval=0.2", "--workers=2", "--log-file=app.log", "--log-workers", "--log-format=json", "--control=ctl"}
	d := startIn(t, dir, nil, ours, append(options, "--", "/bin/sh", "-c", counting)...)
	read := func() string { return d.file("app.log") }
	seesIn(t, read, 100, `"event":"output"`)
	r := &rotator{t: t, dir: dir}
	for n := 9; n > 0; n-- {
		d.renames("app.log", fmt.Sprintf("app.log.%d", n))
		if n%3 == 0 {
			code, printed := d.ask("--reopen")
			require.Zero(t, code, printed)
		}
		d.upgraded("--keep-workers")
		seesIn(t, read, 20, `"event":"output","generation":1,"slot":[01],"pid":\d+,"stream":"std(out|err)"`)
	}
	d.stop()
	log, files := r.all()
	assert.Equal(t, 10, files)
	lines, workers := counted(t, log)
	assert.Equal(t, 2, workers)
	t.Logf("%d lines over 9 upgrades", lines)
}

// Another user that may write to the directory cannot make the log go elsewhere.
func TestReopenFollowsNoStrangersLink(t *testing.T) {
	t.Parallel()
	root(t)
	d := startLogging(t, "--log-file=log")
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "secret"), nil, 0o600))
	d.renames("log", "log.1")
	require.NoError(t, exec.Command("ln", "-s", "secret", filepath.Join(d.dir, "log")).Run())
	require.NoError(t, os.Lchown(filepath.Join(d.dir, "log"), 65534, 65534))
	code, printed := d.ask("--reopen")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "a symlink on the way is user 65534's")
	d.stop()
	assert.Empty(t, d.file("secret"))
	assert.Contains(t, d.file("log.1"), "exiting\n")
}
