//go:build unix

package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// relayed is what the log has of text when pid 7 writes it.
func relayed(text string) string {
	var log testkit.Output
	r := &New(&log, "a test").relays
	r.copy(strings.NewReader(text), Worker{Pid: 7}, "")
	return log.String()
}

// pipeOf is the descriptor of a worker that has one pipe.
func pipeOf(r *Relay) int {
	stdout, _ := r.Descriptors()
	return stdout
}

func TestEachLineBeginsWithThePid(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"":            "",
		"\n":          "[7] \n",
		"a\n":         "[7] a\n",
		"a\nb\n\nc\n": "[7] a\n[7] b\n[7] \n[7] c\n",
		"a\nno end":   "[7] a\n[7] no end\n",
		"a\x00\xff\n": "[7] a\x00\xff\n",
		"a\r\n[8] b":  "[7] a\r\n[7] [8] b\n",
	} {
		assert.Equal(t, want, relayed(written), "%q", written)
	}
}

func TestLineThatIsTooLongBecomesSeveral(t *testing.T) {
	t.Parallel()
	for _, length := range []int{longestLine - 2, longestLine - 1, longestLine, longestLine + 1, 5*longestLine + 3} {
		got := relayed(strings.Repeat("x", length) + "\nend\n")
		var text strings.Builder
		for line := range strings.Lines(got) {
			rest, ok := strings.CutPrefix(line, "[7] ")
			require.True(t, ok)
			require.LessOrEqual(t, len(rest), longestLine+1)
			text.WriteString(strings.TrimSuffix(rest, "\n"))
		}
		assert.Equal(t, strings.Repeat("x", length)+"end", text.String(), "nothing is lost of %d bytes", length)
		whole := length < 64<<10 // with its end
		assert.Equal(t, whole, strings.Count(got, "\n") == 2, "%d bytes are kept together", length)
	}
}

func TestRelayIsAPipeOfOneWorker(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	o := New(&log, "a test")
	r, err := o.Relay()
	require.NoError(t, err)
	worker, err := unix.FcntlInt(uintptr(pipeOf(r)), unix.F_DUPFD_CLOEXEC, 3)
	require.NoError(t, err)
	flags, err := unix.FcntlInt(uintptr(pipeOf(r)), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC)
	flags, err = unix.FcntlInt(uintptr(worker), unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.Zero(t, flags&unix.O_NONBLOCK, "a worker need not know how to wait")
	r.Begin(Worker{Pid: 4711})
	_, err = unix.Write(worker, []byte("hello\nwor"))
	require.NoError(t, err)
	require.NoError(t, unix.Close(worker))
	o.Wait() // only the worker has held the pipe
	assert.Equal(t, "[4711] hello\n[4711] wor\n", log.String())
	assert.Empty(t, o.relays.pipes)
}

func TestRelayOfAWorkerThatCouldNotBeStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := New(&testkit.Output{}, "a test")
		r, err := o.Relay()
		require.NoError(t, err)
		worker, err := unix.FcntlInt(uintptr(pipeOf(r)), unix.F_DUPFD_CLOEXEC, 3)
		require.NoError(t, err)
		defer unix.Close(worker)
		r.Cancel()
		_, err = unix.Write(worker, []byte("hello"))
		assert.ErrorIs(t, err, unix.EPIPE, "nobody reads")
		assert.ErrorIs(t, r.pipes[0].from.Close(), os.ErrClosed)
		began := time.Now()
		o.Wait()
		assert.Zero(t, time.Since(began))
	})
}

func TestLinesOfManyAreWholeAndInOrder(t *testing.T) {
	t.Parallel()
	const writers, lines = 16, 500
	var log testkit.Output
	r := &New(&log, "a test").relays
	for pid := range writers {
		from, to, err := os.Pipe()
		require.NoError(t, err)
		r.follow(from, Worker{Pid: pid}, "")
		go func() {
			defer to.Close()
			for i := range lines {
				fmt.Fprintf(to, "%d says ", pid) // a line need not come at once
				fmt.Fprintf(to, "%d %s\n", i, strings.Repeat("x", i))
			}
		}()
	}
	r.wait()
	next := map[int]int{}
	for line := range strings.Lines(log.String()) {
		var pid, said, i int
		_, err := fmt.Sscanf(line, "[%d] %d says %d", &pid, &said, &i)
		require.NoError(t, err, line)
		require.Equal(t, fmt.Sprintf("[%d] %d says %d %s\n", pid, pid, next[pid], strings.Repeat("x", i)), line)
		next[pid]++
	}
	for pid := range writers {
		assert.Equal(t, lines, next[pid])
	}
}

