//go:build unix

package fd

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// nobody is a user that these tests, run as root, give files to.
const nobody = 65534

// givenAway makes a directory, or gives what is there, to another user, or skips the test.
func givenAway(t *testing.T, path string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can give files away, and in CI nothing is skipped")
		t.Skip("only root can give files away")
	}
	if _, err := os.Lstat(path); err != nil {
		require.NoError(t, os.Mkdir(path, 0o755))
	}
	require.NoError(t, os.Lchown(path, nobody, nobody))
	return path
}

func written(t *testing.T, path string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	return path
}

func text(t *testing.T, path string) string {
	t.Helper()
	f, err := OpenFile(path, os.O_RDONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	read, err := io.ReadAll(f)
	require.NoError(t, err)
	return string(read)
}

func TestLinksOfOursAreFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	written(t, filepath.Join(dir, "a/b/file"))
	for name, to := range map[string]string{
		"relative": "a/b/file", "absolute": filepath.Join(dir, "a/b/file"), "up": "a/b/../b/./file", "dir": "a/b/", "twice": "dir/file",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, name)))
	}
	for _, name := range []string{"relative", "absolute", "up", "dir/file", "dir/../b/file", "twice"} {
		assert.Equal(t, "text", text(t, dir+"/"+name), name)
	}
	require.NoError(t, os.Symlink("round", filepath.Join(dir, "round")))
	_, err := OpenFile(filepath.Join(dir, "round"), os.O_RDONLY, 0)
	assert.ErrorIs(t, err, unix.ELOOP)
	_, err = OpenFile(filepath.Join(dir, "a/b/file/x"), os.O_RDONLY, 0)
	assert.ErrorIs(t, err, unix.ENOTDIR)
}

func TestLinksOfOthersAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := givenAway(t, filepath.Join(dir, "theirs"))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "open"), 0o755))
	require.NoError(t, os.Chmod(filepath.Join(dir, "open"), 0o777))
	victim := written(t, filepath.Join(dir, "victim"))
	for _, in := range []string{theirs, filepath.Join(dir, "open")} {
		require.NoError(t, os.Symlink(victim, filepath.Join(in, "file")))
		require.NoError(t, os.Symlink(dir, filepath.Join(in, "dir")))
		for _, name := range []string{"file", "dir/victim", "dir/new"} {
			path := filepath.Join(in, name)
			var link *LinkError
			_, err := OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
			assert.ErrorAs(t, err, &link, path)
			_, err = OpenLog(path)
			assert.ErrorAs(t, err, &link, path)
		}
		_, err := ReplaceFile(filepath.Join(in, "dir/victim"), nil, 0o644)
		assert.Error(t, err)
		assert.Error(t, RemoveRegular(filepath.Join(in, "dir/victim")))
	}
	require.NoError(t, os.Symlink(victim, filepath.Join(dir, "link")))
	require.NoError(t, os.Lchown(filepath.Join(dir, "link"), nobody, nobody))
	_, err := OpenFile(filepath.Join(dir, "link"), os.O_RDONLY, 0)
	assert.ErrorContains(t, err, "a symlink on the way is user 65534's")
	// A link of ours leads into their directory, and a link there leads on.
	require.NoError(t, os.Symlink("theirs/file", filepath.Join(dir, "on")))
	_, err = OpenFile(filepath.Join(dir, "on"), os.O_RDONLY, 0)
	assert.ErrorContains(t, err, "is not followed")
	assert.Equal(t, "text", text(t, victim))
}

func TestHardLinksAreNotTakenWhereOthersCanMakeThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := givenAway(t, filepath.Join(dir, "theirs"))
	victim := written(t, filepath.Join(dir, "victim"))
	require.NoError(t, os.Link(victim, filepath.Join(theirs, "link")))
	_, err := OpenFile(filepath.Join(theirs, "link"), os.O_RDWR, 0)
	assert.ErrorContains(t, err, "it is one of 2 links to a file")
	assert.Equal(t, "text", text(t, victim), "ours is a directory that nobody else can change")
}

func TestWhatIsNoFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, flags := range []int{os.O_RDONLY, os.O_RDWR, os.O_RDWR | os.O_CREATE} {
		_, err := OpenFile(fifo, flags, 0o644)
		assert.ErrorIs(t, err, ErrNotRegular)
	}
	assert.ErrorIs(t, RemoveRegular(fifo), ErrNotRegular)
	_, err := ReplaceFile(fifo, nil, 0o644)
	assert.ErrorIs(t, err, ErrNotRegular)
	_, err = OpenLog(fifo)
	assert.ErrorIs(t, err, unix.ENXIO, "nobody reads it")
	assert.FileExists(t, fifo)
	_, err = OpenLog(dir)
	assert.ErrorIs(t, err, ErrNotRegular)

	f, err := OpenLog(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestFIFOOfAnotherUsersIsNoLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := givenAway(t, filepath.Join(dir, "theirs"))
	require.NoError(t, unix.Mkfifo(filepath.Join(theirs, "ours"), 0o600))
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "theirs.fifo"), 0o600))
	givenAway(t, filepath.Join(dir, "theirs.fifo"))
	for _, path := range []string{filepath.Join(theirs, "ours"), filepath.Join(dir, "theirs.fifo")} {
		_, err := OpenLog(path)
		assert.ErrorContains(t, err, "another user may have put it there", path)
	}
}

func TestOnlyTheFileItselfIsRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	made, err := ReplaceFile(path, []byte("text"), 0o640)
	require.NoError(t, err)
	assert.True(t, IsAt(path, made))
	assert.Equal(t, "text", text(t, path))
	require.NoError(t, os.Rename(path, path+".old"))
	written(t, path)
	assert.False(t, IsAt(path, made))
	require.ErrorIs(t, RemoveFile(path, made), ErrOther)
	assert.FileExists(t, path)
	require.NoError(t, RemoveFile(path+".old", made))
	assert.NoFileExists(t, path+".old")
	require.NoError(t, RemoveFile(path+".old", made), "it is gone already")
}
