//go:build unix

package output

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fakes is a Runner whose commands read nothing and live for a time. It is for a bubble of
// synctest, where nothing else takes time.
type fakes struct {
	lives time.Duration
	mu    sync.Mutex
	fails error
	runs  []time.Time // when they began
}

type fake struct {
	pid   int
	lives time.Duration
}

func (f *fakes) run([]string, []int) (Process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs = append(f.runs, time.Now())
	return fake{len(f.runs), f.lives}, f.fails
}

// fail makes all later starts fail.
func (f *fakes) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = err
}

func (f fake) Pid() int { return f.pid }

func (f fake) Wait() int {
	time.Sleep(f.lives)
	return 256
}

// opens opens a log whose command is a fake.
func (f *fakes) opens(t *testing.T) (*sink, *ends) {
	t.Helper()
	told := &ends{}
	s, err := openSink("| fake", "a test", f.run, told.add)
	require.NoError(t, err)
	return s, told
}

// pass lets time pass, and waits until all that follows has happened.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestCommandThatEndsSoonIsStartedOnceASecond(t *testing.T) {
	t.Parallel()
	for lives, pause := range map[time.Duration]time.Duration{0: time.Second, time.Second - 1: time.Second, time.Second: 0, time.Minute: 0} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakes{lives: lives}
			s, told := f.opens(t)
			pass(10*(lives+pause) - 1)
			assert.Len(t, f.runs, 10, "%v", lives)
			for i := range f.runs {
				assert.Equal(t, time.Duration(i)*(lives+pause), f.runs[i].Sub(f.runs[0]))
			}
			for i, end := range told.all() {
				assert.Equal(t, i+1, end.pid)
				assert.Equal(t, 256, end.status)
			}
			require.NoError(t, s.close())
			pass(time.Hour)
			assert.Len(t, f.runs, 10, "there was nothing to read")
		})
	}
}

// A command that never reads must not be run over and over once the log is
// closed, for as long as this process lives.
func TestCommandThatNeverReadsIsGivenUpAfterClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{lives: 100 * time.Millisecond}
		s, told := f.opens(t)
		write(t, s.file, 1, 1)
		pass(3500 * time.Millisecond)
		before, known := len(f.runs), len(told.all())
		began := time.Now()
		require.NoError(t, s.close())
		assert.Equal(t, 2*time.Second, time.Since(began))
		synctest.Wait()
		assert.Equal(t, before+2, len(f.runs), "at once, and after a pause")
		assert.Less(t, f.runs[before].Sub(began), 200*time.Millisecond)
		assert.Len(t, told.all(), known, "who ends now is no news for the log")
		pass(time.Hour)
		assert.Equal(t, before+2, len(f.runs))
	})
}

func TestCommandThatStaysIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{lives: time.Hour}
		s, _ := f.opens(t)
		began := time.Now()
		require.NoError(t, s.close())
		assert.Equal(t, 2*time.Second, time.Since(began))
		pass(2 * time.Hour)
		assert.Len(t, f.runs, 1)
		assert.ErrorIs(t, s.command.reader.Close(), os.ErrClosed, "and lets go of what it had")
	})
}

func TestCommandThatCannotBeStartedAgainIsTriedEachSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakes{}
		s, told := f.opens(t)
		synctest.Wait() // it has ended
		err := errors.New("no more processes")
		f.fail(err)
		pass(5 * time.Second)
		assert.Len(t, f.runs, 6)
		assert.Equal(t, end{err: err}, told.all()[5])
		require.NoError(t, s.close())
	})
}

func TestCommandThatCannotBeStartedIsAnError(t *testing.T) {
	t.Parallel()
	f := &fakes{fails: errors.New("no more processes")}
	_, err := openSink("| fake", "a test", f.run, nil)
	assert.EqualError(t, err, `log command "fake": no more processes`)
}

// Not parallel: stdout and stderr are the process's.
func TestOurOwnOutputIsRedirectedUntilClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	before := [2]unix.Stat_t{}
	for i := range before {
		require.NoError(t, unix.Fstat(1+i, &before[i]))
	}
	o := New(os.Stderr, "a test")
	require.NoError(t, o.Open(path, Config{Redirect: true}))
	stdout, stderr := o.Descriptors()
	for fd, text := range map[int]string{1: "out\n", 2: "err\n", stdout: "a worker's\n", stderr: "another's\n"} {
		_, err := unix.Write(fd, []byte(text))
		assert.NoError(t, err)
	}
	o.Printf("a line")
	err := o.Close()
	text := content(t, path)
	require.NoError(t, err)
	for _, line := range []string{"out\n", "err\n", "another's\n", "a line\n"} {
		assert.Contains(t, text, line)
	}
	assert.Equal(t, stdout, stderr)
	for i := range before {
		var now unix.Stat_t
		require.NoError(t, unix.Fstat(1+i, &now))
		assert.Equal(t, before[i].Ino, now.Ino, "descriptor %d is as it was", 1+i)
		assert.Equal(t, before[i].Dev, now.Dev, "descriptor %d is as it was", 1+i)
	}
}

// Not parallel: stderr is the process's. Perhaps nobody reads the log, so the terminal is
// told, too.
func TestTerminalIsToldOfALogCommandThatEnds(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	stderr := os.Stderr
	os.Stderr = w
	s, dir, told := open(t, "| if mkdir %s/first 2>/dev/null; then exit 3; fi; exec cat >>%s/out")
	os.Stderr = stderr
	require.NoError(t, w.Close())
	eventually(t, func() bool { return len(told.all()) == 1 }, "its end is told")
	line := make([]byte, 100)
	n, err := r.Read(line)
	require.NoError(t, err)
	assert.Regexp(t, `^a test: log command \d+ ended with status:768, starting it again\n$`, string(line[:n]))
	require.NoError(t, s.close())
	assert.DirExists(t, filepath.Join(dir, "first"))
}
