//go:build unix

package output

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for something that has to come.
const patience = 8 * time.Second

// child is a Process.
type child int

// start is a Runner.
func start(args []string, files []int) (Process, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, err
	}
	table := make([]uintptr, len(files))
	for i, fd := range files {
		table[i] = uintptr(fd)
	}
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{Env: os.Environ(), Files: table})
	return child(pid), err
}

func (c child) Pid() int { return int(c) }

func (c child) Wait() int {
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(int(c), &status, 0, nil); err != syscall.EINTR {
			return int(status)
		}
	}
}

// end is how a run of the command ended.
type end struct {
	pid, status int
	err         error
}

// ends collects the ends of the command that the sink reports.
type ends struct {
	mu   sync.Mutex
	list []end
}

func (e *ends) add(pid, status int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, end{pid, status, err})
}

func (e *ends) all() []end {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]end(nil), e.list...)
}

// testSink is a sink that is closed when the test ends, if it was not before.
type testSink struct {
	*sink
	closed bool
}

func (s *testSink) close() error {
	s.closed = true
	return s.sink.close()
}

// open opens a log in whose name %s stands for the test's directory.
func open(t *testing.T, spec string) (s *testSink, dir string, told *ends) {
	t.Helper()
	dir, told = t.TempDir(), &ends{}
	opened, err := openSink(strings.ReplaceAll(spec, "%s", dir), "a test", start, told.add)
	require.NoError(t, err)
	s = &testSink{sink: opened}
	t.Cleanup(func() {
		if !s.closed {
			s.close()
		}
	})
	return s, dir, told
}

func text(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

// write writes lines to the log and returns them.
func write(t *testing.T, f *os.File, from, to int) (all string) {
	t.Helper()
	for i := from; i <= to; i++ {
		line := fmt.Sprintf("line %d\n", i)
		_, err := f.WriteString(line)
		require.NoError(t, err)
		all += line
	}
	return all
}

func TestFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o644))
	s, err := openSink(path, "a test", start, nil)
	require.NoError(t, err)
	write(t, s.file, 1, 1)
	// Somebody else's line in between is not overwritten.
	other, err := openSink(path, "a test", start, nil)
	require.NoError(t, err)
	write(t, other.file, 2, 2)
	write(t, s.file, 3, 3)
	require.NoError(t, other.close())
	require.NoError(t, s.close())
	assert.Equal(t, "before\nline 1\nline 2\nline 3\n", text(path))
}

func TestFileIsMade(t *testing.T) {
	t.Parallel()
	s, dir, _ := open(t, "%s/log")
	require.NoError(t, s.close())
	assert.FileExists(t, filepath.Join(dir, "log"))
}

func TestWhatCannotBeOpenedSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for spec, want := range map[string]string{
		dir + "/none/log":        "log file: open " + dir + "/none/log: no such file or directory",
		dir:                      "log file: open " + dir + ": is a directory",
		"|":                      `log file "|": the command is missing`,
		" | ":                    `log file " | ": the command is missing`,
		"|" + dir + "/nosuch -x": `log command "` + dir + `/nosuch -x": `,
		"| nosuch-log-command":   `log command "nosuch-log-command": `,
	} {
		_, err := openSink(spec, "a test", start, func(int, int, error) { t.Error("nothing has run") })
		assert.ErrorContains(t, err, want, spec)
	}
}

func TestPlainCommandNeedsNoShell(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"cronolog", "-x", "/var/log/app"}, argv("  cronolog -x\t/var/log/app "))
	for _, line := range []string{"cat >log", "a | b", "a 'b c'", "A=b c", "a $HOME", "a ~/log", "cronolog /log/%Y", "a; b", "a *"} {
		assert.Equal(t, []string{"/bin/sh", "-c", line}, argv(line))
	}
}

func TestCommandGetsTheLinesAndCloseWaitsForIt(t *testing.T) {
	t.Parallel()
	// The command's output is there only when the command has ended.
	s, dir, told := open(t, "| cat >%s/t; sleep 0.2; mv %s/t %s/out")
	want := write(t, s.file, 1, 200)
	require.NoError(t, s.close())
	assert.Equal(t, want, text(filepath.Join(dir, "out")))
	assert.Empty(t, told.all(), "an end that was asked for is no news")
}

// Users of the original write "| exec command", so that no shell stays in
// between. Only a shell knows exec.
func TestCommandMayBeginWithExec(t *testing.T) {
	t.Parallel()
	s, dir, _ := open(t, "| exec cp /dev/stdin %s/out")
	want := write(t, s.file, 1, 3)
	require.NoError(t, s.close())
	assert.Equal(t, want, text(filepath.Join(dir, "out")))
}

func TestPlainCommandGetsTheLines(t *testing.T) {
	t.Parallel()
	s, dir, _ := open(t, "| cp /dev/stdin %s/out")
	want := write(t, s.file, 1, 3)
	require.NoError(t, s.close())
	assert.Equal(t, want, text(filepath.Join(dir, "out")))
}

