//go:build linux

package notify

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something that has to come.
const patience = 15 * time.Second

const (
	playVar  = "NOTIFY_TEST_PLAY"  // what this binary is to do instead of the tests
	depthVar = "NOTIFY_TEST_DEPTH" // how many generations of children to put between
)

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(playVar); ok {
		play(text)
	}
	os.Exit(m.Run())
}

// play sends text, itself or by a descendant, prints the pids from the sender
// up, and stays until its stdin ends.
func play(text string) {
	if depth, _ := strconv.Atoi(os.Getenv(depthVar)); depth > 0 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), depthVar+"="+strconv.Itoa(depth-1))
		cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
		said, err := cmd.Output()
		if err != nil {
			os.Exit(1)
		}
		os.Stdout.Write(said)
	} else {
		conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err != nil {
			os.Exit(1)
		}
		conn.Write([]byte(text))
		var stay [1]byte
		os.Stdin.Read(stay[:])
	}
	os.Stdout.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	os.Exit(0)
}

// listen returns a listener and what it receives.
func listen(t *testing.T) (*Listener, <-chan supervise.Notice) {
	t.Helper()
	messages := make(chan supervise.Notice, 100)
	l, err := Listen(false, into(messages))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l, messages
}

// into sends messages to a channel.
func into(messages chan<- supervise.Notice) Handler {
	return func(_ context.Context, m supervise.Notice) error {
		messages <- m
		return nil
	}
}

// receive waits for the next message.
func receive(t *testing.T, messages <-chan supervise.Notice) supervise.Notice {
	t.Helper()
	select {
	case m := <-messages:
		return m
	case <-time.After(patience):
		require.FailNow(t, "no message")
		return supervise.Notice{}
	}
}

// sent makes a descendant send text, and returns what was received and the pids
// from the sender up to our child.
func sent(t *testing.T, text string, depth int) (supervise.Notice, []int) {
	t.Helper()
	l, messages := listen(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), playVar+"="+text, depthVar+"="+strconv.Itoa(depth), "NOTIFY_SOCKET="+l.Addr(), "GORACE=atexit_sleep_ms=0")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { stdin.Close() })
	m := receive(t, messages)
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
	var pids []int
	for _, word := range strings.Fields(said.String()) {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	return m, pids
}

func TestSenderAndItsAncestors(t *testing.T) {
	t.Parallel()
	for depth := range 3 {
		m, pids := sent(t, "READY=1\nSTATUS=serving", depth)
		assert.Len(t, pids, depth+1)
		assert.Equal(t, pids, m.Pids, "up to our own child, at depth %d", depth)
		assert.True(t, m.Ready)
		assert.False(t, m.Stopping)
		assert.Equal(t, "serving", *m.Status)
	}
}

// The ancestors of a stranger do not end at us, but at the first process.
func TestPidsOfAStranger(t *testing.T) {
	t.Parallel()
	pids := Ancestors(os.Getppid())
	require.NotContains(t, pids, os.Getpid())
	if os.Getppid() > 1 {
		require.Equal(t, os.Getppid(), pids[0])
	}
	assert.NotContains(t, pids, 1)
	assert.Equal(t, []int{1 << 30}, Ancestors(1<<30), "one that is gone has none")
	assert.Empty(t, Ancestors(os.Getpid()))
}

func TestNameOfASenderMayBeAnything(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "x) S 1 (\n)")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\nread line\n"), 0o755))
	cmd := exec.Command(script)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	assert.Equal(t, []int{cmd.Process.Pid}, Ancestors(cmd.Process.Pid), "up to us")
	require.NoError(t, stdin.Close())
	_ = cmd.Wait() // its status is that of the read, which failed
}

// dial connects this process to the listener.
func dial(t *testing.T, l *Listener) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unixgram", l.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

// systemd-notify(1) sends one end of a pipe with BARRIER=1, and waits until no
// process has it any more.
func TestPassedDescriptorsAreClosed(t *testing.T) {
	t.Parallel()
	l, messages := listen(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	fds := make([]int, 100)
	for i := range fds {
		fds[i] = int(w.Fd())
	}
	raw, err := dial(t, l).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		require.NoError(t, unix.Sendmsg(int(fd), []byte("BARRIER=1"), unix.UnixRights(fds...), nil, 0))
	}))
	m := receive(t, messages)
	assert.Equal(t, supervise.Notice{}, m, "it says nothing")
	require.NoError(t, w.Close())
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	_, err = r.Read(make([]byte, 1))
	assert.ErrorContains(t, err, "EOF")
}

func TestSystemdNotify(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("systemd-notify")
	if err != nil {
		require.Empty(t, os.Getenv("CI"), "systemd-notify is not installed, and in CI nothing is skipped")
		t.Skip("systemd-notify is not installed")
	}
	l, messages := listen(t)
	cmd := exec.Command(program, "--ready", "--status=loading")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+l.Addr())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	m := receive(t, messages)
	assert.True(t, m.Ready)
	assert.Equal(t, "loading", *m.Status)
}

