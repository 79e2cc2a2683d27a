//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/lestrrat/go-server-starter/internal/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// window is a terminal in which a watch runs.
type window struct {
	*daemon
	keys *os.File
}

// watched starts --status --watch in a terminal of 80 columns and 24 rows.
func watched(t *testing.T, dir string, env ...string) *window {
	t.Helper()
	d, keys := terminalWith(t, dir, withoutColours(env...), ours, "--status", "--watch", "--control=ctl")
	w := &window{d, keys}
	w.resize(80, 24)
	return w
}

// withoutColours is the environment without variables that turn colours on or off, and with env.
func withoutColours(env ...string) []string {
	all := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "NO_COLOR=") || strings.HasPrefix(variable, "TERM=")
	})
	return append(append(all, "TERM=xterm"), env...)
}

func (w *window) resize(columns, rows uint16) {
	w.t.Helper()
	require.NoError(w.t, unix.IoctlSetWinsize(int(w.keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
}

var colours = regexp.MustCompile("\x1b\\[[0-9]+m")

// pictures are the pictures that were drawn whole, each as its lines.
func (w *window) pictures() (all [][]string) {
	w.t.Helper()
	_, raw, _ := strings.Cut(w.out.String(), "\x1b[H")
	for picture := range strings.SplitSeq(raw, "\x1b[H") {
		picture, rest, whole := strings.Cut(picture, "\x1b[J")
		if !whole {
			break
		}
		var lines []string
		for line := range strings.SplitAfterSeq(colours.ReplaceAllString(picture, ""), "\n") {
			if line == "" {
				continue
			}
			line, ended := strings.CutSuffix(line, "\x1b[K\r\r\n")
			require.True(w.t, ended, "each line is cleared to its end: %q", line)
			require.NotContains(w.t, line, "\x1b")
			lines = append(lines, line)
		}
		all = append(all, lines)
		if rest != "" {
			break // the watch has ended
		}
	}
	return all
}

// shows waits for a picture, after the first n, that matches the pattern, and returns it and
// how many there were by then.
func (w *window) shows(n int, pattern string) (picture string, count int) {
	w.t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var last string
	eventually(w.t, func() bool {
		for i, lines := range w.pictures() {
			if picture, count = strings.Join(lines, "\n")+"\n", i+1; count > n {
				if last = picture; re.MatchString(picture) {
					return true
				}
			}
		}
		return false
	}, func() string { return fmt.Sprintf("%q is not shown; the last picture is:\n%s", pattern, last) })
	return picture, count
}

// unanswered is in the first line of a picture if the superdaemon does not answer.
const unanswered = "no answer from"

// fits waits for two more pictures, because the first may have been begun before. It checks that
// the second is at most as large as the window. A picture of a superdaemon that has not answered
// for seconds, on a busy machine, does not count.
func (w *window) fits(columns, rows int) (lines []string) {
	w.t.Helper()
	n := len(w.pictures())
	eventually(w.t, func() bool {
		all := w.pictures()
		for _, lines = range all[min(n+1, len(all)):] {
			if !strings.Contains(lines[0], unanswered) {
				return true
			}
		}
		return false
	}, w.out.String)
	assert.Less(w.t, len(lines), rows, "one row is left for the cursor")
	for _, line := range lines {
		assert.LessOrEqual(w.t, text.Width(line), columns, line)
	}
	return lines
}

// pressesCtrlC interrupts it by Ctrl-C, and checks that the terminal is as it was.
func (w *window) pressesCtrlC() {
	w.t.Helper()
	_, err := w.keys.WriteString("\x03")
	require.NoError(w.t, err)
	assert.Zero(w.t, w.exit())
	eventually(w.t, func() bool { return strings.HasSuffix(w.out.String(), "\x1b[J^C\r\x1b[J") }, w.out.String)
	for _, mode := range []string{"\x1b[?25l", "\x1b[?1049h", "\x1b[?"} { // no cursor hidden, no other screen
		assert.NotContains(w.t, w.out.String(), mode)
	}
}

func TestARestartIsWatched(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--control=ctl", "--workers=2", "--interval=2", "--port=127.0.0.1:0")
	eventually(t, func() bool { return strings.Contains(d.out.String(), "is up") && d.status().State == "serving" }, d.out.String)
	w := watched(t, d.dir)
	_, n := w.shows(0, `^start_server \(pid:`+strconv.Itoa(d.cmd.Process.Pid)+`\) is serving, up \S+, 0 restarts, \d+\.\d MB, CPU \d+\.\d %$`)
	picture, n := w.shows(n, `2 workers: 2 live\n\nGEN  STATE  SLOT  PID .*\n(1 +live +\d +\d+ +\S+ +\d+\.\d [KM]B +\d+\.\d %\n){2}\n`)
	assert.Regexp(t, `\nFD  NETWORK  WAITING  SOCKET .*\n3   tcp      0        127\.0\.0\.1:\d+\n$`, picture)
	assert.Contains(t, w.out.String(), "\x1b[32mlive\x1b[0m")
	d.signal(syscall.SIGHUP)
	_, n = w.shows(n, `^2 +proving +\d+ `)
	assert.Contains(t, w.out.String(), "\x1b[33mproving\x1b[0m")
	w.shows(n, `is serving, .* 1 restart, (.*\n)+GEN .*\n(2 +live .*\n){2}\n`)
	w.pressesCtrlC()
	d.stop()
}

// The window changes its size, and the next picture fits it.
func TestAWatchFitsItsWindow(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d := startIn(t, dir, nil, ours, "--workers=60", "--interval=0.2", "--control=ctl", "--port=127.0.0.1:0", "--", "sleep", "1000")
	d.sees(60, `^starting new worker`)
	eventually(t, func() bool { return d.status().State == "serving" }, d.out.String)
	w := watched(t, dir)
	w.shows(0, `60 workers`)
	for _, to := range [][2]int{{80, 24}, {200, 50}, {80, 24}, {40, 10}, {200, 80}, {20, 3}} {
		w.resize(uint16(to[0]), uint16(to[1]))
		lines := strings.Join(w.fits(to[0], to[1]), "\n")
		if to[1] == 80 {
			assert.Equal(t, 60, strings.Count(lines, "live   "), "all of them")
		} else if to[1] > 3 {
			assert.Regexp(t, `(?m)^and another \d+ workers: \d+ live$`, lines)
			assert.Len(t, strings.Split(lines, "\n"), to[1]-1)
		}
	}
	// The picture is drawn at once. It waits for no answer, unless one is late already.
	eventually(t, func() bool {
		w.resize(80, 24)
		_, n := w.shows(len(w.pictures()), `60 workers`)
		require.NoError(t, d.cmd.Process.Signal(syscall.SIGSTOP))
		w.resize(100, 30)
		picture, _ := w.shows(n, unanswered+`|^and another`)
		require.NoError(t, d.cmd.Process.Signal(syscall.SIGCONT))
		return strings.Count(picture, "\n") == 29
	}, w.out.String)
	w.pressesCtrlC()
	d.stop()
}

// A watch may begin before start_server, and goes on without it.
func TestAWatchFindsStartServerAgain(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	w := watched(t, dir)
	_, n := w.shows(0, `^\S+  no answer from start_server since \d\d:\d\d:\d\d, for \d+s\ncontrol socket "ctl": no start_server listens there\nit is asked again each second\n$`)
	again := func() *daemon {
		t.Helper()
		return startWorkersIn(t, dir, nil, ours, "--control=ctl", "--interval=0.2", "--die-with-parent", "--log-file=log")
	}
	d := again()
	who := func() string { return fmt.Sprintf(`start_server \(pid:%d\)`, d.cmd.Process.Pid) }
	_, n = w.shows(n, `^`+who()+` is serving`)

	require.NoError(t, d.cmd.Process.Signal(syscall.SIGSTOP))
	_, n = w.shows(n, `^\S+  no answer from `+who()+` since \S+, for [2-9]s\nit was asked, and has not answered yet$`)
	assert.Contains(t, w.out.String(), "\x1b[31m")
	require.NoError(t, d.cmd.Process.Signal(syscall.SIGCONT))
	_, n = w.shows(n, `^`+who()+` is serving`)

	d.upgraded("--keep-workers")
	_, n = w.shows(n, `^It has been version .*, after 1 upgrade\.$`)
	assert.NotContains(t, strings.Join(slices.Concat(w.pictures()[n-2:]...), "\n"), "no answer", "it goes on without a gap")

	d.isKilled()
	_, n = w.shows(n, `^\S+  no answer from `+who()+` since \S+, for \d+s\ncontrol socket "ctl": no start_server listens there\n`)
	d = again()
	_, n = w.shows(n, `^`+who()+` is serving`)
	d.stop()
	w.shows(n, `no answer from `+who())
	w.signal(syscall.SIGTERM)
	assert.Zero(t, w.exit())
}

func TestAWatchWithoutColours(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	for _, env := range []string{"NO_COLOR=1", "NO_COLOR="} {
		w := watched(t, d.dir, env)
		w.shows(1, `^1 +live `)
		assert.Equal(t, env == "NO_COLOR=", colours.MatchString(w.out.String()), env)
		w.signal(syscall.SIGHUP)
		assert.Zero(t, w.exit())
	}
	dumb := watched(t, d.dir, "TERM=dumb")
	dumb.sees(2, `^1 +live `)
	assert.NotContains(t, dumb.out.String(), "\x1b", "nothing can be drawn on it")
	d.stop()
}

// following starts a client that goes on, and keeps its stdout and stderr apart.
func following(t *testing.T, dir string, args ...string) (c *exec.Cmd, stdout, stderr *testkit.Output) {
	t.Helper()
	stdout, stderr = &testkit.Output{}, &testkit.Output{}
	c = exec.CommandContext(t.Context(), ours, append([]string{"--control=ctl"}, args...)...)
	c.Dir, c.Stdout, c.Stderr = dir, stdout, stderr
	require.NoError(t, c.Start())
	return c, stdout, stderr
}

// ends waits for the end of a client that was told to go, or whose superdaemon has ended.
func ends(t *testing.T, c *exec.Cmd) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		assert.NoError(t, err, "exit code 0: %s", c.Args)
	case <-time.After(deadline):
		assert.Fail(t, "it has not ended", "%s", c.Args)
		c.Process.Kill()
		<-ended
	}
}

// In a pipe there is nothing to draw on.
func TestAWatchInAPipe(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	c, stdout, stderr := following(t, d.dir, "--status", "--watch")
	seesIn(t, stdout.String, 3, `^start_server \(pid:\d+\) is serving`)
	j, lines, notes := following(t, d.dir, "--status", "--watch", "--json")
	seesIn(t, lines.String, 2, `^\{`)
	d.stop()
	seesIn(t, stdout.String, 1, `^\S+  no answer from start_server`)
	seesIn(t, notes.String, 1, `^\S+  no answer from start_server`)
	for _, c := range []*exec.Cmd{c, j} {
		require.NoError(t, c.Process.Signal(syscall.SIGINT))
		ends(t, c)
	}
	assert.NotContains(t, stdout.String(), "\x1b")
	for picture := range strings.SplitSeq(strings.TrimSuffix(stdout.String(), "\n"), "\n\nstart_server") {
		assert.Contains(t, picture, "no socket is bound")
	}
	assert.Equal(t, 1, strings.Count(stdout.String(), "no answer"), "it is told once")
	assert.Empty(t, stderr.String())
	for line := range strings.Lines(lines.String()) {
		var status struct{ Pid int }
		require.NoError(t, json.Unmarshal([]byte(line), &status), line)
		assert.Equal(t, d.cmd.Process.Pid, status.Pid)
	}
}

func TestEventsAreFollowed(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	c, stdout, stderr := following(t, d.dir, "--events")
	j, lines, notes := following(t, d.dir, "--events", "--json")
	// When both have printed an event both have subscribed.
	eventually(t, func() bool {
		d.talk(`{"command":"signal","signal":"URG"}`)
		return stdout.String() != "" && lines.String() != ""
	}, func() string { return "nothing is followed; " + stderr.String() + notes.String() })
	code, printed := d.ask("--restart", "--drained")
	require.Zero(t, code, printed)
	d.upgraded()
	eventually(t, func() bool { return strings.Contains(stdout.String(), " missed: ") }, func() string {
		return "it does not go on:\n" + stdout.String() + stderr.String()
	})
	code, printed = d.ask("--restart", "--drained")
	require.Zero(t, code, printed)
	code, printed = d.ask("--stop")
	require.Zero(t, code, printed)
	ends(t, c)
	ends(t, j)
	ended := fmt.Sprintf("start_server (pid:%d) has ended\n", d.cmd.Process.Pid)
	assert.Equal(t, ended, stderr.String())
	assert.Equal(t, ended, notes.String())

	for line := range strings.Lines(stdout.String()) {
		at, rest, _ := strings.Cut(line, " ")
		moment, err := time.Parse("2006-01-02T15:04:05.000Z07:00", at)
		require.NoError(t, err, line)
		assert.WithinDuration(t, time.Now(), moment, deadline)
		assert.Greater(t, len(rest), 5, line)
	}
	assert.Regexp(t, fmt.Sprintf(`(?m)^(.*\n)*\S+ restart asked for by process \d+, spawning a new worker
\S+ starting new worker %d
(.*\n)*\S+ new worker is now running, sending TERM to old workers:%d
(.*\n)*\S+ another image goes on
\S+ missed: some events may be missing here; start_server \(pid:%d\) is \w+ now, generation \d, [12] workers?: .*
(.*\n)*\S+ restart asked for by process \d+, spawning a new worker
(.*\n)*\S+ stop asked for by process \d+, sending TERM to all workers:\d+
\S+ worker \d+ died, status:0
$`, d.worker(2), d.worker(1), d.cmd.Process.Pid), stdout.String())

	var names []string
	for line := range strings.Lines(lines.String()) {
		var event struct {
			Version int
			Event   string
			Time    float64
		}
		require.NoError(t, json.Unmarshal([]byte(line), &event), line)
		assert.Equal(t, 1, event.Version)
		assert.Positive(t, event.Time)
		names = append(names, event.Event)
	}
	for _, name := range []string{"signalled", "restart-asked", "started", "proven", "live", "retiring", "exited", "handed-over", "missed", "stopping"} {
		assert.Contains(t, names, name)
	}
	assert.Zero(t, d.exit())
}

// A client that follows ends at once when it is told to, without another event.
func TestWhatIsFollowedEnds(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		c, stdout, stderr := following(t, d.dir, "--events")
		eventually(t, func() bool { d.talk(`{"command":"signal","signal":"URG"}`); return stdout.String() != "" }, stderr.String)
		require.NoError(t, c.Process.Signal(sig))
		ends(t, c)
		assert.Empty(t, stderr.String())
	}

	// A client whose reader has gone, like head(1), ends even if nothing happens.
	for _, args := range []string{"--events", "--status --watch", "--status --watch --json"} {
		c := exec.CommandContext(t.Context(), ours, append(strings.Fields(args), "--control=ctl")...)
		c.Dir, c.Stderr = d.dir, &testkit.Output{}
		stdout, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		read := make(chan error, 1)
		go func() {
			_, err := bufio.NewReader(stdout).ReadString('\n')
			read <- err
		}()
		eventually(t, func() bool { d.talk(`{"command":"signal","signal":"URG"}`); return len(read) > 0 }, func() string { return args + " prints nothing" })
		require.NoError(t, <-read)
		require.NoError(t, stdout.Close())
		ends(t, c)
		assert.Empty(t, c.Stderr.(*testkit.Output).String(), args)
	}

	// A client whose reader reads nothing ends when it is told to.
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	fill(t, w)
	c := exec.CommandContext(t.Context(), ours, "--status", "--watch", "--control=ctl")
	c.Dir, c.Stdout = d.dir, w
	require.NoError(t, c.Start())
	w.Close()
	eventually(t, func() bool { return writes(c.Process.Pid) }, func() string { return "it does not write" })
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	ends(t, c)
	d.stop()
}

