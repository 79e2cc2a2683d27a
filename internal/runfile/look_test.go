//go:build unix

package runfile

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLook(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	s, err := Look(f.pidFile, "")
	require.NoError(t, err)
	assert.Equal(t, Standing{Pid: f.pid()}, s)
	s, err = Look(f.pidFile, f.statusFile)
	require.NoError(t, err)
	assert.True(t, s.Known, "it lists nothing yet")
	assert.Empty(t, s.Status.Entries)
	_, err = Look("", f.statusFile)
	isNobody(t, err, `status file %q does not exist: no start_server is running with it`, f.statusFile)

	f.do(fmt.Sprintf("status 1:%d 2:%d", gonePid(t), f.pid()))
	for _, pidFile := range []string{"", f.pidFile} {
		s, err = Look(pidFile, f.statusFile)
		require.NoError(t, err)
		assert.True(t, s.Known)
		assert.Len(t, s.Status.Entries, 2)
		assert.Equal(t, pidFile != "", s.Pid == f.pid())
	}
	gone := gonePid(t)
	f.do(fmt.Sprintf("status 1:%d", gone))
	_, err = Look(f.pidFile, f.statusFile)
	assert.NoError(t, err, "the pid file says that it is there")
	_, err = Look("", f.statusFile)
	isNobody(t, err, `status file %q is stale: it lists 1:%d, and none of them is running`, f.statusFile, gone)
	f.do("status")
	_, err = Look("", f.statusFile)
	assert.NoError(t, err, "who knows")

	f.release()
	_, err = Look(f.pidFile, f.statusFile)
	isNobody(t, err, `pid file %q does not exist: no start_server is running with it`, f.pidFile)
	_, err = Look("", t.TempDir())
	assert.ErrorContains(t, err, "status file: ")
}

// isNobody tells that the error is a *NobodyError.
func isNobody(t *testing.T, err error, format string, args ...any) {
	t.Helper()
	var nobody *NobodyError
	require.ErrorAs(t, err, &nobody)
	assert.EqualError(t, err, fmt.Sprintf(format, args...))
}

func TestStatusFileIsTriedWithoutHarm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	assert.NoError(t, TryStatusFile(path), "it can be made")
	require.NoError(t, os.WriteFile(path, []byte("1:7\n"), 0o644))
	assert.NoError(t, TryStatusFile(path))
	assert.Equal(t, "1:7\n", textOf(t, path))
	assert.EqualError(t, TryStatusFile(dir), fmt.Sprintf("status file: %q is not a file", dir))
	assert.EqualError(t, TryStatusFile(filepath.Join(path, "x")), fmt.Sprintf("status file: %q is not a directory", path))
	assert.ErrorIs(t, TryStatusFile(filepath.Join(dir, "none", "x")), os.ErrNotExist)
}

func TestStatusFileOfAnotherUserIsNotTakenOver(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can give a file away, and in CI nothing is skipped")
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "status")
	require.NoError(t, os.WriteFile(path, []byte("1:7\n"), 0o644))
	require.NoError(t, os.Chown(path, 65534, 65534))
	for _, take := range []func(string) (*StatusFile, error){AdoptStatusFile, KeepStatusFile} {
		_, err := take(path)
		assert.EqualError(t, err, fmt.Sprintf("status file: %q is another user's", path))
	}
	assert.Equal(t, "1:7\n", textOf(t, path))
}

// The list of a killed superdaemon stays until there is a newer one.
func TestStatusFileThatIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	require.NoError(t, os.WriteFile(path, []byte("1:7\n"), 0o644))
	s, err := KeepStatusFile(path)
	require.NoError(t, err)
	require.NoError(t, s.Rewrite())
	require.NoError(t, s.Remove())
	assert.Equal(t, "1:7\n", textOf(t, path), "it is not ours")
	require.NoError(t, s.Write([]Entry{{2, 8}}))
	assert.Equal(t, "2:8\n", textOf(t, path))
	require.NoError(t, s.Remove())
	assert.NoFileExists(t, path)
	require.NoError(t, os.WriteFile(path, []byte("junk\n"), 0o644))
	s, err = KeepStatusFile(path)
	require.NoError(t, err)
	assert.Equal(t, "junk\n", textOf(t, path))
	require.NoError(t, s.Write(nil))
	assert.Empty(t, textOf(t, path))
}
