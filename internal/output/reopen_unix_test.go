//go:build unix

package output

import (
	"fmt"
	"os"
	"path/filepath"
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

// reopened reopens the log, and returns what came of that.
func reopened(o *Output) Reopened {
	done := make(chan Reopened)
	o.reopenThen(func(r Reopened) { done <- r })
	return <-done
}

// openLog is an output whose log is open at a path.
func openLog(t *testing.T) (o *Output, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log")
	o = New(&testkit.Output{}, "a test")
	require.NoError(t, o.Open(path, Config{}))
	t.Cleanup(func() { o.Close() })
	return o, path
}

func TestLinesGoToTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	log, _ := o.Descriptors()
	end, err := unix.FcntlInt(uintptr(log), unix.F_DUPFD_CLOEXEC, 3)
	require.NoError(t, err)
	worker := os.NewFile(uintptr(end), "worker")
	defer worker.Close()
	o.Printf("one")
	require.NoError(t, os.Rename(path, path+".1"))
	o.Printf("two, which was printed before")
	assert.Equal(t, Reopened{Changed: true, Text: fmt.Sprintf("%q is another file now: the log goes there", path)}, reopened(o))
	o.Printf("three")
	o.Flush()
	fmt.Fprintln(worker, "of a worker that has the old one")
	assert.Equal(t, "one\ntwo, which was printed before\nof a worker that has the old one\n", content(t, path+".1"))
	assert.Equal(t, "three\n", content(t, path))
	again, _ := o.Descriptors()
	assert.Equal(t, log, again, "a spawn under way has the number")
	flags, err := unix.FcntlInt(uintptr(log), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC, "no other program gets it")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&^0o644)
}

func TestWhyThereIsNothingToReopen(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	assert.Equal(t, Reopened{Text: fmt.Sprintf("nothing to reopen: %q is the file that the log is written to", path)}, reopened(o))
	require.NoError(t, o.Close())
	assert.Equal(t, Reopened{Text: "nothing to reopen: there is no log file"}, reopened(o))
	o.mu.Lock()
	o.sink = &sink{spec: " | rotatelogs 'a b' ", command: &command{}}
	o.mu.Unlock()
	assert.Equal(t, Reopened{Text: `nothing to reopen: the log goes to the command "rotatelogs 'a b'"`}, reopened(o))
	o.Renew()
	o.mu.Lock()
	o.sink = &sink{spec: "syslog:app", command: &command{}}
	o.mu.Unlock()
	assert.Equal(t, Reopened{Text: "nothing to reopen: the log goes to syslog"}, reopened(o))
	o.letGo()
}

// By a link that only the kernel can follow, such as /dev/stdout, the same file is opened again.
func TestFileIsTheSameByALinkOfTheKernel(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("there is no /proc")
	}
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	o := New(&testkit.Output{}, "a test")
	require.NoError(t, o.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), Config{}))
	defer o.Close()
	r := reopened(o)
	assert.False(t, r.Changed)
	assert.Contains(t, r.Text, "nothing to reopen: ")
}

func TestPathThatCannotBeOpenedLeavesTheOldFileInUse(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	old := path + ".1"
	require.NoError(t, os.Rename(path, old))
	for why, make := range map[string]func(){
		"is a directory":            func() { require.NoError(t, os.Mkdir(path, 0o755)) },
		"no such device or address": func() { require.NoError(t, syscall.Mkfifo(path, 0o644)) },
		"no such file or directory": func() { require.NoError(t, os.Symlink("nowhere/log", path)) },
	} {
		make()
		r := reopened(o)
		assert.ErrorContains(t, r.Err, "the log file cannot be reopened, and the old one stays in use: open "+path)
		assert.ErrorContains(t, r.Err, why)
		assert.False(t, r.Changed)
		o.Printf("%s", why)
		o.Renew() // which says so
		o.Flush()
		assert.Contains(t, content(t, old), why+"\nthe log file cannot be reopened, and the old one stays in use: ")
		require.NoError(t, os.Remove(path))
	}
}

// Another user's symlink, in a directory where it may make one, is not followed.
func TestStrangersLinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can make a file another user's, and in CI nothing is skipped")
		t.Skip("only root can make a file another user's")
	}
	o, path := openLog(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, nil, 0o600))
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, os.Symlink(secret, path))
	require.NoError(t, os.Lchown(path, 65534, 65534))
	assert.ErrorContains(t, reopened(o).Err, "a symlink on the way is user 65534's")
	o.Printf("x")
	o.Flush()
	assert.Empty(t, content(t, secret))
	assert.Equal(t, "x\n", content(t, path+".1"))
}

