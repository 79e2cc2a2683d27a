//go:build unix

package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The test binary plays start_server_probe: roleVariable says what it does with a request,
// and pidsVariable names a file that it writes its pid to.
const (
	roleVariable = "PROBE_TEST_ROLE"
	pidsVariable = "PROBE_TEST_PIDS"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		syscall.Exit(0) // not os.Exit, which may have something to say of coverage
	}
	os.Exit(m.Run())
}

// play answers that all is fine, unless the role is another one. If there are two roles, the
// second is only for the first process.
func play(role string) {
	file, err := os.OpenFile(os.Getenv(pidsVariable), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		syscall.Exit(9)
	}
	fmt.Fprintln(file, os.Getpid())
	pids, _ := os.ReadFile(file.Name())
	if later, first, ok := strings.Cut(role, "+"); !ok || len(strings.Fields(string(pids))) > 1 {
		role = later
	} else {
		role = first
	}
	conn, err := net.FileConn(os.Stdin)
	if err != nil {
		syscall.Exit(8)
	}
	switch role {
	case "dies before":
		fmt.Fprintln(os.Stderr, "why it dies")
		syscall.Exit(3)
	case "mute":
		waitForEOF(conn)
		return
	case "slow":
		time.Sleep(overtime + 300*time.Millisecond)
	}
	hello := wire.Answer{Result: wire.Passed}
	_, _ = conn.Write(hello.Encode())
	reader := &wire.Reader{Conn: conn.(*net.UnixConn)}
	for {
		payload, err := wire.ReadFrame(reader, wire.MaxRequest)
		if err != nil {
			return
		}
		r, err := wire.DecodeRequest(payload)
		if err != nil {
			syscall.Exit(7)
		}
		fds, err := reader.Take(r.Descriptors)
		if err != nil {
			syscall.Exit(6)
		}
		for _, n := range fds {
			unix.Close(n)
		}
		if r.Kind == wire.Cancel {
			continue
		}
		_, _ = conn.Write(answers(role, conn, r))
	}
}

// answers is what a role says to a request.
func answers(role string, conn net.Conn, r wire.Request) []byte {
	a := wire.Answer{ID: r.ID, Result: wire.Passed}
	switch role {
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "silent":
		waitForEOF(conn)
		return nil
	case "stopped":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		waitForEOF(conn) // another thread may have got the signal
		return nil
	case "garbage":
		return []byte("HTTP/1.1 200 OK\r\n\r\n")
	case "another format":
		return []byte("\x00\x00\x00\x05\x00\x00\x00\x012")
	case "unasked":
		a.ID += 5
	case "twice":
		return append(a.Encode(), a.Encode()...)
	case "closes":
		conn.Close()
		_ = os.Stdin.Close()
		_ = syscall.Close(0)
		select {}
	case "no reason":
		a.Result = wire.Failed
	case "a reason":
		a.Result, a.Reason = wire.Failed, "it\x1b[2J\nis\xff "+strings.Repeat("long", 1000)
	case "late":
		a.Result, a.Reason = wire.Late, "it hangs"
	}
	return a.Encode()
}

// waitForEOF blocks until the other end is closed, whatever comes.
func waitForEOF(conn net.Conn) {
	for junk := make([]byte, 4096); ; {
		if _, err := conn.Read(junk); err != nil {
			return
		}
	}
}

// playing is a Checker of a role. pids are the processes that it has started.
func playing(t *testing.T, role string, probes ...string) (c *Checker, pids func() []int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	file := t.TempDir() + "/pids"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c = &Checker{
		Command: self, Timeout: time.Minute,
		Sockets: []fdenv.Socket{{Name: "8080", Label: "web", Addr: &net.TCPAddr{Port: 8080}, FD: 3}},
		Env: func() ([]string, error) {
			return append(os.Environ(), roleVariable+"="+role, pidsVariable+"="+file), nil
		},
	}
	c.Probes, err = Parse(probes, c.Sockets, true)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, func() (pids []int) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			require.NoError(t, err)
			pids = append(pids, pid)
		}
		return pids
	}
}

// reachable is a target that is always connected to.
var reachable = Target{Connect: func(context.Context, int) (int, error) { return open() }}

// gone asserts that processes have ended, and were waited for.
func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		assert.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH, "process %d", pid)
	}
}

