package report

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newStatusFile keeps a status file at path.
func newStatusFile(t *testing.T, path string) (*StatusFile, *written) {
	t.Helper()
	file, err := runfile.NewStatusFile(path)
	require.NoError(t, err)
	out := newWritten()
	return &StatusFile{File: file, Out: out.Output}, out
}

func serving(workers ...supervise.Worker) supervise.Serving {
	return supervise.Serving{Workers: workers}
}

func TestStatusFileListsWhatServes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	s, out := newStatusFile(t, path)
	assert.Equal(t, path, s.Path())
	for _, row := range []struct {
		event supervise.Event
		then  string
	}{
		{serving(worker, supervise.Worker{Generation: 3, Pid: 102}), "2:101\n3:102\n"},
		{supervise.Started{Worker: worker}, "2:101\n3:102\n"},
		{serving(), ""},
		{serving(worker), "2:101\n"},
	} {
		s.Hear(row.event)
		s.Hear(supervise.Tally{})
		s.Flush()
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, row.then, string(text))
	}
	assert.Empty(t, out.lines())
}

// A client that waits for a restart knows that it has failed when there is a new file with the
// same content.
func TestStatusFileIsRenewedWhenARestartHasFailed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	synctest.Test(t, func(t *testing.T) {
		s, out := newStatusFile(t, path)
		renewed := func(e supervise.Event) bool {
			before, err := runfile.ReadStatus(path)
			require.NoError(t, err)
			s.Hear(e)
			s.Flush()
			after, err := runfile.ReadStatus(path)
			require.NoError(t, err)
			assert.Equal(t, before.Entries, after.Entries)
			return after.RenewedSince(before)
		}
		s.Hear(serving(worker))
		s.Flush()
		assert.True(t, renewed(supervise.AttemptFailed{Decided: true}))
		assert.False(t, renewed(supervise.AttemptFailed{}), "another attempt decides")
		assert.False(t, renewed(supervise.RestartAsked{}))
		assert.Empty(t, out.lines())
	})
}

func TestStatusFileThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	require.NoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "status")
	s, out := newStatusFile(t, path)
	require.NoError(t, os.Remove(dir))
	s.Hear(serving(worker))
	s.Flush()
	lines := out.lines()
	assert.Contains(t, lines, "status file: open "+path)
	assert.Contains(t, lines, ": trying again until it is right\n")
	require.NoError(t, os.Mkdir(dir, 0o755))
	s.Hear(serving(worker))
	s.Flush()
	assert.Equal(t, "the status file is right again\n", out.lines())
	assert.FileExists(t, path)
}

func TestWithoutAStatusFileNothingIsWritten(t *testing.T) {
	t.Parallel()
	out := newWritten()
	s := &StatusFile{Out: out.Output}
	assert.Empty(t, s.Path())
	s.Hear(serving(worker))
	s.Hear(supervise.AttemptFailed{Decided: true})
	s.Flush()
	assert.Empty(t, out.lines())
}

// Flush does not end the tries.
func TestStatusFileIsTriedAgainByTheClockUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "run")
		require.NoError(t, os.Mkdir(dir, 0o755))
		s, out := newStatusFile(t, filepath.Join(dir, "status"))
		require.NoError(t, os.Remove(dir))
		s.Hear(serving(worker))
		s.Flush()
		assert.Contains(t, out.lines(), ": trying again until it is right\n")
		time.Sleep(10 * statusRetry)
		s.Flush()
		assert.Empty(t, out.lines(), "it is not told of each time")
		require.NoError(t, os.Mkdir(dir, 0o755))
		time.Sleep(maxStatusRetry)
		synctest.Wait()
		assert.Equal(t, "the status file is right again\n", out.lines())
		assert.FileExists(t, filepath.Join(dir, "status"))

		require.NoError(t, os.RemoveAll(dir))
		s.Hear(serving(worker))
		s.End()
		out.lines()
		require.NoError(t, os.Mkdir(dir, 0o755))
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.NoFileExists(t, filepath.Join(dir, "status"))
	})
}

// At the end the file is removed: nothing that was held up until then makes it again.
func TestStatusFileIsNotWrittenAfterTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	synctest.Test(t, func(t *testing.T) {
		s, out := newStatusFile(t, path)
		hangs := make(chan struct{})
		s.writes.Add(func() { <-hangs })
		s.Hear(serving(worker))
		s.Hear(supervise.AttemptFailed{Decided: true})
		s.End()
		s.File = nil
		close(hangs)
		s.Flush()
		assert.NoFileExists(t, path)
		assert.Empty(t, out.lines())
	})
}
