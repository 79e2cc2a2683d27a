//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two users that are not ours.
const (
	appUser   = 65534 // Debian's nobody, which workers run as
	otherUser = 54321
)

// appDir is a directory of the application's user. victim is a file of root beside it.
func appDir(t *testing.T) (dir, victim string) {
	t.Helper()
	root(t)
	base := tempDir(t)
	require.NoError(t, os.Chmod(base, 0o755))
	dir, victim = filepath.Join(base, "app"), filepath.Join(base, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("root's"), 0o600))
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Chown(dir, appUser, appUser))
	return dir, victim
}

func appLink(t *testing.T, to, path string) {
	t.Helper()
	require.NoError(t, os.Symlink(to, path))
	require.NoError(t, os.Lchown(path, appUser, appUser))
}

func TestRootFollowsNoSymlinkOfTheApplication(t *testing.T) {
	t.Parallel()
	for option, name := range map[string]string{
		"--pid-file": "link", "--log-file": "link", "--status-file": "dir/victim", "--path": "dir/victim", "--control": "dir/ctl",
	} {
		dir, victim := appDir(t)
		appLink(t, victim, filepath.Join(dir, "link"))
		appLink(t, filepath.Dir(victim), filepath.Join(dir, "dir"))
		code, printed := command(t, dir, ours, option+"="+filepath.Join(dir, name), "--interval=0.1", "--", "false")
		assert.Equal(t, 1, code, option)
		assert.Contains(t, printed, "a symlink on the way is user 65534's, who is neither root nor the user that runs this, and is not followed", option)
		text, err := os.ReadFile(victim)
		require.NoError(t, err)
		assert.Equal(t, "root's", string(text), option)
		entries, err := os.ReadDir(filepath.Dir(victim))
		require.NoError(t, err)
		assert.Len(t, entries, 2, option)
	}
}

func TestRootReadsNoSecretIntoTheEnvironment(t *testing.T) {
	t.Parallel()
	dir, victim := appDir(t)
	env := filepath.Join(dir, "env")
	require.NoError(t, os.Mkdir(env, 0o755))
	require.NoError(t, os.Chown(env, appUser, appUser))
	d := start(t, ours, "--envdir="+env, "--user="+strconv.Itoa(appUser), "--interval=0.2", "--", "/bin/sh", "-c", "echo got:$SECRET:; exec sleep 1000")
	d.sees(1, `^got::$`)
	appLink(t, victim, filepath.Join(env, "SECRET"))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: envdir: open \S+/SECRET: a symlink on the way is user 65534's`)
	require.NoError(t, os.Remove(filepath.Join(env, "SECRET")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(env, "SECRET"), 0o644))
	d.sees(2, `^got::$`)
	d.stop()
}

// Links that an operator has made are followed, such as those of Kubernetes secrets.
func TestLinksOfTheOperatorAreFollowed(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "env/..2026"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "logs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "env/..2026/SECRET"), []byte("open sesame\n"), 0o644))
	for from, to := range map[string]string{
		"env/..data": "..2026", "env/SECRET": "..data/SECRET", "log": "logs/today", "pid": "logs/pid",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, from)))
	}
	d := startIn(t, dir, nil, ours, "--envdir=env", "--log-file=log", "--pid-file=pid", "--interval=0.2", "--", "/bin/sh", "-c", "echo got:$SECRET:; exec sleep 1000")
	seesIn(t, func() string { return d.file("logs/today") }, 1, `^got:open sesame:$`)
	assert.Equal(t, fmt.Sprintln(d.cmd.Process.Pid), d.file("logs/pid"))
	d.stop()
}

func TestWhatIsNoFileIsNeitherWaitedForNorRemoved(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	fifo, null := filepath.Join(dir, "fifo"), filepath.Join(dir, "null")
	require.NoError(t, syscall.Mkfifo(fifo, 0o666))
	paths := []string{fifo}
	if os.Geteuid() == 0 {
		require.NoError(t, syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3))
		paths = append(paths, null)
	}
	for _, path := range paths {
		for _, args := range [][]string{
			{"--pid-file=" + path, "--", "true"},
			{"--status-file=" + path, "--", "true"},
			{"--path=" + path, "--", "true"},
			{"--control=" + path, "--", "true"},
			{"--stop", "--timeout=1", "--pid-file=" + path},
			{"--restart", "--timeout=1", "--pid-file=" + path, "--status-file=" + path},
		} {
			code, printed := command(t, dir, "/usr/bin/timeout", append([]string{"20", ours}, args...)...)
			assert.Equal(t, 1, code, "%q: %s", args, printed)
			info, err := os.Lstat(path)
			if assert.NoError(t, err, "%q has removed it", args) {
				assert.False(t, info.Mode().IsRegular(), args)
			}
		}
	}
}

