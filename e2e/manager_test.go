//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// serviceManager is what systemd is to a service: a socket for its notices.
type serviceManager struct {
	t    *testing.T
	addr string // for NOTIFY_SOCKET

	mu    sync.Mutex
	heard []string // messages
	store []stored // its descriptor store
}

// startManager makes one that listens at addr, which may be @abstract.
func startManager(t *testing.T, addr string) *serviceManager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	require.NoError(t, err)
	m := &serviceManager{t: t, addr: addr}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer, oob := make([]byte, 4096), make([]byte, 4096)
		for {
			n, rights, _, _, err := conn.ReadMsgUnix(buffer, oob)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.keeps(string(buffer[:n]), oob[:rights])
			m.heard = append(m.heard, string(buffer[:n]))
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-ended
	})
	return m
}

// env is the environment of a service, with more.
func (m *serviceManager) env(more ...string) []string {
	return append(more, "NOTIFY_SOCKET="+m.addr)
}

func (m *serviceManager) messages() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string(nil), m.heard...)
}

func (m *serviceManager) String() string { return strings.Join(m.messages(), "\n") + "\n" }

var passing = regexp.MustCompile(`(?m)^(EXTEND_TIMEOUT_USEC|STATUS|WATCHDOG)=.*\n?`)

// states are the messages that tell of a new state, without what else they say.
func (m *serviceManager) states() (states []string) {
	for _, text := range m.messages() {
		assert.True(m.t, utf8.ValidString(text), "%q", text)
		if text = strings.TrimSpace(passing.ReplaceAllString(text, "")); text != "" {
			text = strings.ReplaceAll(text, "\n", " ")
			states = append(states, regexp.MustCompile(`USEC=\d+`).ReplaceAllString(text, "USEC"))
		}
	}
	return states
}

const (
	isReady     = "READY=1"
	isReloading = "RELOADING=1 MONOTONIC_USEC"
	isReloaded  = isReloading + " " + isReady // also for a reload that was asked for meanwhile
	isStopping  = "STOPPING=1"
)

// hears waits for as many states as want has, and checks that they are exactly these.
func (m *serviceManager) hears(want ...string) {
	m.t.Helper()
	eventually(m.t, func() bool { return len(m.states()) >= len(want) }, func() string { return fmt.Sprintf("not %q, but: %s", want, m) })
	assert.Equal(m.t, want, m.states(), m.String())
}

// says waits for a message that matches.
func (m *serviceManager) says(pattern string) {
	m.t.Helper()
	seesIn(m.t, m.String, 1, pattern)
}

// watchdogs is how many watchdog notices have come.
func (m *serviceManager) watchdogs() (n int) {
	for _, text := range m.messages() {
		if text == "WATCHDOG=1" {
			n++
		}
	}
	return n
}

// goesOn waits for n more watchdog notices.
func (m *serviceManager) goesOn(n int) {
	m.t.Helper()
	before := m.watchdogs()
	eventually(m.t, func() bool { return m.watchdogs() >= before+n }, func() string { return "no watchdog notices in:\n" + m.String() })
}

// monotonic is CLOCK_MONOTONIC in microseconds.
func monotonic(t *testing.T) int64 {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return now.Nano() / 1000
}

func TestServiceManagerHearsOfALife(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{filepath.Join(tempDir(t), "notify"), fmt.Sprintf("@start_server-test/%d/%d", os.Getpid(), monotonic(t))} {
		m := startManager(t, addr)
		d := startWorkersIn(t, tempDir(t), m.env(), ours, "--interval=1", "--attempts=1", "--kill-timeout=60")
		d.worker(1)
		assert.Empty(t, m.states(), "it is bound, but not live")
		m.hears(isReady)
		m.says(`^READY=1\nSTATUS=generation 1: 1 worker serves$`)

		began := monotonic(t)
		d.signal(syscall.SIGHUP)
		m.hears(isReady, isReloading, isReady)
		stamp, err := strconv.ParseInt(seesIn(t, m.String, 1, `^RELOADING=1\nMONOTONIC_USEC=(\d+)$`)[0], 10, 64)
		require.NoError(t, err)
		assert.Greater(t, stamp, began, "a reload of before the HUP does not count")
		assert.Less(t, stamp, monotonic(t))
		m.says(`^STATUS=generation 2: 1 worker serves$`)

		d.write("broken", "")
		d.signal(syscall.SIGHUP)
		m.hears(isReady, isReloading, isReady, isReloading, isReady)
		m.says(`^READY=1\nSTATUS=restart failed: new worker \d+ of generation 3 failed after \S+: exit code 3; generation 2 serves on$`)
		require.NoError(t, os.Remove(filepath.Join(d.dir, "broken")))

		d.signal(syscall.SIGHUP)
		d.sees(3, `^received HUP, spawning a new worker$`)
		d.worker(4)
		d.signal(syscall.SIGHUP)
		d.sees(1, `^received HUP, spawning a new worker as soon as`)
		m.hears(isReady, isReloading, isReady, isReloading, isReady, isReloading, isReloaded)
		d.env(5)
		m.says(`^READY=1\nSTATUS=generation 5: 1 worker serves`)

		d.stop()
		m.hears(isReady, isReloading, isReady, isReloading, isReady, isReloading, isReloaded, isStopping)
		m.says(`^STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\nSTATUS=stopping: \d workers? draining$`)
		m.says(`^STATUS=stopped$`)
		heard := m.messages()
		assert.Equal(t, "STATUS=stopped", heard[len(heard)-1], "nothing comes after it")
		assert.NotContains(t, m.String(), "WATCHDOG", "nobody has asked for it")
		assert.NotContains(t, m.String(), "MAINPID")
	}
}

