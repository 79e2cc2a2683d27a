//go:build unix

package starter_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what has to come.
const patience = 30 * time.Second

// worker writes its generation, pid and sockets to the directory $DIR, and
// does nothing else until it is told to go. It fails while there is a file
// "fail".
const worker = `
if [ -e "$DIR/fail" ]; then exit 3; fi
echo "$SERVER_STARTER_GENERATION $$ $SERVER_STARTER_PORT" >"$DIR/t$$"
mv "$DIR/t$$" "$DIR/gen$SERVER_STARTER_GENERATION"
exec sleep 1000
`

// daemon is a Starter under test, with the directory that its workers write to.
type daemon struct {
	*starter.Starter
	t      *testing.T
	dir    string
	log    *testkit.Output
	cancel context.CancelFunc
	ended  chan struct{} // closed when Run has returned
	err    error         // what it returned
}

// prepare makes a Starter that runs the worker; change may change the config.
func prepare(t *testing.T, change func(*starter.Config)) *daemon {
	t.Helper()
	dir := testkit.Dir(t)
	d := &daemon{t: t, dir: dir, log: &testkit.Output{}, ended: make(chan struct{})}
	c := starter.Config{
		Command:  []string{"/bin/sh", "-c", worker},
		Interval: starter.MinInterval,
		Env:      append(os.Environ(), "DIR="+dir),
		Log:      d.log,
	}
	if change != nil {
		change(&c)
	}
	var err error
	d.Starter, err = starter.New(c)
	require.NoError(t, err)
	return d
}

// dirOf is the directory of the Starter that c is for.
func dirOf(c *starter.Config) string { return strings.TrimPrefix(c.Env[len(c.Env)-1], "DIR=") }

// start runs a daemon until the test ends.
func start(t *testing.T, change func(*starter.Config)) *daemon {
	t.Helper()
	d := prepare(t, change)
	require.NoError(t, d.Listen())
	d.run()
	d.generation(1)
	return d
}

func (d *daemon) run() {
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	go func() {
		defer close(d.ended)
		d.err = d.Run(ctx)
	}()
	d.t.Cleanup(func() {
		cancel()
		<-d.ended
	})
}

// stop ends d and returns what Run returned.
func (d *daemon) stop() error {
	d.t.Helper()
	d.cancel()
	select {
	case <-d.ended:
		return d.err
	case <-time.After(patience):
		require.Fail(d.t, "Run does not return", d.log.String())
		return nil
	}
}

// generation waits for what the worker of generation n writes, and returns it.
func (d *daemon) generation(n int) (pid int, sockets string) {
	d.t.Helper()
	path := filepath.Join(d.dir, "gen"+strconv.Itoa(n))
	require.Eventually(d.t, func() bool {
		_, err := os.Stat(path)
		return err == nil
	}, patience, 5*time.Millisecond, "generation %d", n)
	text, err := os.ReadFile(path)
	require.NoError(d.t, err)
	words := strings.Split(strings.TrimSuffix(string(text), "\n"), " ")
	require.Len(d.t, words, 3)
	assert.Equal(d.t, strconv.Itoa(n), words[0], "SERVER_STARTER_GENERATION")
	pid, err = strconv.Atoi(words[1])
	require.NoError(d.t, err)
	return pid, words[2]
}

func (d *daemon) restart() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("no answer"))
	defer cancel()
	return d.Restart(ctx)
}

