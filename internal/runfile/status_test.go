package runfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newStatus(t *testing.T) (*StatusFile, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "status")
	s, err := NewStatusFile(path)
	require.NoError(t, err)
	return s, path
}

func read(t *testing.T, path string) Status {
	t.Helper()
	s, err := ReadStatus(path)
	require.NoError(t, err)
	return s
}

func TestStatusFileIsALineForEachWorker(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	assert.NoFileExists(t, path, "nothing is written yet")
	require.NoError(t, s.Write([]Entry{{1, 100}, {2, 200}}))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "1:100\n2:200\n", string(text))

	require.NoError(t, s.Write(nil))
	text, err = os.ReadFile(path)
	require.NoError(t, err)
	assert.Empty(t, text)
}

func TestStatusFileIsWholeWheneverItIsRead(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	var long []Entry
	for pid := range 500 {
		long = append(long, Entry{7, 1000 + pid})
	}
	short := []Entry{{8, 1}}
	require.NoError(t, s.Write(long))

	// The number of reads is fixed, not that of writes: a reader that spins keeps a writer waiting.
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for range 100 {
				now, err := ReadStatus(path)
				if !assert.NoError(t, err) {
					return
				}
				if n := len(now.Entries); !assert.True(t, n == len(long) || n == len(short), "%d lines", n) {
					return
				}
			}
		})
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		readers.Wait()
	}()
	for {
		assert.NoError(t, s.Write(short))
		assert.NoError(t, s.Write(long))
		select {
		case <-over:
			return
		default:
		}
	}
}

func TestNothingIsLeftBesideTheStatusFile(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	require.NoError(t, s.Write([]Entry{{1, 100}}))
	require.NoError(t, s.Write([]Entry{{2, 200}}))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.NoError(t, s.Remove())
	assert.NoFileExists(t, path)
}

func TestStatusFileThatWasNotMadeIsNotRemoved(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	require.NoError(t, os.WriteFile(path, []byte("9:9\n"), 0o644))
	require.NoError(t, s.Remove())
	assert.FileExists(t, path)

	require.NoError(t, s.Renew())
	require.NoError(t, s.Remove())
	assert.NoFileExists(t, path)
	assert.NoError(t, s.Remove(), "removing twice")
}

func TestStatusFileIsNotAFileWhereItsDirectoryIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	for _, path := range []string{filepath.Join(file, "status"), filepath.Join(file+".none", "status")} {
		_, err := NewStatusFile(path)
		assert.ErrorContains(t, err, "status file: ")
	}
}

func TestWriteFailsWhileItCannotAndWorksLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "status")
	s, err := NewStatusFile(path)
	require.NoError(t, err)

	require.NoError(t, os.Remove(dir))
	assert.ErrorContains(t, s.Write([]Entry{{1, 100}}), "status file: ")
	assert.ErrorContains(t, s.Write([]Entry{{1, 100}, {2, 200}}), "status file: ")
	require.NoError(t, s.Remove(), "it was never made")

	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, s.Renew())
	assert.Equal(t, []Entry{{1, 100}, {2, 200}}, read(t, path).Entries, "what could not be written is not forgotten")
}

func TestTempFileThatCannotBeRenamedIsRemoved(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	require.NoError(t, s.Write(nil))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "in the way"), 0o755))
	require.Error(t, s.Write([]Entry{{1, 100}}))
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "the temporary file is gone")
}

func TestNameOfTheTempFileCannotBeGuessed(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	require.NoError(t, os.MkdirAll(filepath.Join(fmt.Sprintf("%s.%d", path, os.Getpid()), "in the way"), 0o755))
	require.NoError(t, s.Write([]Entry{{1, 100}}))
	assert.Equal(t, "1:100", read(t, path).String())
}

func TestRenewIsSeenAndNothingElseIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // Renew takes its time
		s, path := newStatus(t)
		none := read(t, path)
		assert.False(t, read(t, path).RenewedSince(none), "still not there")

		require.NoError(t, s.Write(nil))
		empty := read(t, path)
		assert.True(t, empty.RenewedSince(none), "an empty file where there was none")
		require.NoError(t, s.Write([]Entry{{1, 100}}))
		one := read(t, path)
		assert.False(t, one.RenewedSince(empty), "it says something else")
		assert.False(t, read(t, path).RenewedSince(one), "the same file")
		for range 20 {
			require.NoError(t, s.Renew())
			next := read(t, path)
			require.True(t, next.RenewedSince(one))
			assert.Equal(t, one.Entries, next.Entries)
			one = next
		}
		require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1, 0)))
		assert.True(t, read(t, path).RenewedSince(one), "one that has got the number of the last")
		require.NoError(t, s.Remove())
		assert.False(t, read(t, path).RenewedSince(one), "it is gone")
	})
}

// A client that looks once in each poll has to see what was written before.
func TestRenewWaitsForClientsToLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newStatus(t)
		took := func() time.Duration {
			began := time.Now()
			require.NoError(t, s.Renew())
			return time.Since(began)
		}
		assert.Zero(t, took(), "nothing was written")
		assert.Equal(t, 5*poll, took())
		time.Sleep(2 * poll)
		assert.Equal(t, 3*poll, took())
		time.Sleep(5 * poll)
		assert.Zero(t, took(), "they have looked")
	})
}

func TestWhatAStatusSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, words string
		newest      int
		alone       bool
	}{
		{"", "no worker", 0, false},
		{"3:30\n", "3:30", 3, true},
		{"3:30\n3:31\n", "3:30 3:31", 3, true},
		{"2:20\n3:30\n", "2:20 3:30", 3, false},
		{"3:30\n2:20\n", "3:30 2:20", 3, false},
	} {
		path := filepath.Join(t.TempDir(), "status")
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o644))
		s := read(t, path)
		assert.Equal(t, c.words, s.String())
		assert.Equal(t, c.newest, s.Newest(), c.words)
		assert.Equal(t, c.alone, s.Alone(), c.words)
	}
}

func TestBadLineInAStatusFileIsNamed(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"x", "1", "1:", ":1", "1:x", "1:2:3"} {
		path := filepath.Join(t.TempDir(), "status")
		require.NoError(t, os.WriteFile(path, []byte("1:100\n"+line+"\n"), 0o644))
		_, err := ReadStatus(path)
		assert.ErrorContains(t, err, `holds the line "`+line+`", which is not GENERATION:PID`)
	}
}

func TestStatusFileThatStandsInTheWayIsRemovedIfItIsOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	require.NoError(t, os.WriteFile(path, []byte("1:100\n"), 0o644))
	_, err := NewStatusFile(path)
	require.NoError(t, err)
	assert.NoFileExists(t, path, "what a predecessor said is no longer so")

	require.NoError(t, os.Symlink("/no/such/file", path))
	_, err = NewStatusFile(path)
	require.NoError(t, err)
	_, err = os.Lstat(path)
	assert.ErrorIs(t, err, fs.ErrNotExist)

	_, err = NewStatusFile(dir)
	assert.EqualError(t, err, fmt.Sprintf("status file: %q is not a file", dir))
	_, err = NewStatusFile(filepath.Join(dir, strings.Repeat("x", 1000)))
	assert.ErrorContains(t, err, "status file: open ")
}

func TestStatusFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		t.TempDir():                                   "is a directory",
		"/" + strings.Repeat("x", 1000):               "file name too long",
		filepath.Join(t.TempDir(), "no such", "file"): "",
	} {
		s, err := ReadStatus(path)
		assert.Empty(t, s.Entries)
		if want == "" {
			assert.NoError(t, err, "what is not there is empty")
			continue
		}
		assert.ErrorContains(t, err, "status file: ")
		assert.ErrorContains(t, err, want)
	}
}

func TestStatusFileThatIsGoneAlreadyIsRemoved(t *testing.T) {
	t.Parallel()
	s, path := newStatus(t)
	require.NoError(t, s.Write(nil))
	require.NoError(t, os.Remove(path))
	assert.NoError(t, s.Remove())

	require.NoError(t, s.Write(nil))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.MkdirAll(filepath.Join(path, "full"), 0o755))
	assert.ErrorContains(t, s.Remove(), "something else is there now, and is left alone")
}