func TestOneProcessServesAllCallsUnderWay(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "fine", "http://web/", "exec:true")
	held, release := make(chan struct{}, 2), make(chan struct{})
	holding := Target{Connect: func(context.Context, int) (int, error) {
		held <- struct{}{}
		<-release
		return open()
	}}
	first := make(chan error)
	go func() { first <- c.Pass(t.Context(), holding) }()
	<-held
	<-held // so there is a process as long as these are held
	var all sync.WaitGroup
	for range 3 * tryTurns {
		all.Go(func() { assert.NoError(t, c.Still(t.Context(), reachable)) })
	}
	all.Wait()
	require.Len(t, pids(), 1)
	assert.NoError(t, syscall.Kill(pids()[0], 0))
	close(release)
	require.NoError(t, <-first)
	require.Eventually(t, func() bool { return syscall.Kill(pids()[0], 0) == syscall.ESRCH }, time.Minute, time.Millisecond, "it ends with the last call")

	require.NoError(t, c.Still(t.Context(), reachable), "another one is started when it is needed again")
	c.Close()
	require.Len(t, pids(), 2)
	gone(t, pids())
	assert.Equal(t, ErrClosed, c.Still(t.Context(), reachable))
	assert.Len(t, pids(), 2)
}

func TestWithoutNeedThereIsNoProcess(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "fine", "tcp://web", "http://web/")
	c.Accepted = func(int) (bool, error) { return true, nil }
	c.Probes = c.Probes[:1]
	require.NoError(t, c.Pass(t.Context(), reachable))
	assert.NoError(t, c.Check())
	c.Close()
	assert.Empty(t, pids())
}

func TestAProcessThatIsNotToBeTrusted(t *testing.T) {
	t.Parallel()
	const nonsense = "start_server_probe has sent an invalid answer: "
	for role, want := range map[string]string{
		"dies before":    "start_server_probe has ended, exit code 3",
		"killed":         "start_server_probe has ended, killed by signal KILL",
		"silent":         "start_server_probe has not answered within 2.1s",
		"stopped":        "start_server_probe has not answered within 2.1s",
		"closes":         "start_server_probe has closed its socket",
		"garbage":        nonsense + "a frame of 1213486160 bytes is too long",
		"another format": nonsense + `it is of version "2" of the format, not 1`,
		"unasked":        nonsense + "an answer to what was not asked",
		"no reason":      "it failed",
		"a reason":       "it?[2J?is? " + strings.Repeat("long", 1000)[:wire.MaxReason-11],
		"late":           "no answer within 0.1s: it hangs",
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			for _, bad := range []bool{true, false} { // all of them, or the first one
				name := role
				if !bad {
					name = "fine+" + role
				}
				if bad && role == "stopped" || !bad && (role == "silent" || role == "closes") {
					continue // it takes seconds, and tests the same
				}
				c, pids := playing(t, name, "http://web/")
				if c.Timeout = time.Minute; strings.Contains(want, "2.1s") || role == "late" {
					c.Timeout = 100 * time.Millisecond
				}
				err := c.Still(t.Context(), reachable)
				c.Close()
				gone(t, pids())
				switch {
				case bad:
					assert.EqualError(t, err, "http://web/: "+want)
				case role == "late" || strings.HasSuffix(role, "reason"): // the process goes on
					assert.EqualError(t, err, "http://web/: "+want)
					assert.Len(t, pids(), 1)
				default:
					assert.NoError(t, err, "the next try has another one")
					assert.Len(t, pids(), 2)
				}
			}
		})
	}
}

func TestOfTwoAnswersTheFirstCounts(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "twice", "exec:true")
	assert.NoError(t, c.Still(t.Context(), reachable))
	c.Close()
	gone(t, pids())
}

// TestAProcessThatDiesIsStartedAnewWithPauses: at most one start in 100 ms.
func TestAProcessThatDiesIsStartedAnewWithPauses(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"dies before", "killed"} {
		c, pids := playing(t, role, "exec:true", "exec:false", "http://web/")
		ctx, stop := context.WithCancel(t.Context())
		start, ended := time.Now(), make(chan error)
		go func() { ended <- c.Pass(ctx, reachable) }()
		require.Eventually(t, func() bool { return len(pids()) >= 4 }, time.Minute, time.Millisecond)
		assert.GreaterOrEqual(t, time.Since(start), 3*startPause)
		stop()
		assert.ErrorContains(t, <-ended, "start_server_probe has ended, ")
		c.Close()
		gone(t, pids())
	}
}

// TestWhatCannotBeStartedIsTriedWithPauses: however many probes need it.
func TestWhatCannotBeStartedIsTriedWithPauses(t *testing.T) {
	t.Parallel()
	c, _ := playing(t, "fine", "exec:true")
	for range tryTurns - 1 {
		c.Probes = append(c.Probes, c.Probes[0])
	}
	var starts atomic.Int32
	c.Env = func() ([]string, error) { starts.Add(1); return nil, errors.New("envdir is gone") }
	ctx, done := context.WithTimeout(t.Context(), 5*startPause)
	defer done()
	start := time.Now()
	assert.Error(t, c.Pass(ctx, reachable))
	assert.LessOrEqual(t, int(starts.Load()), int(time.Since(start)/startPause)+1)
}