// A process that the workers have left behind holds the pipe. It is not waited for long, and
// then nobody reads. This takes FlushTime of real time: a pipe does not work in a bubble.
func TestPipeThatIsKeptOpenIsLeftAlone(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	r := &New(&log, "a test").relays
	from, to, err := os.Pipe()
	require.NoError(t, err)
	defer to.Close()
	r.follow(from, Worker{Pid: 7}, "")
	io.WriteString(to, "last words")
	began := time.Now()
	r.wait()
	assert.GreaterOrEqual(t, time.Since(began), FlushTime)
	r.open.Wait()
	assert.Equal(t, "[7] last words\n", log.String())
	_, err = io.WriteString(to, "too late")
	assert.Error(t, err)
}

// The last words of a worker are in the log when Settle returns, even if a process that the worker
// has left behind holds the pipe.
func TestSettleWaitsForTheLastWords(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	o := New(&log, "a test")
	r, err := o.Relay()
	require.NoError(t, err)
	_, to := r.Descriptors()
	worker, err := syscall.Dup(to)
	require.NoError(t, err)
	r.Begin(Worker{Pid: 7})
	began := time.Now()
	r.Settle()
	assert.GreaterOrEqual(t, time.Since(began), settleTime)
	_, err = syscall.Write(worker, []byte(strings.Repeat("last\nwords\n", 1000)))
	require.NoError(t, err)
	require.NoError(t, syscall.Close(worker))
	for end := time.Now().Add(time.Minute); o.relays.copied.Load() < 2000 && time.Now().Before(end); {
		r.Settle() // once is enough, unless the machine stands still
	}
	assert.Equal(t, strings.Repeat("[7] last\n[7] words\n", 1000), log.String())
	o.Wait()
}

// until goes on waiting while lines come, but no longer than most.
func TestLinesAreWaitedForWhileTheyCome(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{900 * time.Millisecond, 1100 * time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			var r relays
			done := make(chan struct{})
			go func() {
				for end := time.Now().Add(lasts); time.Now().Before(end); r.copied.Add(1) {
					time.Sleep(settleTime / 2)
				}
				close(done)
			}()
			began := time.Now()
			assert.Equal(t, lasts < settleMost, r.until(done, settleTime, settleMost))
			assert.Equal(t, min(lasts, settleMost), time.Since(began))
			<-done
			began = time.Now()
			assert.False(t, r.until(nil, settleTime, settleMost))
			assert.Equal(t, settleTime, time.Since(began))
		})
	}
}

// follows makes the relay copy text as if from a pipe, in a bubble of synctest.
func (r *relays) follows(text string) {
	r.open.Go(func() { r.copy(strings.NewReader(text), Worker{Pid: 7}, "") })
}

func TestSlowLogIsWaitedForAsLongAsItGetsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{each: FlushTime / 2}
		r := &New(log, "a test").relays
		r.follows(strings.Repeat("line\n", 6))
		r.wait()
		assert.Equal(t, 6, log.lines)
	})
}

func TestLogThatIsTooSlowIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &New(&slowLog{each: time.Second}, "a test").relays
		r.follows(strings.Repeat("line\n", 100))
		began := time.Now()
		r.wait()
		assert.Equal(t, 10*time.Second, time.Since(began))
		r.open.Wait()
	})
}

func TestBlockedLogHoldsWhoWritesAndIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{stuck: make(chan struct{})}
		r := &New(log, "a test").relays
		text := strings.NewReader(strings.Repeat(strings.Repeat("x", 1000)+"\n", 1000))
		r.open.Go(func() { r.copy(text, Worker{Pid: 7}, "") })
		began := time.Now()
		r.wait()
		assert.Equal(t, FlushTime, time.Since(began))
		synctest.Wait() // what was read until now happens before what comes
		assert.Equal(t, 1001*1000-longestLine, text.Len(), "no more is read than a line needs")
		close(log.stuck)
		r.open.Wait()
		assert.Equal(t, 1000, log.lines)
	})
}

// A line that is cut in the middle of a character goes on with that character.
func TestCharactersAreNotCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "a": 1, "é": 2, "a\xc3": 1, "\xc3": 0, "\xe2\x82": 0, "a\xe2\x82": 1, "a€": 4,
		"\xf0\x9f\x98": 0, "a\xf0\x9f\x98": 1, "a😀": 5, "a\x80\x80\x80\x80": 5, "\xff": 1,
	} {
		assert.Equal(t, want, wholeRunes([]byte(text)), "%q", text)
	}
}
