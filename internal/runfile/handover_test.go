//go:build unix

package runfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPidFileIsHandedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	last, err := Hold(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	path, n := last.Hand()
	n, err = fd.Dup(n) // the same open file, and so the same lock
	require.NoError(t, err)
	next := AdoptPidFile(path, n)
	assert.True(t, next.IsAt(path))
	assert.False(t, next.IsAt(filepath.Join(dir, "other")))
	require.NoError(t, next.Release())
	assert.NoFileExists(t, path)
	assert.False(t, last.IsAt(path), "it was removed")
}

func TestStatusFileOfTheLastImageStaysUntilAnotherIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	last, err := NewStatusFile(path)
	require.NoError(t, err)
	require.NoError(t, last.Write([]Entry{{Generation: 1, Pid: 7}}))
	next, err := AdoptStatusFile(last.Path())
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "1:7\n", string(text))
	require.NoError(t, next.Remove())
	assert.NoFileExists(t, path)
	again, err := AdoptStatusFile(path)
	require.NoError(t, err, "one that is gone is made anew")
	require.NoError(t, again.Remove())
}
