//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// O_NONBLOCK is a flag of the open file, which start_server and its workers share: node
// sets it on its stderr.
func TestLogLinesWaitForAStderrThatDoesNotBlock(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	require.NoError(t, err)
	cmd := exec.Command("/bin/sh", "-c", `exec "$0" --interval=0.2 --status-file=status -- sleep 1000 2>&3`, ours)
	cmd.ExtraFiles = []*os.File{w}
	d := follow(t, tempDir(t), cmd)
	eventually(t, func() bool { return strings.HasPrefix(d.file("status"), "1:") }, func() string { return "it does not start" })

	require.NoError(t, unix.SetNonblock(pipeEnd(w), true))
	filler := bytes.Repeat([]byte("~"), 64)
	for err == nil {
		_, err = unix.Write(pipeEnd(w), filler)
	}
	require.ErrorIs(t, err, unix.EAGAIN)
	d.signal(syscall.SIGHUP)
	eventually(t, func() bool { return regexp.MustCompile(`^2:\d+\n$`).MatchString(d.file("status")) }, func() string { return "no restart: " + d.file("status") })

	require.NoError(t, w.Close()) // ours
	text := make(chan string, 1)
	go func() {
		read, _ := io.ReadAll(r)
		text <- strings.ReplaceAll(string(read), "~", "")
	}()
	d.stop()
	log := <-text
	for _, line := range []string{"received HUP, spawning a new worker\n", "new worker is now running, sending TERM to old workers:", "\nexiting\n"} {
		assert.Contains(t, log, line)
	}
}

// pipeEnd is the descriptor of a file, which os.File.Fd would make blocking.
func pipeEnd(f *os.File) (fd int) {
	conn, err := f.SyscallConn()
	if err == nil {
		err = conn.Control(func(n uintptr) { fd = int(n) })
	}
	if err != nil {
		return -1
	}
	return fd
}

func TestWorkersHavePipeAsAShellWouldStartThem(t *testing.T) {
	t.Parallel()
	shell := exec.Command("sh", "-c", "exec sleep 1000") // the parent of the tests may ignore other signals
	require.NoError(t, shell.Start())
	t.Cleanup(func() { shell.Process.Kill(); shell.Wait() })
	executed := func(pid int) {
		eventually(t, func() bool { return processStatus(t, pid, "Name") == "sleep" }, func() string { return "it is not executed" })
	}
	executed(shell.Process.Pid)
	for _, option := range []string{"--nice=0", "--umask=022"} { // directly, and prepared
		d := start(t, ours, option, "--interval=0.2", "--", "sleep", "1000")
		pid := d.worker(1)
		executed(pid)
		for _, set := range []string{"SigIgn", "SigBlk"} {
			assert.Equal(t, notCaught(t, shell.Process.Pid, set), notCaught(t, pid, set), set)
		}
		d.signal(syscall.SIGPIPE)
		d.stop()
	}
}

// notCaught is a set of signals without those that start_server catches. These have their default
// action in workers, even if the parent of the tests ignores them, as nohup does.
func notCaught(t *testing.T, pid int, set string) string {
	t.Helper()
	mask, err := strconv.ParseUint(processStatus(t, pid, set), 16, 64)
	require.NoError(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
		mask &^= 1 << (sig - 1)
	}
	return fmt.Sprintf("%016x", mask)
}

func TestLackOfDescriptorsIsCalledThat(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--umask=022", "--interval=0.2", "--", "sleep", "1000")
	d.worker(1)
	var had unix.Rlimit
	require.NoError(t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &had))
	few := unix.Rlimit{Cur: 3, Max: had.Max}
	require.NoError(t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &few, nil))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: .*: too many open files$`)
	assert.NotContains(t, d.out.String(), "set-user-ID")
	require.NoError(t, unix.Prlimit(d.cmd.Process.Pid, unix.RLIMIT_NOFILE, &had, nil))
	d.sees(1, `^new worker is now running`)
	d.stop()
}