func (d *daemon) logs(want string) {
	d.t.Helper()
	require.Eventually(d.t, func() bool { return strings.Contains(d.log.String(), want) }, patience, 5*time.Millisecond, want)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestTwoStartersInOneProcess(t *testing.T) {
	t.Parallel()
	before := os.Environ()
	port := func(c *starter.Config) { c.Ports = []string{"127.0.0.1:0"} }
	one, two := start(t, port), start(t, port)
	require.Len(t, one.Addrs(), 1)
	require.Len(t, two.Addrs(), 1)
	assert.NotEqual(t, one.Addrs(), two.Addrs())

	pidOne, _ := one.generation(1)
	pidTwo, _ := two.generation(1)
	require.NoError(t, one.restart())
	one.generation(2)
	require.NoError(t, one.stop())
	assert.False(t, alive(pidOne))
	assert.True(t, alive(pidTwo), "the other one is not touched")
	assert.NotContains(t, two.log.String(), "restart requested")
	conn, err := net.Dial("tcp", two.Addrs()[0].String())
	require.NoError(t, err)
	conn.Close()
	require.NoError(t, two.stop())
	assert.False(t, alive(pidTwo))
	assert.Equal(t, before, os.Environ(), "no variable of ours has changed")
}

func TestWorkerIsToldTheRealPort(t *testing.T) {
	t.Parallel()
	var path string
	d := start(t, func(c *starter.Config) {
		path = filepath.Join(dirOf(c), "sock")
		c.Ports, c.Paths = []string{"127.0.0.1:0,u0=7"}, []string{path}
	})
	addrs := d.Addrs()
	require.Len(t, addrs, 3)
	tcp, udp := addrs[0].(*net.TCPAddr), addrs[1].(*net.UDPAddr)
	assert.NotZero(t, tcp.Port)
	_, sockets := d.generation(1)
	assert.Equal(t, fmt.Sprintf("127.0.0.1:%d=3;%d=7;%s=4", tcp.Port, udp.Port, path), sockets)

	require.NoError(t, d.restart())
	_, again := d.generation(2)
	assert.Equal(t, sockets, again)
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()
	require.NoError(t, d.stop())
	assert.NoFileExists(t, path)
	assert.Nil(t, d.Addrs())
}

func TestWithoutSocketsTheWorkerIsToldSo(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) { c.Env = append(c.Env, "SERVER_STARTER_PORT=80=3") })
	assert.Empty(t, d.Addrs())
	_, sockets := d.generation(1)
	assert.Empty(t, sockets, "what we were told ourselves is not passed on")
}

func TestRestartReturnsWhenTheNewGenerationIsLive(t *testing.T) {
	t.Parallel()
	var status string
	d := start(t, func(c *starter.Config) {
		status = filepath.Join(dirOf(c), "status")
		c.StatusFile = status
	})
	old, _ := d.generation(1)
	require.Eventually(t, func() bool {
		_, err := os.Stat(status)
		return err == nil
	}, patience, 5*time.Millisecond, "the first one is live")
	require.NoError(t, d.restart())
	pid, _ := d.generation(2)
	assert.True(t, alive(pid))
	require.Eventually(t, func() bool { return !alive(old) }, patience, 5*time.Millisecond, "the old one goes")
	d.logs("restart requested, spawning a new worker\n")
	d.logs(fmt.Sprintf("new worker is now running, sending TERM to old workers:%d\n", old))
	d.logs(fmt.Sprintf("old worker %d died, status:15\n", old))
}

func TestRestartOfAWorkerThatFailsSaysWhyAndTheOldOneServesOn(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) { c.Interval = time.Second / 2 }) // long enough to fail within it
	require.NoError(t, d.restart())                                         // so that generation 2 is proven
	old, _ := d.generation(2)
	fail := filepath.Join(d.dir, "fail")
	require.NoError(t, os.WriteFile(fail, nil, 0o644))
	assert.Regexp(t, `^new worker \d+ of generation 3 failed after .*: exit code 3$`, d.restart())
	assert.True(t, alive(old))

	require.NoError(t, os.Remove(fail))
	require.NoError(t, d.restart())
	require.Eventually(t, func() bool { return !alive(old) }, patience, 5*time.Millisecond, "the old one goes")
}

func TestRestartTellsThatTheProgramIsGone(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) {
		dir := dirOf(c)
		program := filepath.Join(dir, "program")
		require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"+worker), 0o755))
		c.Command = []string{program}
	})
	old, _ := d.generation(1)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "program")))
	err := d.restart()
	assert.ErrorContains(t, err, "generation 2 could not be started: program ")
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.True(t, alive(old))
}

func TestWorkerThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	d := start(t, nil)
	require.NoError(t, d.restart()) // so that generation 2 is proven
	pid, _ := d.generation(2)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	next, _ := d.generation(3)
	assert.NotEqual(t, pid, next)
	d.logs(fmt.Sprintf("worker %d died unexpectedly with status:9, restarting\n", pid))
}

func TestEndOfTheContextStopsWithTheSignalOfTERM(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) { c.SignalOnTERM = syscall.SIGKILL })
	pid, _ := d.generation(1)
	require.NoError(t, d.stop())
	assert.False(t, alive(pid))
	log := d.log.String()
	assert.Contains(t, log, fmt.Sprintf("sending KILL to all workers:%d\n", pid))
	assert.Contains(t, log, fmt.Sprintf("worker %d died, status:9\n", pid))
	assert.True(t, strings.HasSuffix(log, "exiting\n"), "the log is written before Run returns: %s", log)
}