func TestGarbageIsPassedOver(t *testing.T) {
	t.Parallel()
	l, messages := listen(t)
	conn := dial(t, l)
	for _, text := range []string{
		"\x00", "\n\n\n", "=", "READY", "READY=", "READY=0", "READY=11", " READY=1", "ready=1", "\xff\xfe", "X_READY=1",
		"EXTEND_TIMEOUT_USEC=1", strings.Repeat("A", maxMessage), strings.Repeat("\n", maxMessage) + "READY=1",
		"", // an empty datagram is a message, too
	} {
		_, err := conn.Write([]byte(text))
		require.NoError(t, err)
		assert.Equal(t, supervise.Notice{}, receive(t, messages), "%q", text)
	}
	_, err := conn.Write([]byte("FOO=bar\nREADY=1\nREADY=0\nSTOPPING=1"))
	require.NoError(t, err)
	assert.Equal(t, supervise.Notice{Ready: true, Stopping: true}, receive(t, messages), "it goes on listening")
}

func TestCloseRemovesTheSocket(t *testing.T) {
	t.Parallel()
	l, _ := listen(t)
	info, err := os.Stat(l.Addr())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o666), info.Mode().Perm(), "for workers of another user")
	info, err = os.Stat(filepath.Dir(l.Addr()))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o711), info.Mode().Perm())
	require.NoError(t, l.Close())
	assert.NoDirExists(t, filepath.Dir(l.Addr()))
}

func TestPlacesWhereThereCanBeNoFile(t *testing.T) {
	t.Parallel()
	base := testkit.Dir(t)
	file, long := filepath.Join(base, "file"), filepath.Join(base, strings.Repeat("x", 100))
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.NoError(t, os.Mkdir(long, 0o755))
	bad := []string{"/no/such/dir", file, long, "/proc"} // the last is as good as read-only
	l, err := bindIn(bad, false)
	assert.Nil(t, l)
	assert.Error(t, err)
	left, err := filepath.Glob(long + "/*")
	require.NoError(t, err)
	assert.Empty(t, left)

	l, err = bindIn(append(bad, base), false)
	require.NoError(t, err)
	assert.Equal(t, base, filepath.Dir(filepath.Dir(l.Addr())))
	require.NoError(t, l.Close())

	l, err = bindAbstract()
	require.NoError(t, err)
	assert.Equal(t, "@", l.Addr()[:1])
	require.NoError(t, l.Close())
}

func TestWhatOneThatWasKilledHasLeftIsRemoved(t *testing.T) {
	t.Parallel()
	base := testkit.Dir(t)
	dead, err := bindFile(base)
	require.NoError(t, err)
	alive, err := bindFile(base)
	require.NoError(t, err)
	require.NoError(t, dead.conn.Close())
	young, old := filepath.Join(base, prefix+"young"), filepath.Join(base, prefix+"old")
	for _, dir := range []string{young, old} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	require.NoError(t, os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)))
	require.NoError(t, os.WriteFile(filepath.Join(base, prefix+"file"), nil, 0o644))

	sweep(base)
	left, err := filepath.Glob(base + "/*")
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{alive.dir, young, filepath.Join(base, prefix+"file")}, left)
	require.NoError(t, alive.Close())
	assert.NoDirExists(t, alive.dir)
}

func TestCatchUpReturnsWhenAllIsHandled(t *testing.T) {
	t.Parallel()
	var handled atomic.Int32
	l, err := Listen(false, func(context.Context, supervise.Notice) error {
		runtime.Gosched()
		handled.Add(1)
		return nil
	})
	require.NoError(t, err)
	defer l.Close()
	conn := dial(t, l)
	for n := range int32(100) {
		_, err := conn.Write([]byte("STATUS=busy"))
		require.NoError(t, err)
		l.CatchUp()
		assert.Equal(t, n+1, handled.Load(), "and the mark is no message")
	}
	require.NoError(t, l.Close())
	l.CatchUp() // and nothing happens
}

func TestStatusIsFitToBeLogged(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                     "",
		"loading 3/7":          "loading 3/7",
		"größer":               "größer",
		"a=b":                  "a=b",
		"tab\there":            "tab?here",
		"cr\rstarting new":     "cr?starting new",
		"\x1b[31mred\x07":      "?[31mred?",
		"nul\x00":              "nul?",
		"\u202eright to left":  "?right to left",
		"\u2028line separator": "?line separator",
		"in\xffvalid":          "in?valid",
	} {
		assert.Equal(t, want, *parse("STATUS=" + value).Status, "%q", value)
	}
	assert.Equal(t, "last", *parse("STATUS=first\nSTATUS=last\n").Status)
}

func TestLongStatusIsCut(t *testing.T) {
	t.Parallel()
	assert.Equal(t, strings.Repeat("x", maxStatus), *parse("STATUS=" + strings.Repeat("x", maxMessage)).Status)
	got := *parse("STATUS=" + strings.Repeat("x", maxStatus-1) + "ü and more").Status
	assert.Equal(t, strings.Repeat("x", maxStatus-1)+"?", got, "in the middle of a letter")
}

func FuzzParse(f *testing.F) {
	f.Add("READY=1")
	f.Add("STATUS=a\nREADY=1\nSTOPPING=1\n")
	f.Add("STATUS=\x1b\xff\u2028" + strings.Repeat("ü", 200))
	f.Add("=\n==\nSTATUS\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := parse(text)
		if m.Ready != strings.Contains("\n"+text+"\n", "\nREADY=1\n") {
			t.Errorf("ready: %v", m.Ready)
		}
		if m.Status == nil {
			return
		}
		if !utf8.ValidString(*m.Status) || utf8.RuneCountInString(*m.Status) > maxStatus {
			t.Errorf("status %q", *m.Status)
		}
		for _, r := range *m.Status {
			if !unicode.IsPrint(r) {
				t.Errorf("status %q holds %q", *m.Status, r)
			}
		}
	})
}
