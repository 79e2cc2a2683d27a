package output

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tailed is a log file, and what reads it.
func tailed(t *testing.T) (*os.File, *tail) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	tail := &tail{}
	require.NoError(t, tail.open(path, f))
	t.Cleanup(tail.close)
	return f, tail
}

func TestTailIsWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	fmt.Fprintln(f, "of the first")
	tail.mark(2)
	fmt.Fprintln(f, "one\ntwo")
	tail.mark(2) // by another worker of it
	tail.mark(1) // by one that is refilled
	fmt.Fprint(f, "three")
	tail.keep(2)
	assert.Equal(t, []string{"one", "two", "three"}, tail.of(2))
	fmt.Fprintln(f, "later")
	assert.Equal(t, []string{"one", "two", "three"}, tail.of(2), "as it was when it failed")
	assert.Nil(t, tail.of(1))
	tail.mark(3)
	tail.keep(3)
	assert.Nil(t, tail.of(3), "nothing was written")
	assert.Nil(t, tail.of(2), "it is no news any more")
}

func TestTailIsTheLastTwentyLines(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	tail.mark(1)
	for i := range 100_000 {
		fmt.Fprintln(f, "line", i)
	}
	fmt.Fprintln(f, strings.Repeat("x", 5000)+"\xff")
	tail.keep(1)
	lines := tail.of(1)
	require.Len(t, lines, tailLines)
	assert.Equal(t, "line 99981", lines[0])
	assert.Equal(t, strings.Repeat("x", tailLine), lines[tailLines-1])
}

func TestTailOfALogThatWasTruncated(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	fmt.Fprintln(f, strings.Repeat("before\n", 10))
	tail.mark(1)
	require.NoError(t, f.Truncate(0))
	fmt.Fprintln(f, "after")
	tail.keep(1)
	assert.Equal(t, []string{"after"}, tail.of(1))

	tail.mark(2)
	require.NoError(t, f.Truncate(0))
	fmt.Fprintln(f, "a long line that goes beyond the mark\nwhole")
	tail.keep(2)
	assert.Equal(t, []string{"whole"}, tail.of(2), "half a line is none")
}

func TestNoTailOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	tail := &tail{}
	require.NoError(t, tail.open("| cat", w))
	tail.mark(1)
	tail.keep(1)
	assert.Nil(t, tail.of(1))
}