// holder is a process of another user that has a file locked.
func holder(t *testing.T, path string) int {
	t.Helper()
	script := fmt.Sprintf("import fcntl,os,sys\nos.setuid(%d); f=open(sys.argv[1]); fcntl.flock(f,fcntl.LOCK_EX); print('held',flush=True); sys.stdin.read()", otherUser)
	c := exec.Command(python(t), "-c", script, path)
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		in.Close()
		c.Process.Kill()
		c.Wait()
	})
	said := make([]byte, 4)
	_, err = out.Read(said)
	require.NoError(t, err)
	require.Equal(t, "held", string(said))
	return c.Process.Pid
}

// A stale pid file of root may name any process by now, and any user can lock it.
func TestLockOfAnotherUserProvesNothing(t *testing.T) {
	t.Parallel()
	_, victim := appDir(t)
	stranger := exec.Command("sleep", "1000")
	require.NoError(t, stranger.Start())
	t.Cleanup(func() { stranger.Process.Kill(); stranger.Wait() })
	pid := filepath.Join(filepath.Dir(victim), "pid")
	require.NoError(t, os.WriteFile(pid, fmt.Appendln(nil, stranger.Process.Pid), 0o644))
	holder(t, pid)
	for _, args := range [][]string{
		{"--stop", "--timeout=1", "--pid-file=" + pid},
		{"--restart", "--timeout=1", "--pid-file=" + pid, "--status-file=" + victim + ".none"},
	} {
		code, printed := command(t, filepath.Dir(pid), ours, args...)
		assert.Equal(t, 1, code)
		assert.Contains(t, printed, fmt.Sprintf("names process %d, but another process has locked it: nothing was signalled", stranger.Process.Pid))
	}
	assert.True(t, alive(stranger.Process.Pid))

	d := start(t, ours, "--pid-file="+pid, "--interval=0.2", "--", "sleep", "1000")
	d.worker(1)
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintln(d.cmd.Process.Pid), string(text))
	code, printed := command(t, filepath.Dir(pid), ours, "--stop", "--timeout=20", "--pid-file="+pid)
	assert.Zero(t, code, printed)
	assert.Zero(t, d.exit())
}

// A pid file of another user may name any process, but that process is not killed for it.
// Root may stop what that user has started itself.
func TestPidFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	dir, _ := appDir(t)
	pid := filepath.Join(dir, "pid")
	require.NoError(t, os.WriteFile(pid, fmt.Appendln(nil, os.Getpid()), 0o644))
	require.NoError(t, os.Chown(pid, appUser, appUser))
	code, printed := command(t, dir, ours, "--pid-file="+pid, "--", "true")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "is user 65534's, who is neither root nor the user that runs this")
	require.NoError(t, os.Remove(pid))

	cmd := exec.Command(ours, "--pid-file="+pid, "--interval=0.2", "--", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}}
	d := follow(t, dir, cmd)
	d.worker(1)
	code, printed = command(t, dir, ours, "--stop", "--timeout=20", "--pid-file="+pid)
	assert.Zero(t, code, printed)
	assert.Zero(t, d.exit())
}

// A second start that fails leaves the first one, which runs, as it is.
func TestPathOnWhichAnotherListensIsKept(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--path=s.sock", "--interval=0.2", "--", "sleep", "1000")
	d.worker(1)
	for _, args := range [][]string{{}, {"--status-file=/no/such/dir/status"}} {
		code, printed := command(t, d.dir, ours, append(args, "--path=s.sock", "--", "sleep", "1000")...)
		assert.Equal(t, 1, code)
		assert.Regexp(t, fmt.Sprintf(`: a process listens there already; stop it, or choose another path: process %d \(\S*start_server `, d.cmd.Process.Pid), printed)
	}
	conn, err := net.Dial("unix", filepath.Join(d.dir, "s.sock"))
	require.NoError(t, err)
	conn.Close()
	d.stop()
}

func TestControlSocketThatIsRemovedIsMadeAnew(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--control=ctl", "--interval=0.2", "--", "sleep", "1000")
	d.worker(1)
	for n, happens := range []func(worker int){
		func(int) { d.signal(syscall.SIGHUP) },
		func(worker int) { require.NoError(t, syscall.Kill(worker, syscall.SIGKILL)) },
	} {
		eventually(t, func() bool { s := d.status(); return s.Generation == n+1 && len(s.Workers) == 1 }, d.out.String)
		worker := d.status().Workers[0].Pid
		require.NoError(t, os.Remove(filepath.Join(d.dir, "ctl")))
		happens(worker)
		d.sees(n+1, `^the control socket was removed: it was made anew$`)
		eventually(t, func() bool { code, _ := command(t, d.dir, ours, "--status", "--control=ctl"); return code == 0 }, d.out.String)
	}
	d.stop()
	assert.NoFileExists(t, filepath.Join(d.dir, "ctl"))
}