func TestGenerationBeginsInTheFileThatIsThere(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	o.Mark(1)
	o.Renew()
	o.Printf("old")
	o.Flush()
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, os.WriteFile(path, []byte("of others\n"), 0o644))
	o.Renew()
	o.Mark(2)
	o.Printf("no database")
	o.Keep(2)
	said := fmt.Sprintf("%q is another file now: the log goes there\n", path)
	assert.Equal(t, []string{"no database"}, o.Tail(2)[len(o.Tail(2))-1:])
	assert.NotContains(t, o.Tail(2), "of others")
	assert.Equal(t, "of others\n"+said+"no database\n", content(t, path))
	assert.Equal(t, "old\n", content(t, path+".1"))
	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("of others\n", 50)), 0o644))
	assert.True(t, reopened(o).Changed)
	o.Printf("in the middle")
	o.Keep(2)
	assert.Equal(t, []string{"in the middle"}, o.Tail(2), "what is read is the file that is written")
}

// A log that takes nothing does not hold up a generation for ever, and does not hold up a signal
// at all.
func TestLogThatHangsIsReopenedWhenItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, path := openLog(t)
		stuck := make(chan struct{})
		o.Do(func() { <-stuck })
		require.NoError(t, os.Rename(path, path+".1"))
		began := time.Now()
		o.ReopenOn("received USR1", false)
		assert.Zero(t, time.Since(began))
		o.Renew()
		assert.Equal(t, FlushTime, time.Since(began))
		assert.NoFileExists(t, path)
		close(stuck)
		synctest.Wait()
		assert.FileExists(t, path)
	})
}

// A generation does not wait for a log file that is still at its path.
func TestLogInItsPlaceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, _ := openLog(t)
		stuck := make(chan struct{})
		o.Do(func() { <-stuck })
		began := time.Now()
		o.Renew()
		assert.Zero(t, time.Since(began))
		close(stuck)
	})
}

func TestLogThatIsClosedIsNotReopened(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	sink := o.sink
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, o.Close())
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	assert.ErrorIs(t, o.replace(sink, f), errClosed)
	_, err = o.openAgain(sink)
	assert.ErrorIs(t, err, errClosed)
}

// Many processes write while the file is renamed and reopened: each line is in one of the files,
// whole and in order.
func TestNoLineIsLostOrThereTwice(t *testing.T) {
	t.Parallel()
	const writers, lines, rotations = 4, 2000, 100
	o, path := openLog(t)
	for pid := 1; pid <= writers; pid++ {
		from, to, err := os.Pipe()
		require.NoError(t, err)
		o.relays.follow(from, Worker{Pid: pid}, "")
		go func() {
			defer to.Close()
			for i := range lines {
				fmt.Fprintf(to, "%d %s\n", i, strings.Repeat("x", i%100))
				o.Printf("[0] %d", pid) // ours come in between
			}
		}()
	}
	var all strings.Builder
	for i := range rotations {
		old := fmt.Sprintf("%s.%d", path, i)
		require.NoError(t, os.Rename(path, old))
		require.NoError(t, reopened(o).Err)
		all.WriteString(content(t, old)) // nobody writes to it any more
		require.NoError(t, os.Remove(old))
	}
	o.Wait()
	require.NoError(t, o.Close())
	all.WriteString(content(t, path))
	next := map[int]int{}
	for line := range strings.Lines(all.String()) {
		var pid, i int
		_, err := fmt.Sscanf(line, "[%d] %d", &pid, &i)
		require.NoError(t, err, line)
		if pid == 0 {
			next[0]++
			continue
		}
		require.Equal(t, fmt.Sprintf("[%d] %d %s\n", pid, next[pid], strings.Repeat("x", next[pid]%100)), line)
		next[pid]++
	}
	assert.Equal(t, map[int]int{0: writers * lines, 1: lines, 2: lines, 3: lines, 4: lines}, next)
}

