//go:build unix

package fd

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func bound(t *testing.T, path string, mode fs.FileMode) (int, *Bound, error) {
	t.Helper()
	n, err := Socket(unix.AF_UNIX, unix.SOCK_STREAM)
	require.NoError(t, err)
	b, err := Bind(n, path, mode, -1, -1, nil)
	return n, b, err
}

func TestBoundSocketHasItsModeWhateverTheUmask(t *testing.T) {
	t.Parallel()
	for _, mode := range []fs.FileMode{0o777, 0o666, 0o600, 0o070, 0} {
		path := filepath.Join(testkit.Dir(t), "s")
		n, b, err := bound(t, path, mode)
		require.NoError(t, err)
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, fs.ModeSocket|mode, info.Mode())
		assert.False(t, b.Lost())
		require.NoError(t, os.Rename(path, path+".old"))
		assert.True(t, b.Lost())
		written(t, path)
		assert.True(t, b.Lost())
		require.NoError(t, b.Remove())
		assert.FileExists(t, path, "it is another's")
		unix.Close(n)
	}
}

// A process that may write to the directory swaps a symlink in, as often as it can.
func TestModeIsNeverAnotherFiles(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	victim, path := written(t, filepath.Join(dir, "victim")), filepath.Join(dir, "s")
	over := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-over:
				return
			default:
				_ = unix.Unlink(path)
				_ = unix.Symlink(victim, path)
			}
		}
	}()
	refused, made := 0, 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		_ = unix.Unlink(path)
		n, _, err := bound(t, path, 0o777)
		if err == nil {
			made++
		} else {
			refused++
		}
		unix.Close(n)
		info, err := os.Lstat(victim)
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode(), "after %d sockets, and %d that were refused", made, refused)
	}
	close(over)
	<-done
	assert.Positive(t, refused)
}

func TestDeadSocketIsRemovedAndALiveOneIsNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	assert.NoError(t, CheckBind(path))
	n, _, err := bound(t, path, 0o600)
	require.NoError(t, err)
	assert.NoError(t, CheckBind(path), "it does not listen")
	require.NoError(t, unix.Listen(n, 0))
	assert.ErrorIs(t, CheckBind(path), ErrListening)
	assert.ErrorIs(t, RemoveDead(path), ErrListening)
	_, _, err = bound(t, path, 0o600)
	assert.ErrorIs(t, err, ErrListening)
	unix.Close(n)
	require.NoError(t, RemoveDead(path))
	assert.ErrorIs(t, RemoveDead(path), fs.ErrNotExist)
	written(t, path)
	assert.ErrorIs(t, RemoveDead(path), ErrNoSocket)
	assert.FileExists(t, path)
}

// Server::Starter makes a file of such a name. Go would take it for an abstract socket, which
// has no file.
func TestPathThatBeginsWithAnAtIsAFile(t *testing.T) {
	t.Chdir(testkit.Dir(t))
	n, b, err := bound(t, "@s", 0o600)
	require.NoError(t, err)
	require.NoError(t, unix.Listen(n, 0))
	info, err := os.Lstat("@s")
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket|0o600, info.Mode())
	_, _, err = bound(t, "@s", 0o600)
	assert.ErrorIs(t, err, ErrListening)
	require.NoError(t, b.Remove())
	assert.NoFileExists(t, "@s")
	unix.Close(n)
	assert.Error(t, CheckPath("@"+strings.Repeat("x", maxPath()-1)), "it is ./@...")
}

// A relative path may fit into a socket's address where the absolute one does not.
func TestDeadSocketIsReplacedWhereTheWayIsLong(t *testing.T) {
	dir := filepath.Join(testkit.Dir(t), strings.Repeat("d", maxPath()))
	require.NoError(t, os.Mkdir(dir, 0o700))
	t.Chdir(dir)
	n, _, err := bound(t, "s", 0o600)
	require.NoError(t, err)
	unix.Close(n)
	assert.NoError(t, CheckBind("s"))
	n, _, err = bound(t, "s", 0o600)
	require.NoError(t, err, "nobody listens there")
	require.NoError(t, unix.Listen(n, 0))
	assert.ErrorIs(t, CheckBind("s"), ErrListening)
	unix.Close(n)
	require.NoError(t, RemoveDead("s"))
}