func TestRestartAfterRunIsRefused(t *testing.T) {
	t.Parallel()
	d := start(t, nil)
	require.NoError(t, d.stop())
	assert.ErrorIs(t, d.restart(), starter.ErrStopping)
}

func TestRestartThatWaitsHearsOfTheStop(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) { c.Interval = time.Hour })
	answer := make(chan error, 1)
	go func() { answer <- d.restart() }()
	d.logs("as soon as the one that is starting has succeeded or failed")
	require.NoError(t, d.stop())
	assert.ErrorIs(t, <-answer, starter.ErrStopping)
}

func TestListenTwiceIsListenOnce(t *testing.T) {
	t.Parallel()
	d := prepare(t, func(c *starter.Config) { c.Ports = []string{"127.0.0.1:0"} })
	assert.Nil(t, d.Addrs(), "not before Listen")
	require.NoError(t, d.Listen())
	addrs := d.Addrs()
	require.Len(t, addrs, 1)
	require.NoError(t, d.Listen())
	assert.Equal(t, addrs, d.Addrs())
	d.run() // it closes what Listen has opened
	d.generation(1)
	assert.Equal(t, addrs, d.Addrs(), "nor does Run bind again")
	require.NoError(t, d.stop())
	assert.Equal(t, 1, strings.Count(d.log.String(), "starting now..."))
}

func TestNothingIsLeftAfterAListenThatFails(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	var pidFile, status, logFile string
	d := prepare(t, func(c *starter.Config) {
		dir := dirOf(c)
		pidFile, status, logFile = filepath.Join(dir, "pid"), filepath.Join(dir, "status"), filepath.Join(dir, "log")
		c.Ports = []string{busy.Addr().String()}
		c.PidFile, c.StatusFile, c.LogFile = pidFile, status, logFile
	})
	assert.ErrorIs(t, d.Listen(), syscall.EADDRINUSE)
	assert.Nil(t, d.Addrs())
	assert.ErrorIs(t, d.Run(context.Background()), syscall.EADDRINUSE)
	for _, path := range []string{pidFile, status, logFile} {
		assert.NoFileExists(t, path)
	}
	busy.Close()
	// It may be tried again. Until its exec, a child that another test has forked may
	// still have a copy of the port.
	require.Eventually(t, func() bool { return d.Listen() == nil }, 10*time.Second, 10*time.Millisecond)
	d.run()
	d.generation(1)
	require.NoError(t, d.stop())
}

func TestWhatCannotRunIsToldBeforeAnythingIsBound(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*starter.Config){
		"not found in PATH=":   func(c *starter.Config) { c.Command = []string{"no-such-program"} },
		"working directory: ":  func(c *starter.Config) { c.Dir = "/no/such/directory" },
		"envdir: ":             func(c *starter.Config) { c.EnvDir = "/no/such/directory" },
		"pid file: ":           func(c *starter.Config) { c.PidFile = "/no/such/directory/pid" },
		"status file: ":        func(c *starter.Config) { c.StatusFile = "/no/such/directory/status" },
		"log file: ":           func(c *starter.Config) { c.LogFile = "/no/such/directory/log" },
		"log command \"nosuch": func(c *starter.Config) { c.LogFile = "| nosuch-log-command" },
	} {
		d := prepare(t, change)
		assert.ErrorContains(t, d.Listen(), want)
	}
}

func TestFilesTellWhoServes(t *testing.T) {
	t.Parallel()
	var pidFile, status string
	d := start(t, func(c *starter.Config) {
		dir := dirOf(c)
		pidFile, status = filepath.Join(dir, "pid"), filepath.Join(dir, "status")
		c.PidFile, c.StatusFile = pidFile, status
	})
	text, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(os.Getpid())+"\n", string(text))
	lists := func(generation int) {
		t.Helper()
		pid, _ := d.generation(generation)
		want := fmt.Sprintf("%d:%d\n", generation, pid)
		require.Eventually(t, func() bool {
			text, _ := os.ReadFile(status)
			return string(text) == want
		}, patience, 5*time.Millisecond, "the status file holds %q", want)
	}
	lists(1)
	require.NoError(t, d.restart())
	lists(2)
	require.NoError(t, d.stop())
	assert.NoFileExists(t, pidFile)
	assert.NoFileExists(t, status)
}

