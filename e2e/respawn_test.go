//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEnvdir(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	envdir := filepath.Join(dir, "env")
	require.NoError(t, os.Mkdir(envdir, 0o755))
	file := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(envdir, name), []byte(text), 0o644))
	}
	file("COLOUR", "  dark blue \nsecond line\n")
	file("EMPTY", "")
	file(".hidden", "x")
	d := startWorkersIn(t, dir, []string{"COLOUR=red"}, ours, "--interval=0.2", "--envdir=env")
	env := d.env(1)
	assert.Equal(t, "  dark blue ", env["COLOUR"])
	assert.NotContains(t, env, "EMPTY")
	assert.NotContains(t, env, ".hidden")
	assert.Equal(t, "env", env["ENVDIR"])

	require.NoError(t, os.Remove(filepath.Join(envdir, "COLOUR")))
	file("SHAPE", "round")
	file("KILL_OLD_DELAY", "0.3\n")
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	env = d.env(2)
	assert.Equal(t, "red", env["COLOUR"], "what was there before")
	assert.Equal(t, "round", env["SHAPE"])
	d.sees(1, `^sleeping 0\.3 secs`)
	d.sees(1, `^old worker \d+ died`)

	file("ENABLE_AUTO_RESTART", "1")
	file("AUTO_RESTART_INTERVAL", "0.4")
	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGKILL))
	d.sees(1, `^autorestart triggered \(interval=0\.4\)$`)
	file("KILL_OLD_DELAY", "soon")
	d.sees(1, `KILL_OLD_DELAY: "soon" is not a duration`)
	d.stop()
}

func TestDirIsFollowedAtEverySpawn(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, release := range []string{"one", "two"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, release), 0o755))
	}
	current := filepath.Join(dir, "current")
	require.NoError(t, os.Symlink("one", current))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--dir=current")
	assert.Equal(t, filepath.Join(dir, "one"), d.env(1)["PWD of the process"])
	d.sees(1, `^worker \d+ is up`)

	require.NoError(t, os.Remove(current))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: working directory: stat current: no such file or directory$`)
	require.NoError(t, os.Symlink("two", current))
	d.sees(1, `^old worker \d+ died`)
	where, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", d.worker(2)))
	require.NoError(t, err)
	assert.Equal(t, filepath.Join(dir, "two"), where)
	d.stop()
}

func TestProgramRemovedAtARestart(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	script := filepath.Join(d.dir, "worker.sh")
	require.NoError(t, os.Rename(script, script+".away"))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker of generation 2 failed to start: program ".*/worker.sh": no such file or directory`)
	d.serves("st", "1:%d\n", d.worker(1))
	require.NoError(t, os.Rename(script+".away", script))
	d.sees(1, `^old worker \d+ died`)
	d.stop()
}
