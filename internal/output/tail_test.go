package output

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	tail.mark(2) // by another worker of that generation
	tail.mark(1) // by a worker whose slot is refilled
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

// A stop closes the log, also while a generation looks at it on a file system that hangs.
func TestLookAtALogThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	looks, goOn, marked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(marked)
		tail.markBy(2, func(f *os.File) (os.FileInfo, error) {
			close(looks)
			<-goOn
			return f.Stat()
		})
	}()
	<-looks
	done := make(chan struct{})
	go func() {
		defer close(done)
		tail.reopen(f.Name(), f, 0) // it closes the one before
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("close waits")
	}
	close(goOn)
	<-marked
	<-done
	fmt.Fprintln(f, "in the new file")
	tail.keep(2)
	assert.Equal(t, []string{"in the new file"}, tail.of(2), "the generation is known all the same")
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

func TestTailHasLimits(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	of := func(generation int, text string) []string {
		tail.mark(generation)
		fmt.Fprint(f, text)
		tail.keep(generation)
		return tail.of(generation)
	}
	lines := of(1, strings.Repeat("a\n", 20))
	assert.Len(t, lines, 20)
	lines = of(2, "first\n"+strings.Repeat("a\n", 19))
	assert.Len(t, lines, 20)
	assert.Equal(t, "first", lines[0])
	lines = of(3, "first\n"+strings.Repeat("a\n", 20))
	assert.Len(t, lines, 20)
	assert.Equal(t, "a", lines[0])

	for i, length := range []int{1023, 1024, 1025} {
		lines = of(4+i, strings.Repeat("x", length)+"\n")
		require.Len(t, lines, 1)
		assert.Len(t, lines[0], min(length, 1024))
	}

	// Only the last 64 KiB are looked at. Half a line in them does not count.
	const first = "first\n"
	upTo := func(length int) string { return first + strings.Repeat("x", length-len(first)-1) + "\n" }
	lines = of(7, upTo(64<<10))
	require.Len(t, lines, 2)
	assert.Equal(t, "first", lines[0])
	assert.Len(t, of(8, upTo(64<<10+1)), 1, "half a line is none")
	lines = of(9, "before\n"+upTo(64<<10))
	require.Len(t, lines, 2, "they begin with a line")
	assert.Equal(t, "first", lines[0])
}

func TestTailOfABlankLogIsNone(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	tail.mark(1)
	fmt.Fprint(f, "\n\n")
	tail.keep(1)
	assert.Nil(t, tail.of(1))
}

func TestTailOfALogThatIsGone(t *testing.T) {
	t.Parallel()
	f, read := tailed(t)
	require.NoError(t, read.file.Close())
	read.mark(1)
	read.generation = 1 // as if it had been marked before
	read.keep(1)
	assert.Nil(t, read.of(1), "it cannot be looked at")
	assert.ErrorContains(t, (&tail{}).open("/no/such/log", f), "cannot read the log: open /no/such/log")
	require.NoError(t, f.Close())
	assert.ErrorIs(t, (&tail{}).open(f.Name(), f), os.ErrClosed)
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

// Lines in JSON are returned as plain text.
func TestTailOfJSON(t *testing.T) {
	t.Parallel()
	f, tail := tailed(t)
	tail.mark(1)
	form, now, said := form{Form: Form{Format: JSON, Workers: true}}, time.Now(), "no \"x\" \\ \t\x1b,\"text\":\"é"
	fmt.Fprint(f, form.own(Entry{Level: Error, Event: "failed", Generation: 1, Worker: &Worker{1, 0, 7, ""}, Text: "it failed\nand again"}, now))
	fmt.Fprint(f, form.relayed(Worker{1, 0, 7, "stderr"}, []byte(said), true, now))
	theirs := `{"time":"now","text":7}`
	fmt.Fprintln(f, theirs)
	fmt.Fprintln(f, `{"text":"theirs"}`)
	tail.keep(1)
	assert.Equal(t, []string{"it failed", "and again", "[7] " + said, theirs, `{"text":"theirs"}`}, tail.of(1))
}

// A file that has come to the path since is not the one that is written.
func TestTailOfALogThatWasReplacedIsNone(t *testing.T) {
	t.Parallel()
	f, _ := tailed(t)
	require.NoError(t, os.Rename(f.Name(), f.Name()+".1"))
	require.NoError(t, os.WriteFile(f.Name(), []byte("of others\n"), 0o600))
	tail := &tail{}
	require.NoError(t, tail.open(f.Name(), f))
	tail.keep(0)
	assert.Empty(t, tail.of(0))
}

func TestTailOfADirectoryIsNone(t *testing.T) {
	t.Parallel()
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	assert.Empty(t, readTail(dir, 0))
}