// A restart by a control client is a reload, too. The stop begins at TERM, even
// though all workers still serve then.
func TestServiceManagerHearsOfTheControlClientAndTheStopDelay(t *testing.T) {
	t.Parallel()
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	d := startWorkersIn(t, tempDir(t), m.env(), ours, "--interval=0.2", "--stop-delay=1", "--kill-timeout=1", "--control=ctl")
	d.write("stubborn", "")
	m.hears(isReady)
	code, printed := d.ask("--restart")
	assert.Zero(t, code, printed)
	m.hears(isReady, isReloading, isReady)
	d.signal(syscall.SIGTERM)
	m.says(`^STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+\nSTATUS=serving on for 1 secs before stopping; generation 2: 1 worker serves`)
	d.signal(syscall.SIGHUP)
	m.says(`^EXTEND_TIMEOUT_USEC=\d+\nSTATUS=stopping: \d workers? draining$`)
	assert.Zero(t, d.exit())
	m.hears(isReady, isReloading, isReady, isStopping)
	m.says(`^STATUS=stopped$`)
}

func TestServiceManagerHearsOfAStartThatFails(t *testing.T) {
	t.Parallel()
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	d := startIn(t, tempDir(t), m.env(), ours, "--interval=1", "--attempts=2", "--", "/bin/sh", "-c", "exit 3")
	assert.Equal(t, 1, d.exit())
	m.hears(isStopping)
	m.says(`^STOPPING=1\nSTATUS=failed: new worker \d+ of generation 2 failed after \S+: exit code 3$`)

	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	m = startManager(t, filepath.Join(tempDir(t), "notify"))
	d = startIn(t, tempDir(t), m.env(), ours, "--port="+ln.Addr().String(), "--", "/bin/sleep", "1000")
	assert.Equal(t, 1, d.exit())
	m.hears(isStopping)
	m.says(`^STATUS=failed: .*address already in use;`)
}

func TestWatchdogOfTheServiceManager(t *testing.T) {
	t.Parallel()
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	d := startWorkersIn(t, tempDir(t), m.env("WATCHDOG_USEC=200000"), ours, "--interval=2", "--kill-timeout=2")
	d.write("stubborn", "")
	m.goesOn(2)
	assert.Empty(t, m.states(), "before the first generation is live")
	m.hears(isReady)
	m.goesOn(2)

	pid := d.cmd.Process.Pid
	d.signal(syscall.SIGSTOP)
	eventually(t, func() bool { return state(pid) == "T" }, func() string { return "it does not stop" })
	stopped := m.watchdogs() + 1 // one may not have been read yet
	assert.Never(t, func() bool { return m.watchdogs() > stopped }, time.Second, poll)
	d.signal(syscall.SIGCONT)
	m.goesOn(2)

	d.signal(syscall.SIGHUP)
	m.hears(isReady, isReloading, isReady)
	d.signal(syscall.SIGTERM)
	m.hears(isReady, isReloading, isReady, isStopping)
	m.goesOn(5)
	assert.Zero(t, d.exit())
	m.says(`^STATUS=stopped$`)
}

