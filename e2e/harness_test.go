//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/require"
)

// deadline is how long anything that should happen may take on a busy machine.
const deadline = time.Minute

// poll is how often a test looks whether it has happened.
const poll = 5 * time.Millisecond

// What TestMain has built.
var (
	ours   string // start_server
	master string // socketmaster
	hello  string // examples/hello
	ein    string // einhyrningsins
	einctl string // einhyrningsinsctl
	moods  string // testdata/release
	source string // the root of the repository
)

// atOnce is how many tests run at the same time, unless -parallel says otherwise. They are
// more than there are processors, because they wait most of the time.
const atOnce = 6

func TestMain(m *testing.M) {
	flag.Parse()
	told := false
	flag.Visit(func(f *flag.Flag) { told = told || f.Name == "test.parallel" })
	if !told {
		if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
			panic(err)
		}
	}
	// INT is ignored if a script has started this in the background, and HUP under nohup(1). A
	// signal that is caught here is not ignored in what the tests start.
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run what is in it
		panic(err)
	}
	if source, err = filepath.Abs(".."); err != nil {
		panic(err)
	}
	ours, master, hello = filepath.Join(dir, "start_server"), filepath.Join(dir, "socketmaster"), filepath.Join(dir, "hello")
	ein, einctl = filepath.Join(dir, "einhyrningsins"), filepath.Join(dir, "einhyrningsinsctl")
	moods = filepath.Join(dir, "release")
	build := exec.Command("go", "build", "-o", dir, "./cmd/...", "./examples/hello", "./e2e/testdata/release")
	build.Dir = source
	if text, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, text)
		return 1
	}
	return m.Run()
}

// needs finds a program, or skips the test, which in CI is a failure.
func needs(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed, and in CI nothing is skipped", program)
		}
		t.Skipf("%s is not installed", program)
	}
	return path
}

// python is the Python interpreter itself. The one in PATH may be a script that looks for it,
// such as pyenv's: on a busy machine that can take seconds.
func python(t *testing.T) string {
	t.Helper()
	text, err := exec.Command(needs(t, "python3"), "-c", "import sys; print(sys.executable)").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

const originalPath = "/usr/bin/start_server"

// original is the Perl start_server, the oracle.
func original(t *testing.T) string {
	t.Helper()
	path := needs(t, originalPath)
	head := make([]byte, 64)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	f.Read(head)
	require.Contains(t, string(head), "perl", "%s is not the original", path)
	return path
}

// tempDir makes a directory whose path is short enough for unix sockets.
var tempDir = testkit.Dir

// daemon is a running start_server.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string // its working directory, a temporary one
	out  *testkit.Output
	gone chan struct{} // closed when it has been waited for

	deploy func(generation int) // restart calls it before it starts a generation; nil: nothing
}

// start runs a start_server, ours or the original, in a new directory.
func start(t *testing.T, binary string, args ...string) *daemon {
	t.Helper()
	return startIn(t, tempDir(t), nil, binary, args...)
}

// startIn runs it in dir, with more environment.
func startIn(t *testing.T, dir string, env []string, binary string, args ...string) *daemon {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), env...)
	return follow(t, dir, cmd)
}

// follow starts a command that is, or comes to be, a start_server, in dir.
func follow(t *testing.T, dir string, cmd *exec.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: cmd, dir: dir, out: &testkit.Output{}, gone: make(chan struct{})}
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = d.out, d.out
	// Workers that outlive it must not keep Wait from returning for ever. But the
	// last words of workers have to be read on a busy machine, too.
	cmd.WaitDelay = 5 * time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid // Setsid makes it a group's leader, too
	require.NoError(t, cmd.Start())
	go func() {
		cmd.Wait()
		close(d.gone)
	}()
	t.Cleanup(d.cleanup)
	return d
}