// The workers of a start_server that was killed have its port: the next start names them.
func TestStartAfterKillNamesWhatIsLeft(t *testing.T) {
	t.Parallel()
	dir, tmp, port := tempDir(t), tempDir(t), freePort(t)
	args := []string{"--port=" + port, "--pid-file=pid", "--status-file=status", "--interval=0.2", "--", "sleep", "1000"}
	d := startIn(t, dir, []string{"TMPDIR=" + tmp}, ours, args...)
	eventually(t, func() bool { return d.file("status") != "" }, d.out.String)
	worker := d.worker(1)
	d.isKilled()
	code, printed := command(t, dir, ours, args...)
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, fmt.Sprintf(`address already in use; stop what uses it, or choose another one: process %d (sleep 1000) has it; status file "status" lists %d: if its start_server was killed, end the workers it left behind: kill %d`, worker, worker, worker))
	require.NoError(t, syscall.Kill(worker, syscall.SIGTERM))
	isGone(t, worker)
	d = startIn(t, dir, nil, ours, args...)
	d.worker(1)
	d.stop()
}

// A status file that could not be written is tried again, even if nothing changes.
func TestStatusFileIsTriedAgainByTheClock(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	in := filepath.Join(dir, "in")
	require.NoError(t, os.Mkdir(in, 0o755))
	d := startIn(t, dir, nil, ours, "--status-file=in/status", "--interval=0.5", "--", "sleep", "1000")
	d.worker(1)
	require.NoError(t, os.Rename(in, in+".away"))
	d.sees(1, `^status file: .*: trying again until it is right$`)
	require.NoError(t, os.Rename(in+".away", in))
	d.sees(1, `^the status file is right again$`)
	assert.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("in/status"))
	d.stop()
	assert.NoFileExists(t, filepath.Join(in, "status"))
}

// The notify socket of a start_server that was killed leaves nothing in TMPDIR, and
// nothing for ever elsewhere.
func TestNotifySocketOfOneThatWasKilled(t *testing.T) {
	t.Parallel()
	tmp, runtime := tempDir(t), tempDir(t)
	begin := func() (*daemon, string) {
		d := startIn(t, tempDir(t), []string{"TMPDIR=" + tmp, "XDG_RUNTIME_DIR=" + runtime}, ours, "--port=127.0.0.1:0", "--ready=notify", "--die-with-parent", "--", hello)
		d.sees(1, `^worker \d+ is ready after`)
		return d, environ(t, d.worker(1), "NOTIFY_SOCKET")
	}
	d, left := begin()
	d.isKilled()
	entries, err := os.ReadDir(tmp)
	require.NoError(t, err)
	assert.Empty(t, entries)
	d, _ = begin()
	eventually(t, func() bool { _, err := os.Lstat(filepath.Dir(left)); return os.IsNotExist(err) }, func() string { return left + " is still there" })
	d.stop()
}

func TestNotifyWhereTMPDIRIsOfNoUse(t *testing.T) {
	t.Parallel()
	root(t)
	readOnly := tempDir(t)
	require.NoError(t, os.Chmod(readOnly, 0o555))
	full := tempDir(t)
	for _, tmp := range []string{"/no/such/dir", "/dev/null", readOnly, full} {
		command := []string{ours, "--port=127.0.0.1:0", "--ready=notify", "--", hello}
		attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}}
		if tmp == full { // a file system with no room for one more file
			mount := fmt.Sprintf(`mount -t tmpfs -o nr_inodes=1,mode=1777 full "$TMPDIR" && ! mkdir "$TMPDIR/x" && exec setpriv --reuid=%d --regid=%d --clear-groups "$@"`, appUser, appUser)
			command, attr = append([]string{needs(t, "unshare"), "--mount", "sh", "-c", mount, "sh"}, command...), nil
		}
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = []string{"TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
		cmd.SysProcAttr = attr
		d := follow(t, "/", cmd)
		d.sees(1, `^worker \d+ is ready after`)
		d.stop()
	}
}

// A worker has no descriptor of the log with --prefix-output.
func TestWorkerCannotForgeTheLog(t *testing.T) {
	t.Parallel()
	python := python(t)
	script := "import os,sys\ntry: os.ftruncate(1,0); print('truncated')\nexcept OSError as e: print('refused')\nprint('received TERM, sending TERM to all workers:1',flush=True)\nos.execvp('sleep',['sleep','1000'])"
	d := start(t, ours, "--log-file=log", "--prefix-output", "--interval=0.2", "--", python, "-c", script)
	log := func() string { return d.file("log") }
	seesIn(t, log, 1, `^\[\d+\] refused\n\[\d+\] received TERM, sending TERM to all workers:1$`)
	seesIn(t, log, 1, `^starting new worker \d+$`)
	d.stop()
}
