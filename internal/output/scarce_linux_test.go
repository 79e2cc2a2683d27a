package output

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Not parallel: the limit is the process's.
func TestOpenWithTooFewDescriptorsLeavesNothingBehind(t *testing.T) {
	for _, spec := range []string{"%s/log", "| exec cat >>%s/log"} {
		spec := fmt.Sprintf(spec, t.TempDir())
		o := New(&testkit.Output{}, "a test")
		before := testkit.Descriptors(t)
		free := 0
		for ; ; free++ {
			restore := testkit.Leave(t, free)
			err := o.Open(spec, Config{Redirect: true, Run: start})
			if err == nil {
				err = o.Close()
				restore()
				require.NoError(t, err)
				break
			}
			restore()
			require.ErrorIs(t, err, unix.EMFILE, "with %d", free)
			require.Subset(t, before, testkit.Descriptors(t), "with %d", free)
		}
		assert.Greater(t, free, 2, "so each step has failed once")
		assert.Subset(t, before, testkit.Descriptors(t))
	}
}

// Not parallel: the limit is the process's.
func TestRelayWithTooFewDescriptors(t *testing.T) {
	o := New(&testkit.Output{}, "a test")
	for free := range 2 {
		restore := testkit.Leave(t, free)
		_, err := o.Relay()
		_, w, again := pipe()
		restore()
		require.ErrorIs(t, err, unix.EMFILE)
		require.ErrorIs(t, again, unix.EMFILE)
		assert.Equal(t, -1, w, "there is nothing to close")
	}
}

func TestRedirectingToAClosedFileChangesNothing(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	before := testkit.Descriptors(t)
	_, _, err = redirect(f)
	assert.ErrorIs(t, err, unix.EBADF)
	assert.Subset(t, before, testkit.Descriptors(t))
}

// unprivileged runs f as a user that is not root.
func unprivileged(f func() error) error {
	if os.Geteuid() != 0 {
		return f()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // /proc/self would get the user of this thread
			defer runtime.UnlockOSThread()
			result <- unprivileged(f)
			return
		}
		// The thread is never unlocked, and goes with the goroutine.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 4711, ^uintptr(0)); errno != 0 {
			result <- errno
			return
		}
		result <- f()
	}()
	return <-result
}

// A log that can only be written is written, but nothing of it is quoted.
func TestTailOfALogThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o200)
	require.NoError(t, err)
	defer f.Close()
	tail := &tail{}
	require.NoError(t, unprivileged(func() error { return tail.open(path, f) }))
	fmt.Fprintln(f, "secret")
	tail.keep(0)
	assert.Empty(t, tail.of(0))
}