// writes tells whether a thread of a process is in the middle of a write to its stdout.
func writes(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	return slices.ContainsFunc(files, func(file string) bool {
		call, _ := os.ReadFile(file)
		return strings.HasPrefix(string(call), fmt.Sprintf("%d 0x1 ", unix.SYS_WRITE))
	})
}

// fill fills a pipe, and leaves it blocking.
func fill(t *testing.T, w *os.File) {
	t.Helper()
	size, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, size))
	require.NoError(t, err)
}

// Signals that are ignored at its start, as in a script's background or under nohup(1), stay
// ignored.
func TestWhatIsFollowedLeavesIgnoredSignals(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `trap '' HUP INT; exec "$0" --events --control=ctl`, ours)
	stdout := &testkit.Output{}
	c.Dir, c.Stdout = d.dir, stdout
	require.NoError(t, c.Start())
	heard := func(n int) {
		t.Helper()
		eventually(t, func() bool {
			d.talk(`{"command":"signal","signal":"URG"}`)
			return strings.Count(stdout.String(), "\n") > n
		}, stdout.String)
	}
	heard(0)
	require.NoError(t, c.Process.Signal(syscall.SIGHUP))
	require.NoError(t, c.Process.Signal(syscall.SIGINT))
	heard(strings.Count(stdout.String(), "\n") + 3)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	ends(t, c)
	d.stop()
}

func TestEventsOfNobody(t *testing.T) {
	t.Parallel()
	code, printed := command(t, tempDir(t), ours, "--events", "--control=ctl")
	assert.Equal(t, 1, code)
	assert.Equal(t, "start_server: control socket \"ctl\": no start_server listens there\n", printed)
}

// A full disk is reported.
func TestWhatIsFollowedCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2")
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	var stderr testkit.Output
	c := exec.CommandContext(t.Context(), ours, "--status", "--watch", "--control=ctl")
	c.Dir, c.Stdout, c.Stderr = d.dir, full, &stderr
	assert.Error(t, c.Run())
	assert.Equal(t, 1, c.ProcessState.ExitCode())
	assert.Equal(t, "start_server: write /dev/stdout: no space left on device\n", stderr.String())
	d.stop()
}