// TestOneThatIsMuteHoldsNobodyUp: no call takes longer than its ctx.
func TestOneThatIsMuteHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "mute", "exec:true")
	ctx, done := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer done()
	start := time.Now()
	assert.ErrorContains(t, c.Pass(ctx, reachable), "exec:true: it has not ended within 0.3")
	assert.Less(t, time.Since(start), 5*time.Second)
	c.Close()
	gone(t, pids())
}

// TestTheTimeOfATryBeginsWithTheProcess: the process may take longer than a try to be there.
func TestTheTimeOfATryBeginsWithTheProcess(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "slow", "exec:true")
	c.Timeout = 100 * time.Millisecond
	require.NoError(t, c.Pass(t.Context(), reachable))
	assert.Len(t, pids(), 1)
}

// TestWhatTakesNothingHoldsNobodyUp: requests do not fit into the socket any more.
func TestWhatTakesNothingHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "stopped", "exec:true "+strings.Repeat("#", maxCommand-10))
	for range tryTurns - 1 {
		c.Probes = append(c.Probes, c.Probes[0])
	}
	ctx, done := context.WithTimeout(t.Context(), time.Second)
	defer done()
	start := time.Now()
	assert.Error(t, c.Pass(ctx, reachable))
	assert.Less(t, time.Since(start), 20*time.Second)
	c.Close()
	gone(t, pids())
}

func TestWhyItCannotBeStarted(t *testing.T) {
	t.Parallel()
	why := func(change func(*Checker)) string {
		c, pids := playing(t, "fine", "exec:true")
		change(c)
		err := c.Still(t.Context(), reachable)
		require.Error(t, err)
		assert.Empty(t, pids())
		return strings.TrimPrefix(err.Error(), "exec:true: ")
	}
	assert.Equal(t, `program "/no/such/file": no such file or directory`, why(func(c *Checker) { c.Command = "/no/such/file" }))
	assert.Equal(t, "working directory: stat /no/such/dir: no such file or directory", why(func(c *Checker) { c.Dir = "/no/such/dir" }))
	assert.Equal(t, "envdir is gone", why(func(c *Checker) { c.Env = func() ([]string, error) { return nil, fmt.Errorf("envdir is gone") } }))
}

// TestWhatItSaysGoesToTheLog: its stdout goes there, too.
func TestWhatItSaysGoesToTheLog(t *testing.T) {
	t.Parallel()
	log, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer log.Close()
	c, _ := playing(t, "dies before", "exec:true")
	c.Stderr = func() int { return int(log.Fd()) }
	assert.Error(t, c.Still(t.Context(), reachable))
	text, err := os.ReadFile(log.Name())
	require.NoError(t, err)
	assert.Equal(t, "why it dies\nwhy it dies\n", string(text))
}

// TestACommandIsNotRunWithoutItsConnections: and connections that were opened before are closed.
func TestACommandIsNotRunWithoutItsConnections(t *testing.T) {
	t.Parallel()
	c, pids := playing(t, "fine", "exec:true")
	c.Sockets = append(c.Sockets, fdenv.Socket{Name: "/run/a.sock", Addr: &net.UnixAddr{}}, fdenv.Socket{Name: "8081", Addr: &net.TCPAddr{Port: 8081}})
	var first int
	err := c.Still(t.Context(), Target{Connect: func(_ context.Context, place int) (n int, err error) {
		if place == 0 {
			first, err = open()
			return first, err
		}
		return -1, fmt.Errorf("%d: all is in use", place)
	}})
	assert.EqualError(t, err, "exec:true: no connection to 8081: 2: all is in use")
	c.Close()
	assert.Len(t, pids(), 1)
}

// Not parallel, as it changes PATH.
func TestWhereTheCommandIsFound(t *testing.T) {
	dir := t.TempDir()
	c := &Checker{Probes: []Probe{{kind: wire.Exec}}}
	t.Setenv("PATH", dir)
	assert.EqualError(t, c.Check(), "start_server_probe is neither beside start_server nor in PATH: install it, it comes with start_server")
	path := dir + "/start_server_probe"
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	found, err := c.program()
	assert.NoError(t, err)
	assert.Equal(t, []string{path}, found.Args)
	t.Setenv("PATH", ".")
	t.Chdir(dir)
	assert.Error(t, c.Check(), "not where anybody may put one")
}

// Not parallel: no other test opens anything meanwhile.
func TestNothingIsLeftOpen(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc on this system")
	}
	count := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(files)
	}
	roles := []string{"fine", "killed", "dies before", "garbage"}
	before := 0
	for i := range 3 {
		for _, role := range roles {
			c, pids := playing(t, role, "exec:true", "http://web/", "tcp://web")
			c.Accepted = func(int) (bool, error) { return true, nil }
			_ = c.Still(t.Context(), reachable)
			c.Close()
			gone(t, pids())
		}
		if i == 0 {
			before = count() // with what Go itself keeps
		}
	}
	assert.LessOrEqual(t, count(), before)
}