// Files that others have removed are no reason to fail at the end.
func TestFilesThatAreGoneAtTheEndAreNoFault(t *testing.T) {
	t.Parallel()
	var pidFile, status, path string
	d := start(t, func(c *starter.Config) {
		dir := dirOf(c)
		pidFile, status, path = filepath.Join(dir, "pid"), filepath.Join(dir, "status"), filepath.Join(dir, "sock")
		c.PidFile, c.StatusFile, c.Paths = pidFile, status, []string{path}
	})
	require.NoError(t, d.restart())
	// The last list has only generation 2. Nothing is written after that until the
	// end.
	d.logs("old worker ")
	pid, _ := d.generation(2)
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(status)
		return string(text) == fmt.Sprintf("2:%d\n", pid)
	}, patience, 5*time.Millisecond)
	require.NoError(t, os.Remove(pidFile))
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.Remove(status))
	assert.NoError(t, d.stop())
}

func TestWorkersWriteToTheLogFile(t *testing.T) {
	t.Parallel()
	var logFile string
	d := start(t, func(c *starter.Config) {
		logFile = filepath.Join(dirOf(c), "log")
		c.LogFile = logFile
		c.Command = []string{"/bin/sh", "-c", "echo out; echo err >&2;" + worker}
	})
	pid, _ := d.generation(1)
	require.NoError(t, d.stop())
	text, err := os.ReadFile(logFile)
	require.NoError(t, err)
	for _, want := range []string{"out\n", "err\n", fmt.Sprintf("starting new worker %d\n", pid), "exiting\n"} {
		assert.Contains(t, string(text), want)
	}
	assert.Equal(t, fmt.Sprintf("start_server (pid:%d) starting now...\n", os.Getpid()), d.log.String(), "what came before is where it was told to be")
}

func TestEnvDirIsReadForEveryWorker(t *testing.T) {
	t.Parallel()
	envDir := t.TempDir()
	d := start(t, func(c *starter.Config) {
		c.EnvDir = envDir
		c.Command = []string{"/bin/sh", "-c", `echo "$FRUIT" >"$DIR/fruit$SERVER_STARTER_GENERATION";` + worker}
	})
	fruit := func(generation int) string {
		d.generation(generation)
		text, err := os.ReadFile(filepath.Join(d.dir, "fruit"+strconv.Itoa(generation)))
		require.NoError(t, err)
		return string(text)
	}
	file := filepath.Join(envDir, "FRUIT")
	assert.Equal(t, "\n", fruit(1))
	require.NoError(t, os.WriteFile(file, []byte("apple\n"), 0o644))
	require.NoError(t, d.restart())
	assert.Equal(t, "apple\n", fruit(2))
	require.NoError(t, os.Remove(file))
	require.NoError(t, d.restart())
	assert.Equal(t, "\n", fruit(3))
}

func TestDirIsFollowedForEveryWorker(t *testing.T) {
	t.Parallel()
	releases := t.TempDir()
	current := filepath.Join(releases, "current")
	for _, name := range []string{"one", "two"} {
		require.NoError(t, os.Mkdir(filepath.Join(releases, name), 0o755))
	}
	require.NoError(t, os.Symlink("one", current))
	d := start(t, func(c *starter.Config) {
		c.Dir = current
		c.Command = []string{"/bin/sh", "-c", `pwd -P >"$DIR/pwd$SERVER_STARTER_GENERATION";` + worker}
	})
	pwd := func(generation int) string {
		d.generation(generation)
		text, err := os.ReadFile(filepath.Join(d.dir, "pwd"+strconv.Itoa(generation)))
		require.NoError(t, err)
		return filepath.Base(strings.TrimSpace(string(text)))
	}
	assert.Equal(t, "one", pwd(1))
	require.NoError(t, os.Remove(current))
	require.NoError(t, os.Symlink("two", current))
	require.NoError(t, d.restart())
	assert.Equal(t, "two", pwd(2))
}

func TestWorkerThatDoesNotGoIsKilled(t *testing.T) {
	t.Parallel()
	d := start(t, func(c *starter.Config) {
		c.KillTimeout = 100 * time.Millisecond
		c.Command = []string{"/bin/sh", "-c", "trap '' TERM;" + worker}
	})
	pid, _ := d.generation(1)
	require.NoError(t, d.stop())
	assert.Contains(t, d.log.String(), fmt.Sprintf("worker %d is still there 0.1 secs after it was told to go, sending KILL\n", pid))
	assert.Contains(t, d.log.String(), fmt.Sprintf("worker %d died, status:9\n", pid))
}
