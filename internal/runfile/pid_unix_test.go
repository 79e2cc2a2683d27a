//go:build unix

package runfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// daemonFiles makes the test binary a superdaemon that holds a pid file and
// carries out orders from its stdin: see fake.
const daemonFiles = "RUNFILE_TEST_DAEMON"

func TestMain(m *testing.M) {
	if files := os.Getenv(daemonFiles); files != "" {
		pidFile, statusFile, _ := strings.Cut(files, "\n")
		if err := superdaemon(pidFile, statusFile); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func superdaemon(pidFile, statusFile string) error {
	pid, err := Hold(pidFile)
	if err != nil {
		return err
	}
	status, err := NewStatusFile(statusFile)
	if err != nil {
		return err
	}
	caught := make(chan os.Signal, 1)
	ossignal.Notify(caught, syscall.SIGHUP, syscall.SIGTERM)
	orders := make(chan string)
	go func() {
		defer close(orders)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			orders <- lines.Text()
		}
	}()
	fmt.Println("ready")
	for {
		select {
		case sig := <-caught:
			fmt.Println(sig)
			continue
		case line, open := <-orders:
			words := strings.Fields(line)
			switch {
			case !open:
				return nil // the test is over: go, and leave the files as they are
			case words[0] == "release":
				return errors.Join(status.Remove(), pid.Release())
			case words[0] == "renew":
				err = status.Renew()
			default:
				err = status.Write(entries(words[1:]))
			}
		}
		if err != nil {
			return err
		}
		fmt.Println("done")
	}
}

// entries reads words of the form GENERATION:PID.
func entries(words []string) (es []Entry) {
	for _, word := range words {
		generation, pid, _ := strings.Cut(word, ":")
		g, _ := strconv.Atoi(generation)
		p, _ := strconv.Atoi(pid)
		es = append(es, Entry{g, p})
	}
	return es
}

// fake is a superdaemon in another process.
type fake struct {
	t                   *testing.T
	cmd                 *exec.Cmd
	stdin               *os.File
	lines               chan string
	pidFile, statusFile string
	reap                func()
}

// startFake starts a fake with files of its own; it holds its pid file.
func startFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, lines: make(chan string, 16)}
	f.pidFile, f.statusFile = filepath.Join(t.TempDir(), "pid"), filepath.Join(t.TempDir(), "status")
	self, err := os.Executable()
	require.NoError(t, err)
	stdin, w, err := os.Pipe()
	require.NoError(t, err)
	f.stdin = w
	f.cmd = exec.Command(self)
	f.cmd.Env = append(os.Environ(), daemonFiles+"="+f.pidFile+"\n"+f.statusFile)
	f.cmd.Stdin, f.cmd.Stderr = stdin, os.Stderr
	stdout, err := f.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, f.cmd.Start())
	stdin.Close()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			f.lines <- lines.Text()
		}
	}()
	f.reap = sync.OnceFunc(func() {
		<-read
		f.cmd.Wait()
	})
	t.Cleanup(func() {
		f.cmd.Process.Kill()
		f.reap()
		w.Close()
	})
	f.says("ready")
	return f
}

func (f *fake) pid() int { return f.cmd.Process.Pid }

// says waits for the next line that the superdaemon prints.
func (f *fake) says(want string) {
	f.t.Helper()
	select {
	case line := <-f.lines:
		require.Equal(f.t, want, line)
	case <-time.After(patience):
		require.Fail(f.t, "the superdaemon says nothing", "instead of %q", want)
	}
}

// do makes it carry out an order: "status GENERATION:PID..." or "renew".
func (f *fake) do(order string) {
	f.t.Helper()
	_, err := fmt.Fprintln(f.stdin, order)
	require.NoError(f.t, err)
	f.says("done")
}

// release makes it let go of its files and end.
func (f *fake) release() {
	f.t.Helper()
	_, err := fmt.Fprintln(f.stdin, "release")
	require.NoError(f.t, err)
	f.reap()
	require.True(f.t, f.cmd.ProcessState.Success())
}

// kill ends it by KILL, so that it can tidy nothing up.
func (f *fake) kill() {
	f.t.Helper()
	require.NoError(f.t, f.cmd.Process.Kill())
	f.reap()
}

// patience is how long a test waits for something that has to come.
const patience = 8 * time.Second

// gonePid is the number of a process that has ended.
func gonePid(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	require.NoError(t, cmd.Run())
	return cmd.Process.Pid
}

func textOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestPidFileHoldsOurPidUntilReleased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	p, err := Hold(path)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(os.Getpid())+"\n", textOf(t, path))
	owner, err := Owner(path)
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), owner)

	require.NoError(t, p.Release())
	assert.NoFileExists(t, path)
	_, err = Owner(path)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q does not exist: no start_server is running with it", path))
}

func TestStalePidFileIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "junk that is longer than any pid could be\nand more\n", fmt.Sprintln(gonePid(t)), fmt.Sprintln(os.Getpid())} {
		path := filepath.Join(t.TempDir(), "pid")
		require.NoError(t, os.WriteFile(path, []byte(left), 0o644))
		_, err := Owner(path)
		require.Error(t, err, "%q is nobody's", left)

		p, err := Hold(path)
		require.NoError(t, err, "%q", left)
		assert.Equal(t, strconv.Itoa(os.Getpid())+"\n", textOf(t, path), "nothing is left of %q", left)
		assert.NoError(t, p.Release())
	}
}

func TestPidFileOfAKilledProcessIsTakenOver(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	f.kill()
	require.FileExists(t, f.pidFile)
	_, err := Owner(f.pidFile)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is stale: process %d, which it names, is gone", f.pidFile, f.pid()))
	p, err := Hold(f.pidFile)
	require.NoError(t, err)
	assert.NoError(t, p.Release())
}

func TestPidFileThatIsHeldIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	f := startFake(t)
	before, err := os.Stat(f.pidFile)
	require.NoError(t, err)

	_, err = Hold(f.pidFile)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, HeldError{f.pidFile, f.pid()}, *held)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is held by running process %d; stop that first, or use another pid file", f.pidFile, f.pid()))
	assert.Equal(t, fmt.Sprintln(f.pid()), textOf(t, f.pidFile), "not truncated")
	after, err := os.Stat(f.pidFile)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after))
	owner, err := Owner(f.pidFile)
	require.NoError(t, err, "it is still held")
	assert.Equal(t, f.pid(), owner)
}

func TestPidFileHeldInThisProcessIsHeldToo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	p, err := Hold(path)
	require.NoError(t, err)
	defer p.Release()
	_, err = Hold(path)
	var held *HeldError
	require.ErrorAs(t, err, &held)
	assert.Equal(t, os.Getpid(), held.Pid)
	assert.Equal(t, strconv.Itoa(os.Getpid())+"\n", textOf(t, path))
}

func TestPidFileHeldWithoutAPidIsReportedInTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	held, err := lock(f)
	require.NoError(t, err)
	require.False(t, held)
	_, err = Hold(path)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is held by another process that has not written its pid", path))
	assert.Empty(t, textOf(t, path))
}

// A process that opens a file which another is about to remove must not end
// up with a lock on nothing.
func TestPidFileIsHeldByOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	var holding, took sync.Mutex
	takes := 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				p, err := Hold(path)
				if err != nil {
					continue
				}
				if !assert.True(t, holding.TryLock(), "two hold it") {
					return
				}
				_, err = os.Stat(path)
				assert.NoError(t, err, "what is held is there")
				took.Lock()
				takes++
				took.Unlock()
				holding.Unlock()
				assert.NoError(t, p.Release())
			}
		})
	}
	all.Wait()
	assert.NotZero(t, takes)
	assert.NoFileExists(t, path)
}

func TestPidFileOfAnotherIsNotRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	p, err := Hold(path)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, []byte("1\n"), 0o644))
	require.NoError(t, p.Release())
	assert.Equal(t, "1\n", textOf(t, path))
}

func TestPidFileThatCannotBeMadeSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := Hold(filepath.Join(t.TempDir(), "none", "pid"))
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorContains(t, err, "pid file: ")
}

func TestPidFileWithoutAPidHasNoOwner(t *testing.T) {
	t.Parallel()
	for _, left := range []string{"", "x\n", "0\n", "-1\n", "1 2\n"} {
		path := filepath.Join(t.TempDir(), "pid")
		require.NoError(t, os.WriteFile(path, []byte(left), 0o644))
		_, err := Owner(path)
		assert.EqualError(t, err, fmt.Sprintf("pid file %q does not hold a pid but %q", path, left))
	}
}

// Two clients that look at once must not take each other for the owner: they
// would then signal whatever process has that pid by now.
func TestClientsAreNotTakenForTheOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintln(gonePid(t))), 0o644))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 500 {
				if _, err := Owner(path); !assert.Error(t, err, "nobody holds it") {
					return
				}
			}
		})
	}
	all.Wait()
}

func TestPidFileThatCannotBeLockedOrWrittenSaysWhy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	f, err := os.Open(path)
	require.NoError(t, err)
	assert.Error(t, write(f), "it is open for reading only")
	require.NoError(t, f.Close())
	_, err = lock(f)
	assert.Error(t, err)
	_, err = readPid(f)
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorIs(t, isOurs(f), os.ErrClosed)
	assert.ErrorIs(t, belongs(f, os.Getpid()), os.ErrClosed)
	assert.FileExists(t, path)
	p, err := Hold(path)
	require.NoError(t, err)
	require.NoError(t, p.Release())
	assert.ErrorIs(t, p.Release(), os.ErrClosed, "once is enough")

	_, err = Owner(t.TempDir() + "/" + strings.Repeat("x", 1000))
	assert.ErrorContains(t, err, "pid file: open ")
	_, err = Hold(t.TempDir())
	assert.ErrorContains(t, err, "pid file: open ")
}

func TestPidFileOfARunningProcessThatDoesNotHoldItIsNobodys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintln(os.Getpid())), 0o644))
	_, err := Owner(path)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q is held by nobody: process %d, which it names, is running, but is not the start_server that wrote it; it was not signalled", path, os.Getpid()))
}

// A new owner has the lock for a moment before its pid is there.
func TestOwnersPidIsWaitedForAWhile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	held, err := lock(f)
	require.NoError(t, err)
	require.False(t, held)
	began := time.Now()
	_, err = Owner(path)
	assert.ErrorContains(t, err, "does not hold a pid but \"\"")
	assert.GreaterOrEqual(t, time.Since(began), grace)
	require.NoError(t, write(f))
	owner, err := Owner(path)
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), owner)
}

// Another process than the named one has the lock: neither is signalled.
func TestPidFileThatIsLockedByAnotherThanItNames(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	p, err := Hold(path)
	require.NoError(t, err)
	defer p.Release()
	gone := gonePid(t)
	require.NoError(t, os.WriteFile(path, []byte(fmt.Sprintln(gone)), 0o644))
	began := time.Now()
	_, err = Owner(path)
	assert.EqualError(t, err, fmt.Sprintf("pid file %q names process %d, but another process has locked it: nothing was signalled", path, gone))
	assert.GreaterOrEqual(t, time.Since(began), grace, "it may be about to write its own")
}
