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

// A client that waits for a restart takes a file with the same content for a failure of that.
func TestStatusFileOfTheLastImageIsNotReplacedByTheSame(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	last, err := NewStatusFile(path)
	require.NoError(t, err)
	one, two := Entry{Generation: 1, Pid: 7}, Entry{Generation: 2, Pid: 8}
	require.NoError(t, last.Write([]Entry{one}))
	before, err := ReadStatus(path)
	require.NoError(t, err)
	next, err := AdoptStatusFile(path)
	require.NoError(t, err)
	now := func() Status {
		t.Helper()
		s, err := ReadStatus(path)
		require.NoError(t, err)
		return s
	}
	require.NoError(t, next.Write([]Entry{one}))
	assert.False(t, now().RenewedSince(before))
	require.NoError(t, next.Write([]Entry{one, two}))
	assert.Equal(t, []Entry{one, two}, now().Entries)
	require.NoError(t, next.Write([]Entry{one}))
	assert.Equal(t, []Entry{one}, now().Entries)
	before = now()
	require.NoError(t, next.Renew())
	assert.True(t, now().RenewedSince(before), "this restart has failed")
	require.NoError(t, os.Remove(path))
	require.NoError(t, next.Write([]Entry{one}))
	assert.Equal(t, []Entry{one}, now().Entries, "it was removed")
	require.NoError(t, next.Remove())
	assert.NoFileExists(t, path)
}
