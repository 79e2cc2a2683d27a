package runfile

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// opened is a new file in a directory of the test.
func opened(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func lockIt(t *testing.T, f *os.File) {
	t.Helper()
	held, err := lock(f)
	require.NoError(t, err)
	require.False(t, held)
}

func TestLockIsItsHolders(t *testing.T) {
	t.Parallel()
	f := opened(t)
	assert.False(t, holds(f, os.Getpid()), "nobody has locked it")
	assert.False(t, heldByStrangers(f))
	lockIt(t, f)
	pids, err := holders(f)
	require.NoError(t, err)
	assert.Equal(t, []int{os.Getpid()}, pids)
	assert.True(t, holds(f, os.Getpid()))
	assert.True(t, locksByDescriptor(f, os.Getpid()), "as for file systems whose device is another one there")
	assert.False(t, holds(f, os.Getppid()), "that has it not")
	assert.False(t, heldByStrangers(f), "it is ours")

	other := opened(t)
	assert.False(t, holds(other, os.Getpid()), "another file is locked")
	assert.False(t, locksByDescriptor(other, os.Getpid()), "it is open here, and not locked")
	f.Close()
	_, err = holders(f)
	assert.Error(t, err)
	assert.False(t, locksByDescriptor(f, os.Getpid()))
	assert.False(t, heldByStrangers(f))
}

// stranger is a process of another user that has f locked, until the test ends.
func stranger(t *testing.T, f *os.File) (pid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can be another user, and in CI nothing is skipped")
		t.Skip("only root can be another user")
	}
	const python = "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		require.Empty(t, os.Getenv("CI"), "no python3 to lock a file with, and in CI nothing is skipped")
		t.Skip("no python3 to lock a file with")
	}
	cmd := exec.Command(python, "-c", "import fcntl, sys; fcntl.flock(3, fcntl.LOCK_SH); print('locked', flush=True); sys.stdin.read()")
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	_, err = io.ReadFull(stdout, make([]byte, len("locked\n")))
	require.NoError(t, err)
	return cmd.Process.Pid
}

func TestLockOfAStranger(t *testing.T) {
	t.Parallel()
	f := opened(t)
	pid := stranger(t, f)
	assert.True(t, holds(f, pid))
	assert.True(t, heldByStrangers(f))
	assert.True(t, runsAs(pid, 65534))
	assert.False(t, runsAs(pid, 0))
	assert.False(t, runsAs(gonePid(t), 0))
	again, err := os.Open(f.Name()) // its lock is another one
	require.NoError(t, err)
	defer again.Close()
	require.NoError(t, syscall.Flock(int(again.Fd()), syscall.LOCK_SH))
	assert.False(t, heldByStrangers(f), "we have it, too")
}

// Any process that can read a file can lock it.
func TestPidFileThatAStrangerHasLockedIsTakenOver(t *testing.T) {
	t.Parallel()
	f := opened(t)
	stranger(t, f)
	require.NoError(t, write(f))
	p, err := Hold(f.Name())
	require.NoError(t, err)
	assert.False(t, same(f, f.Name()), "it is another file")
	owner, err := Owner(f.Name())
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), owner)
	assert.NoError(t, p.Release())
}

// A user that may write a pid file could name any process in it.
func TestPidFileOfAStrangerIsNotBelieved(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can make a file another user's, and in CI nothing is skipped")
		t.Skip("only root can make a file another user's")
	}
	f := startFake(t)
	require.NoError(t, os.Chown(f.pidFile, 65534, 65534))
	_, err := Owner(f.pidFile)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is user 65534's, but process %d, which it names, is not: nothing was signalled", f.pidFile, f.pid()))
	assert.EqualError(t, send(f.pidFile, f.pid(), syscall.SIGTERM), err.Error(), "it may have become one only now")
	f.do("status 1:2") // it says nothing of a signal
	f.kill()
	_, err = Hold(f.pidFile)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is user 65534's, who is neither root nor the user that runs this: remove it, or use another pid file", f.pidFile))
	assert.Equal(t, fmt.Sprintln(f.pid()), textOf(t, f.pidFile), "it is as it was")
}

// What /dev/stdout leads to may be a file, but does not stand there.
func TestPidFileIsNoDescriptor(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "pid"))
	require.NoError(t, err)
	defer f.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	held := make(chan error, 1)
	go func() { _, err := Hold(path); held <- err }()
	assert.EqualError(t, answered(t, held), fmt.Sprintf("pid file %q: what is opened there is not the file that stands there: use another path", path))
}