func TestWatchdogOfAnotherProcessIsNone(t *testing.T) {
	t.Parallel()
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	d := startWorkersIn(t, tempDir(t), m.env("WATCHDOG_USEC=1000", "WATCHDOG_PID=1"), ours, "--interval=0.2")
	m.hears(isReady)
	d.stop()
	assert.Zero(t, m.watchdogs())
}

func TestServiceManagerThatIsGone(t *testing.T) {
	t.Parallel()
	d := startWorkersIn(t, tempDir(t), []string{"NOTIFY_SOCKET=/no/such/socket"}, ours, "--interval=0.2")
	d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^old worker \d+ died`)
	d.stop()
	assert.Len(t, d.sees(1, `^the service manager is not told, .*no such`), 1)
}

// A manager whose queue is full must not keep start_server from its work, and must
// not hold up its end for long.
func TestServiceManagerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(tempDir(t), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	full, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(full)
	for err == nil {
		err = unix.Sendto(full, []byte("X=1"), 0, &unix.SockaddrUnix{Name: path})
	}
	require.ErrorIs(t, err, unix.EAGAIN)
	d := startWorkersIn(t, tempDir(t), []string{"NOTIFY_SOCKET=" + path}, ours, "--interval=0.2")
	d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^old worker \d+ died`)
	d.stop()
}

func TestWorkersAreNotToldOfTheServiceManager(t *testing.T) {
	t.Parallel()
	names := []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
	m := startManager(t, filepath.Join(tempDir(t), "notify"))
	all := m.env("WATCHDOG_USEC=60000000", "WATCHDOG_PID=1", "JOURNAL_STREAM=8:1", "LISTENER=x")
	d := startWorkersIn(t, tempDir(t), all, ours, "--interval=0.2")
	env := d.env(1)
	for _, name := range names {
		assert.NotContains(t, env, name)
	}
	assert.Equal(t, "8:1", env["JOURNAL_STREAM"], "stderr is the same")
	assert.Equal(t, "x", env["LISTENER"])
	d.stop()

	d = startWorkersIn(t, tempDir(t), all, ours, "--interval=0.2", "--log-file=log", "--ready=notify")
	env = d.env(1)
	assert.NotContains(t, env, "JOURNAL_STREAM", "stderr is the log file")
	assert.NotContains(t, []string{"", m.addr}, env["NOTIFY_SOCKET"], "that is ours")
	assert.NotContains(t, env, "WATCHDOG_USEC")
	d.stop()
}

func TestLogToSyslog(t *testing.T) {
	t.Parallel()
	for spec, tag := range map[string]string{"syslog:": "start_server", "syslog:my-app": "my-app", "syslog:$(x);'": "$(x);'"} {
		dir := tempDir(t)
		logger := "#!/bin/sh\nenv >" + dir + "/loggers-env\necho \"$# $*\" >>" + dir + "/args\necho $$ >>" + dir + "/pids\nexec cat >>" + dir + "/log\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "logger"), []byte(logger), 0o755))
		env := []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "JOURNAL_STREAM=8:1", "NOTIFY_SOCKET=/no/such/socket"}
		d := startWorkersIn(t, dir, env, ours, "--interval=0.2", "--log-file="+spec)
		read := func() string { return d.file("log") }
		seesIn(t, read, 1, `^worker \d+ is up$`)
		assert.NotContains(t, d.env(1), "JOURNAL_STREAM")
		pid, err := strconv.Atoi(seesIn(t, func() string { return d.file("pids") }, 1, `^\d+$`)[0])
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		seesIn(t, read, 1, `^log command \d+ died unexpectedly with status:9, restarting$`)
		d.stop()
		assert.True(t, strings.HasSuffix(read(), "\nexiting\n"), read())
		assert.Equal(t, strings.Repeat("2 -t "+tag+"\n", 2), d.file("args"))
		assert.NotContains(t, d.file("loggers-env"), "NOTIFY_SOCKET")
	}
}

func TestLogToSyslogThatCannotBe(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{ // the first is known before anything is done
		"syslog:a b": `log file "syslog:a b": the tag after syslog: must have no blanks and no unprintable characters`,
		"syslog:app": `log file "syslog:app" needs logger(1): program "logger": not found in PATH=/no/such/directory`,
	} {
		d := startIn(t, tempDir(t), []string{"PATH=/no/such/directory"}, ours, "--log-file="+spec, "--", "/bin/sleep", "1000")
		assert.Equal(t, map[string]int{"syslog:a b": 2, "syslog:app": 1}[spec], d.exit())
		assert.Contains(t, d.out.String(), "start_server: "+want+"\n")
	}
}