// cleanup ends it and everything it has started, however the test went.
func (d *daemon) cleanup() {
	if d.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-d.gone:
		case <-time.After(5 * time.Second):
			defer killChildren(d.t, d.cmd.Process.Pid)() // a worker may lead a group of its own
		}
	}
	syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.gone
	if d.t.Failed() {
		d.t.Logf("%s printed:\n%s", strings.Join(d.cmd.Args, " "), d.out)
	}
}

// killChildren finds the children of a process; what it returns kills them.
func killChildren(t *testing.T, parent int) (kill func()) {
	var children []int
	for pid, p := range processes(t) {
		if p.parent == parent {
			children = append(children, pid)
		}
	}
	return func() {
		for _, pid := range children {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

func (d *daemon) signal(sig syscall.Signal) {
	d.t.Helper()
	d.isAttentive()
	require.NoError(d.t, d.cmd.Process.Signal(sig))
}

// isAttentive waits until the original sleeps; ours needs no such wait. The original
// looks for signals, and then waits for a child to end. It does not notice a signal
// that comes in between until a child ends.
func (d *daemon) isAttentive() {
	d.t.Helper()
	if d.cmd.Path == originalPath {
		eventually(d.t, func() bool { return state(d.cmd.Process.Pid) == "S" }, func() string { return "the original does not come to rest" })
	}
}

// isKilled kills it, and returns when it has ended. Its children may go on.
func (d *daemon) isKilled() {
	d.t.Helper()
	d.signal(syscall.SIGKILL)
	eventually(d.t, func() bool { return d.cmd.Process.Signal(syscall.Signal(0)) != nil }, func() string { return "start_server does not end" })
}

// exit waits until it is gone, and returns its exit code.
func (d *daemon) exit() int {
	d.t.Helper()
	select {
	case <-d.gone:
	case <-time.After(deadline):
		require.FailNow(d.t, "start_server does not exit", "it printed:\n%s", d.out)
	}
	return d.cmd.ProcessState.ExitCode()
}

// stop ends it by TERM and checks its exit code.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	require.Zero(d.t, d.exit(), "exit code after TERM; it printed:\n%s", d.out)
}

// sees waits until its output matches the pattern n times, and returns the first
// submatch of each.
func (d *daemon) sees(n int, pattern string) []string {
	d.t.Helper()
	return seesIn(d.t, d.out.String, n, pattern)
}

func seesIn(t *testing.T, read func() string, n int, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var found [][]string
	eventually(t, func() bool {
		found = re.FindAllStringSubmatch(read(), -1)
		return len(found) >= n
	}, func() string { return fmt.Sprintf("%q seen %d times, not %d, in:\n%s", pattern, len(found), n, read()) })
	var firsts []string
	for _, f := range found {
		firsts = append(firsts, f[min(1, len(f)-1)])
	}
	return firsts
}

// eventually polls until ok, or fails with what complain says.
func eventually(t *testing.T, ok func() bool, complain func() string) {
	t.Helper()
	end := time.Now().Add(deadline)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			require.FailNow(t, "it did not happen in time", "%s", complain())
		}
		<-tick.C
	}
}

// worker is the pid of the nth worker that was started, from 1.
func (d *daemon) worker(n int) int {
	d.t.Helper()
	pid, err := strconv.Atoi(d.sees(n, `^starting new worker (\d+)`)[n-1])
	require.NoError(d.t, err)
	return pid
}

// file reads a file in its directory, "" if there is none.
func (d *daemon) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(d.dir, name))
	return string(text)
}

// write makes a file in its directory.
func (d *daemon) write(name, text string) {
	d.t.Helper()
	require.NoError(d.t, os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o755))
}

// alive tells whether a process is there and not a zombie.
func alive(pid int) bool {
	s := state(pid)
	return s != "" && s != "Z"
}

// state is the letter that proc(5) has for the state of a process, "" if it is gone.
func state(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return rest[:1]
}

// isGone waits until a process is gone.
func isGone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, func() bool { return !alive(pid) }, func() string { return fmt.Sprintf("process %d is still there", pid) })
}
