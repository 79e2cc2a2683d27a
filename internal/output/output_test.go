package output

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// slowLog takes a while for a line, or for ever until it is unstuck.
type slowLog struct {
	each  time.Duration
	stuck chan struct{} // closed when it is unstuck; nil: it is not stuck
	lines int
}

func (l *slowLog) Write(p []byte) (int, error) {
	<-time.After(l.each)
	if l.stuck != nil {
		<-l.stuck
	}
	l.lines++
	return len(p), nil
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestLinesGoToTheLogWhileItIsOpen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	var early testkit.Output
	o := New(&early, "a test")
	o.Printf("%d before", 1)
	require.NoError(t, o.Open(path, Config{}))
	assert.Equal(t, "1 before\n", early.String(), "Open has written it")
	o.Printf("%d in between", 2)
	o.Now("%d at once", 3)
	assert.Equal(t, "2 in between\n3 at once\n", content(t, path))
	o.Printf("%d last", 4)
	require.NoError(t, o.Close())
	o.Printf("%d after", 5)
	o.Now("%d at the end", 6)
	require.NoError(t, o.Close(), "once more")
	assert.Equal(t, "2 in between\n3 at once\n4 last\n", content(t, path))
	assert.Equal(t, "1 before\n5 after\n6 at the end\n", early.String())
	require.NoError(t, o.Open(path, Config{}))
	o.Printf("%d again", 7)
	require.NoError(t, o.Close())
	assert.True(t, strings.HasSuffix(content(t, path), "4 last\n7 again\n"), "it may be opened again")
}

func TestWithoutALogEverythingStaysAsItIs(t *testing.T) {
	t.Parallel()
	var early testkit.Output
	o := New(&early, "a test")
	require.NoError(t, o.Open("", Config{Redirect: true}))
	stdout, stderr := o.Descriptors()
	assert.Equal(t, []int{1, 2}, []int{stdout, stderr})
	o.Mark(1)
	o.Keep(1)
	assert.Nil(t, o.Tail(1))
	o.Printf("a line")
	require.NoError(t, o.Close())
	assert.Equal(t, "a line\n", early.String(), "Close has waited for it")
}

func TestLogThatCannotBeOpenedChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var early testkit.Output
	o := New(&early, "a test")
	for spec, want := range map[string]string{
		"|":               "the command is missing",
		dir + "/no/such":  "log file: open ",
		"syslog:two tags": "the tag after syslog:",
	} {
		assert.ErrorContains(t, o.Open(spec, Config{}), want)
		stdout, stderr := o.Descriptors()
		assert.Equal(t, []int{1, 2}, []int{stdout, stderr})
	}
	o.Now("a line")
	assert.Equal(t, "a line\n", early.String())
}

func TestWhatIsDoneIsDoneInOrderWithTheLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	o := New(&testkit.Output{}, "a test")
	require.NoError(t, o.Open(path, Config{}))
	var seen string
	for i := range 100 {
		o.Printf("%d", i)
	}
	printed := make(chan struct{})
	o.Do(func() {
		<-printed
		text, _ := os.ReadFile(path)
		seen = string(text)
		o.Printf("found")
	})
	o.Printf("after")
	close(printed)
	require.NoError(t, o.Close(), "it waits for what comes of what is done, too")
	text := content(t, path)
	assert.True(t, strings.HasSuffix(text, "\n99\nafter\nfound\n"), text)
	assert.True(t, strings.HasSuffix(seen, "\n99\n"), "all before is written, and nothing after: %s", seen)
}

func TestTailIsReadBetweenTheLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	o := New(&testkit.Output{}, "a test")
	require.NoError(t, o.Open(path, Config{}))
	o.Printf("of the first")
	o.Flush()
	o.Mark(2)
	o.Printf("starting")
	o.Keep(2)
	o.Printf("it has failed")
	assert.Equal(t, []string{"starting"}, o.Tail(2))
	assert.Nil(t, o.Tail(1))
	o.Mark(3)
	o.Printf("of the third")
	o.Keep(3)
	require.NoError(t, o.Close())
	assert.Equal(t, []string{"of the third"}, o.Tail(3), "what was kept is known after Close")
	o.Mark(4)
	o.Keep(4)
	assert.Nil(t, o.Tail(4), "then nothing is read")
}

// From here on tests run in a bubble of synctest.

func TestLogThatHangsKeepsNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{stuck: make(chan struct{})}
		o := New(log, "a test")
		began := time.Now()
		o.Printf("a line")
		assert.Zero(t, time.Since(began))
		assert.Nil(t, o.Tail(1))
		assert.Equal(t, FlushTime, time.Since(began), "to Tail")
		o.Flush()
		assert.Equal(t, 2*FlushTime, time.Since(began), "to Flush")
		o.Flush()
		require.NoError(t, o.Close())
		assert.Equal(t, 2*FlushTime, time.Since(began), "what was given up is not waited for again")
		close(log.stuck)
		synctest.Wait()
		assert.Equal(t, 1, log.lines)
	})
}

// hanging is an Output whose log takes nothing until stuck is closed.
func hanging(t *testing.T, early *testkit.Output) (o *Output, log *slowLog) {
	t.Helper()
	o, log = New(early, "a test"), &slowLog{stuck: make(chan struct{})}
	require.NoError(t, o.Open(filepath.Join(t.TempDir(), "log"), Config{}))
	o.log.to = log // nothing was written to it yet
	return o, log
}

