//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// daemonPid is the pid in the file "pid", of a process that ends with the test.
func daemonPid(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Kill(-pid, syscall.SIGKILL) })
	return pid
}

func TestDaemonizeReadyReturnsWhenTheFirstGenerationServes(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	options := []string{"--log-file=log", "--pid-file=pid", "--status-file=status", "--interval=0.3", "--"}
	code, printed := command(t, dir, ours, append(append([]string{"--daemonize=ready"}, options...), "/bin/sh", "-c", `test $SERVER_STARTER_GENERATION != 2 && exec sleep 1000`)...)
	require.Zero(t, code, printed)
	d := &daemon{t: t, dir: dir}
	pid := daemonPid(t, dir)
	assert.True(t, strings.HasPrefix(d.file("status"), "1:"), "it serves, and that is told: %q", d.file("status"))
	require.NoError(t, syscall.Kill(pid, syscall.SIGHUP))
	eventually(t, func() bool { return strings.HasPrefix(d.file("status"), "3:") }, func() string { return "a later failure is no reason to end:\n" + d.file("log") })
	code, printed = command(t, dir, ours, "--stop", "--pid-file=pid")
	assert.Zero(t, code, printed)
	isGone(t, pid)
}

func TestDaemonizeReadyTellsWhyTheFirstGenerationFailed(t *testing.T) {
	t.Parallel()
	for options, tried := range map[string]int{"--interval=1": 1, "--interval=0.5 --attempts=3": 3} {
		dir := tempDir(t)
		args := append(strings.Fields(options), "--daemonize=ready", "--log-file=log", "--pid-file=pid", "--", "/bin/sh", "-c", "echo no database >&2; exit 3")
		code, printed := command(t, dir, ours, args...)
		assert.Equal(t, 1, code)
		assert.Contains(t, printed, "of generation "+strconv.Itoa(tried)+" failed after")
		assert.Contains(t, printed, ": exit code 3\n")
		assert.Contains(t, printed, "no database")
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		require.NoError(t, err)
		assert.Equal(t, tried, strings.Count(string(log), "\nno database\n")+strings.Count(string(log)[:12], "no database\n"))
		assert.NoFileExists(t, filepath.Join(dir, "pid"), "it is gone when the command returns")
	}
}