func TestKilledCommandIsStartedAgainAndNoLineIsLost(t *testing.T) {
	t.Parallel()
	// The first run reads nothing, so all that was written is still to be read
	// when it is killed.
	s, dir, told := open(t, "| if mkdir %s/first 2>/dev/null; then echo $$ >%s/pid; exec sleep 1000; fi; exec cat >>%s/out")
	var pid int
	eventually(t, func() bool {
		pid, _ = strconv.Atoi(strings.TrimSpace(text(filepath.Join(dir, "pid"))))
		return pid > 0
	}, "the command has started")
	t.Cleanup(func() {
		if len(told.all()) == 0 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	want := write(t, s.file, 1, 100)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, func() bool { return len(told.all()) == 1 }, "its end is told")
	assert.Equal(t, []end{{pid: pid, status: 9}}, told.all())
	want += write(t, s.file, 101, 200) // no process reads, and none gets SIGPIPE

	eventually(t, func() bool { return text(filepath.Join(dir, "out")) == want }, "the next one has read everything")
	require.NoError(t, s.close())
	assert.Equal(t, want, text(filepath.Join(dir, "out")), "once")
	assert.Len(t, told.all(), 1)
}

func TestCloseStartsADeadCommandAgainForWhatIsUnread(t *testing.T) {
	t.Parallel()
	s, dir, told := open(t, "| if mkdir %s/first 2>/dev/null; then exit 3; fi; exec cat >>%s/out")
	eventually(t, func() bool { return len(told.all()) == 1 }, "its end is told")
	assert.Equal(t, 3<<8, told.all()[0].status)
	want := write(t, s.file, 1, 10)
	require.NoError(t, s.close())
	assert.Equal(t, want, text(filepath.Join(dir, "out")))
}

func TestFIFOThatNobodyReadsIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(path, 0o600))
	_, err := openSink(path, "a test", start, nil)
	assert.ErrorIs(t, err, unix.ENXIO)
}

func TestPipeIsBlockingAndCloseOnExec(t *testing.T) {
	t.Parallel()
	s, _, _ := open(t, "| cat >/dev/null")
	for _, f := range []*os.File{s.file, s.command.reader} {
		// Not by Fd, which makes the file blocking.
		conn, err := f.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, conn.Control(func(fd uintptr) {
			flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
			assert.NoError(t, err)
			assert.Zero(t, flags&unix.O_NONBLOCK, "%s is blocking", f.Name())
			flags, err = unix.FcntlInt(fd, unix.F_GETFD, 0)
			assert.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, "%s is close-on-exec", f.Name())
		}))
	}
	require.NoError(t, s.close())
}

func TestCommandHoldsNoOtherDescriptor(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc on this system")
	}
	for fd := 3; fd < 1000; fd++ { // descriptors that this test was started with do not count
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
	}
	port, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(port)
	unix.CloseOnExec(port)
	s, dir, _ := open(t, `| exec >%s/t; for f in /proc/$$/fd/*; do [ -e "$f" ] && echo ${f##*/}; done; mv %s/t %s/out; cat >/dev/null`)
	eventually(t, func() bool { return text(filepath.Join(dir, "out")) != "" }, "the command has looked")
	require.NoError(t, s.close())
	assert.Equal(t, []string{"0", "1", "2"}, strings.Fields(text(filepath.Join(dir, "out"))))
}

// Not parallel: PATH is the process's.
func TestSyslogIsLoggerWithATag(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("OUT", filepath.Join(bin, "out"))
	logger := "#!/bin/sh\necho \"$# $1 $2\" >>$OUT\n[ -e $OUT.first ] || { >$OUT.first; exit 1; }\nexec cat >>$OUT\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "logger"), []byte(logger), 0o755))
	for spec, tag := range map[string]string{"syslog:": "a test", "syslog:app": "app", "syslog:$(id)'": "$(id)'"} {
		s, _, told := open(t, spec)
		eventually(t, func() bool { return len(told.all()) == 1 }, "the first one dies")
		want := write(t, s.file, 1, 100)
		require.NoError(t, s.close())
		line := "2 -t " + tag + "\n"
		assert.Equal(t, line+line+want, text(filepath.Join(bin, "out")), "another one is started, and has them all")
		require.NoError(t, os.Remove(filepath.Join(bin, "out")))
		require.NoError(t, os.Remove(filepath.Join(bin, "out.first")))
	}

	t.Setenv("PATH", filepath.Join(bin, "none"))
	for spec, want := range map[string]string{
		"syslog:app":   `log file "syslog:app" needs logger(1): exec: "logger": `,
		"syslog:a b":   `log file "syslog:a b": the tag after syslog: must have no blanks`,
		"syslog:a\nb":  `log file "syslog:a\nb": the tag`,
		"syslog:a\x00": `log file "syslog:a\x00": the tag`,
		"syslog:\xff":  `log file "syslog:\xff": the tag`,
	} {
		_, err := openSink(spec, "a test", start, func(int, int, error) { t.Error("nothing has run") })
		assert.ErrorContains(t, err, want, spec)
	}
}
