//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// stopsChildren starts a process of a user that stops the children of parent, except known
// ones, as soon as they run as that user, until end is called.
func stopsChildren(t *testing.T, uid, parent int, known ...int) (end func()) {
	t.Helper()
	script := `
parent=$1 known=" $2 "
while :; do
    for task in /proc/$parent/task/*/children; do
        children= ; read -r children <$task
        for child in $children; do
            case $known in *" $child "*) ;; *) kill -STOP $child ;; esac
        done
    done
done 2>/dev/null`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", strconv.Itoa(parent), strings.Trim(fmt.Sprint(known), "[]"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Dir = "/"
	require.NoError(t, cmd.Start())
	end = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	t.Cleanup(end)
	return end
}

// slowToExecute is a program and a PATH with which an exec takes a user some milliseconds:
// there are many files of that name, and only the last one is for other users than root.
func slowToExecute(t *testing.T) (path, program string) {
	t.Helper()
	dir := openDir(t)
	denied, allowed := filepath.Join(dir, "denied"), filepath.Join(dir, "allowed")
	for at, mode := range map[string]os.FileMode{denied: 0o700, allowed: 0o755} {
		require.NoError(t, os.Mkdir(at, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(at, "server"), []byte("#!/bin/sh\nexec sleep 1000\n"), mode))
	}
	return "PATH=" + strings.Repeat(denied+":", 4000) + allowed + ":/usr/bin:/bin", "server"
}

// stoppedChild waits for a stopped child of parent. Known children do not count.
func stoppedChild(t *testing.T, parent int, known ...int) (pid int) {
	t.Helper()
	eventually(t, func() bool {
		for child, p := range processes(t) {
			if p.parent == parent && !slices.Contains(known, child) && p.state == "T" {
				pid = child
				return true
			}
		}
		return false
	}, func() string { return "no child is stopped" })
	return pid
}

// stopsOneBeforeItsExec starts generations until a process is stopped that still runs our
// program. One that is stopped later, on a busy machine, goes on as a worker does.
func (d *daemon) stopsOneBeforeItsExec(uid int) (stopped int) {
	d.t.Helper()
	image, err := os.Stat(ours)
	require.NoError(d.t, err)
	for {
		known := d.lists(1)
		d.runs(known...)
		end := stopsChildren(d.t, uid, d.cmd.Process.Pid, known...)
		d.signal(syscall.SIGHUP)
		stopped = stoppedChild(d.t, d.cmd.Process.Pid, known...)
		end()
		exe, err := os.Stat(fmt.Sprintf("/proc/%d/exe", stopped))
		if err == nil && os.SameFile(exe, image) {
			return stopped
		}
		require.NoError(d.t, syscall.Kill(stopped, syscall.SIGCONT))
		d.isReplaced(known[0])
	}
}

// isReplaced waits until another worker serves, alone.
func (d *daemon) isReplaced(old int) {
	d.t.Helper()
	eventually(d.t, func() bool { now := d.listed(); return len(now) == 1 && now[0] != old }, d.out.String)
}

// The workers' user stops a process between setuid(2) and exec(2), before it becomes a worker.
func TestAProcessThatIsStoppedBeforeItsExecHoldsNothingUp(t *testing.T) {
	t.Parallel()
	root(t)
	const uid = 64001
	path, program := slowToExecute(t)
	d := startIn(t, openDir(t), []string{path}, ours, fmt.Sprintf("--user=%d", uid), fmt.Sprintf("--group=%d", uid),
		"--interval=0.2", "--kill-timeout=0.5", "--status-file=status", "--", program)
	stopped := d.stopsOneBeforeItsExec(uid)
	serving := d.lists(1)[0]
	d.sees(1, `^new worker of generation \d+ failed to start: program "server": was killed, as it was not executed within 10s$`)
	isGone(t, stopped)
	d.isReplaced(serving)

	stopped = d.stopsOneBeforeItsExec(uid)
	d.stop()
	isGone(t, stopped)
}

// A limit of processes is reached: no restart succeeds, and nothing else is lost.
func TestALimitOfProcessesFailsAttemptsOnly(t *testing.T) {
	t.Parallel()
	root(t)
	cmd := exec.Command(ours, "--interval=0.2", "--status-file=status", "--die-with-parent", "--", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 64002, Gid: 64002}}
	d := follow(t, openDir(t), cmd)
	d.serves("status", "1:%d\n", d.worker(1))
	limit := func(soft string) {
		c := exec.Command(needs(t, "prlimit"), "--pid="+strconv.Itoa(cmd.Process.Pid), "--nproc="+soft+":")
		c.SysProcAttr = &syscall.SysProcAttr{Credential: cmd.SysProcAttr.Credential}
		text, err := c.CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	limit("1")
	for n := range 5 {
		d.signal(syscall.SIGHUP)
		d.sees(n+1, `^new worker of generation \d+ failed to start: .*resource temporarily unavailable$`)
	}
	d.serves("status", "1:%d\n", d.worker(1))
	limit("1000")
	d.signal(syscall.SIGHUP)
	second := d.worker(2)
	eventually(t, func() bool { return strings.HasSuffix(d.file("status"), fmt.Sprintf(":%d\n", second)) }, d.out.String)
	d.stop()
}