func TestStreamsOfAWorkerAreToldApart(t *testing.T) {
	t.Parallel()
	var log testkit.Output
	o := New(&log, "a test")
	o.SetForm(Form{Workers: true}, "")
	r, err := o.Relay()
	require.NoError(t, err)
	stdout, stderr := r.Descriptors()
	assert.NotEqual(t, stdout, stderr)
	for fd, text := range map[int]string{stdout: "out\n", stderr: "err"} {
		_, err = unix.Write(fd, []byte(text))
		require.NoError(t, err)
	}
	r.Begin(Worker{Generation: 2, Slot: 1, Pid: 7})
	o.Wait()
	assert.ElementsMatch(t, []string{"[7 generation:2 slot:1 stdout] out\n", "[7 generation:2 slot:1 stderr] err\n"}, strings.SplitAfter(strings.TrimSuffix(log.String(), ""), "\n")[:2])
}

func TestStatusHasWordsWhereItMay(t *testing.T) {
	t.Parallel()
	for format, want := range map[Format]string{"": "256", Plain: "256", Time: "256 (exit code 1)", JSON: "256 (exit code 1)"} {
		o := New(&testkit.Output{}, "a test")
		o.SetForm(Form{Format: format}, "")
		assert.Equal(t, want, o.Status(256), "%s", format)
	}
}

func TestJournalIsKnownByDeviceAndInode(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	var st unix.Stat_t
	require.NoError(t, unix.Fstat(int(f.Fd()), &st))
	o := New(f, "a test")
	o.SetForm(Form{}, fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	o.Warnf("one")
	o.Now("two")
	require.NoError(t, o.Open(filepath.Join(t.TempDir(), "log"), Config{}))
	o.Now("to the log")
	assert.Equal(t, "to the log\n", content(t, o.sink.spec), "which is no journal")
	require.NoError(t, o.Close())
	assert.Equal(t, "<4>one\n<6>two\n", content(t, f.Name()))
}

// The client gets the text of the log line, which can be read in the log by then. The text also
// names workers that have the old file themselves.
func TestReopeningIsAnswered(t *testing.T) {
	t.Parallel()
	const workers = "; running workers write to the old file until they are restarted"
	for name, relayed := range map[string]bool{workers: false, "": true} {
		o, path := New(&testkit.Output{}, "a test"), filepath.Join(t.TempDir(), "log")
		require.NoError(t, o.Open(path, Config{Relayed: relayed}))
		said, err := o.Reopen(t.Context(), "a request")
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("nothing to reopen: %q is the file that the log is written to", path), said)
		assert.Equal(t, "a request: "+said+"\n", content(t, path))

		require.NoError(t, os.Rename(path, path+".1"))
		said, err = o.Reopen(t.Context(), "a request")
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("%q is another file now: the log goes there%s", path, name), said)
		assert.Equal(t, "a request: "+said+"\n", content(t, path))

		require.NoError(t, os.Rename(path, path+".2"))
		require.NoError(t, os.Mkdir(path, 0o755))
		said, err = o.Reopen(t.Context(), "a request")
		assert.ErrorContains(t, err, "the log file cannot be reopened, and the old one stays in use: ")
		assert.Empty(t, said)
		assert.Contains(t, content(t, path+".2"), "\na request: "+err.Error()+"\n")
		require.NoError(t, o.Close())
	}
}

// If a signal is for the workers, too, nothing is printed where there is no log file.
func TestSignalThatIsForTheWorkersReopensQuietly(t *testing.T) {
	t.Parallel()
	o, path := openLog(t)
	o.ReopenOn("received USR1", true)
	o.ReopenOn("received USR1", false)
	o.Flush()
	assert.Equal(t, fmt.Sprintf("received USR1: nothing to reopen: %q is the file that the log is written to\n", path), content(t, path))
	require.NoError(t, os.Rename(path, path+".1"))
	o.ReopenOn("received USR1", true)
	o.Flush()
	assert.Equal(t, fmt.Sprintf("received USR1: %q is another file now: the log goes there; running workers write to the old file until they are restarted\n", path), content(t, path))
	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, os.Mkdir(path, 0o755))
	o.ReopenOn("received USR1", true)
	o.Flush()
	assert.Contains(t, content(t, path+".2"), "\nreceived USR1: the log file cannot be reopened, and the old one stays in use: ")
}

func TestClientDoesNotWaitForALogThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, path := openLog(t)
		stuck := make(chan struct{})
		o.Do(func() { <-stuck })
		require.NoError(t, os.Rename(path, path+".1"))
		began := time.Now()
		_, err := o.ReopenFor(t.Context(), "a request")
		assert.EqualError(t, err, "the log does not accept writes now; the file is reopened when it does")
		assert.Equal(t, 10*time.Second, time.Since(began))
		close(stuck)
		synctest.Wait()
		assert.FileExists(t, path)
	})
}