func TestLinesAfterALogThatHangsAreWrittenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var early testkit.Output
		o, log := hanging(t, &early)
		began := time.Now()
		o.Printf("lost")
		require.NoError(t, o.Close())
		assert.Equal(t, FlushTime, time.Since(began))
		o.Printf("not lost")
		o.Flush()
		assert.Equal(t, FlushTime, time.Since(began))
		assert.Equal(t, "not lost\n", early.String())
		close(log.stuck)
	})
}

func TestFlushWaitsAgainForALogThatGetsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{each: 3 * time.Second}
		o := New(log, "a test")
		began := time.Now()
		for range 3 {
			o.Printf("a line")
		}
		until := func(when time.Duration) {
			o.Flush()
			assert.Equal(t, when, time.Since(began))
		}
		until(2 * time.Second)
		until(2 * time.Second)
		time.Sleep(1500 * time.Millisecond) // one line is written
		until(5500 * time.Millisecond)
		time.Sleep(2 * time.Second) // two are
		until(9 * time.Second)
		until(9 * time.Second)
		assert.Equal(t, 3, log.lines)
	})
}

func TestQueueDoesOneThingAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q Queue
		var done []string
		add := func(what string, takes time.Duration) {
			q.Add(func() {
				time.Sleep(takes)
				done = append(done, what)
			})
		}
		began := time.Now()
		add("a", time.Second)
		add("b", 0)
		add("c", FlushTime-time.Second-1)
		var flushed sync.WaitGroup
		for range 3 { // several may wait
			flushed.Go(q.Flush)
		}
		q.Flush()
		assert.Equal(t, FlushTime-1, time.Since(began))
		flushed.Wait()
		assert.Equal(t, []string{"a", "b", "c"}, done)
		add("d", 0)
		q.Flush()
		assert.Equal(t, "abcd", strings.Join(done, ""), "it works on after it was empty")
	})
}

func TestLogCommandsEndIsTold(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	o := New(&log, "a test")
	o.commandEnded(7, 9, nil)
	o.commandEnded(0, 0, fmt.Errorf("no such program"))
	o.Flush()
	assert.Equal(t, "log command 7 died unexpectedly with status:9, restarting\n"+
		"log command cannot be restarted: no such program\n", log.String())
}

// A log that takes nothing costs a bounded amount of memory: lines that are left out are counted.
func TestLinesThatALogHasNoRoomFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var early testkit.Output
		stuck := make(chan struct{})
		o := New(writerFunc(func(p []byte) (int, error) { <-stuck; return early.Write(p) }), "a test")
		for i := range 3 * maxWaiting {
			o.Printf("%d", i)
		}
		close(stuck)
		o.Flush()
		o.Printf("after")
		o.Flush()
		lines := strings.Split(early.String(), "\n")
		assert.Len(t, lines, maxWaiting+3)
		assert.Equal(t, []string{fmt.Sprint(maxWaiting - 1), "20000 lines are missing here: the log was too slow", "after", ""}, lines[maxWaiting-1:])

		stuck = make(chan struct{})
		for range 3 {
			o.Printf("%s", strings.Repeat("x", maxWaitingBytes/2))
		}
		close(stuck)
		o.Flush()
		assert.Contains(t, early.String(), "\n2 lines are missing here")
	})
}

// A full disk leaves half a line in the log, and no line after it. When there is room again the log
// says so, on a line of its own.
func TestLinesThatCouldNotBeWrittenAreTold(t *testing.T) {
	t.Parallel()
	var disk testkit.Output
	var room atomic.Int64
	o := New(writerFunc(func(p []byte) (int, error) {
		n := int(min(room.Load(), int64(len(p))))
		room.Add(-int64(n))
		_, _ = disk.Write(p[:n])
		if n < len(p) {
			return n, &os.PathError{Op: "write", Path: "a.log", Err: syscall.ENOSPC}
		}
		return n, nil
	}), "a test")
	room.Store(10)
	o.Printf("first")
	o.Printf("second")
	o.Printf("third")
	o.Now("fourth")
	room.Store(1000)
	o.Printf("fifth")
	o.Flush()
	const told = "could not be written here: write a.log: no space left on device\n"
	assert.Equal(t, "first\nseco\n3 lines "+told+"fifth\n", disk.String())

	room.Store(0)
	o.Printf("sixth")
	o.Flush()
	room.Store(10) // not even for that
	o.Printf("seventh")
	o.Flush()
	room.Store(1000)
	o.Printf("eighth")
	o.Flush()
	assert.Equal(t, "first\nseco\n3 lines "+told+"fifth\n1 line cou\n2 lines "+told+"eighth\n", disk.String())
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func TestLinesWaitUntilTheLastByteOfTheirRoom(t *testing.T) {
	t.Parallel()
	b := &bound{}
	assert.True(t, b.admit(maxWaitingBytes-1))
	assert.True(t, b.admit(1))
	assert.False(t, b.admit(1))
	assert.Zero(t, b.written(1), "one waits yet")
	assert.False(t, b.admit(2))
	assert.True(t, b.admit(1))
	assert.Zero(t, b.written(maxWaitingBytes-1))
	assert.Equal(t, 2, b.written(1), "the last one that waits tells how many were left out")
	for range maxWaiting {
		assert.True(t, b.admit(0))
	}
	assert.False(t, b.admit(0), "they are too many")
}
