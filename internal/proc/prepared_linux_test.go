package proc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/trampoline"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// roleVariable makes the test binary another program: the value names it.
const roleVariable = "PROC_TEST_ROLE"

var roles = map[string]func(){
	"worker":  func() { fmt.Println("the program") },
	"starter": startTwice,
	"parent":  beParent,
	"reaper":  beReaper,
	"switch":  switchUser,
	"hung":    beHung,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		roles[role]()
		return
	}
	if _, ok := os.LookupEnv(trampoline.Variable); ok {
		fmt.Println("a trampoline has become the test again") // which would start more of them
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// asRole is a command that is the test binary in a role.
func asRole(t *testing.T, role string, more ...string) Command {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return Command{Args: []string{self}, Env: append([]string{roleVariable + "=" + role, "PATH=/usr/bin:/bin"}, more...)}
}

// output is what a command writes, and its raw status.
func output(t *testing.T, c Command) (string, int) {
	t.Helper()
	return run(t, "", func(given *Command) {
		files := c.Files
		*given, c.Files = c, given.Files
		given.Files = c.Files
		if len(files) > 0 {
			given.Files = append(given.Files, files...)
		}
	})
}

// prepared is a command that needs a trampoline, and nothing more of it.
func prepared(args ...string) Command {
	return Command{Args: args, PidVariables: []string{"OWN_PID"}}
}

// field is the rest of the line that begins with name in a status file of /proc.
func field(status, name string) string {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return "none"
}

func TestPidVariableIsItsOwn(t *testing.T) {
	t.Parallel()
	c := prepared("/bin/sh", "-c", "echo $$ $OWN_PID $GOMAXPROCS $GODEBUG; env | grep -c OWN_PID; tr '\\0' ' ' < /proc/$$/environ")
	c.Env = []string{"PATH=/usr/bin:/bin", "OWN_PID=1", "GOMAXPROCS=7", "GODEBUG=madvdontneed=1", "OWN_PID=2", "OWN_PIDS=x"}
	out, status := output(t, c)
	assert.Zero(t, status)
	words := strings.Fields(out)
	require.GreaterOrEqual(t, len(words), 6)
	assert.Equal(t, words[0], words[1])
	assert.Equal(t, []string{"7", "madvdontneed=1", "2", "PATH=/usr/bin:/bin", "GOMAXPROCS=7", "GODEBUG=madvdontneed=1", "OWN_PIDS=x", "OWN_PID=" + words[0]}, words[2:])
}

func TestPidStaysTheSame(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c := prepared("/bin/sh", "-c", "echo $OWN_PID")
	c.Files = []int{-1, int(w.Fd()), 2}
	p, err := Start(c)
	require.NoError(t, err)
	w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Zero(t, p.Wait())
	assert.Equal(t, strconv.Itoa(p.Pid())+"\n", string(out))
}

func TestUmaskAndNiceness(t *testing.T) {
	t.Parallel()
	ours, err := os.ReadFile("/proc/thread-self/status")
	require.NoError(t, err)
	for _, mask := range []int{0, 0o027, 0o777} {
		out, _ := output(t, Command{Args: []string{"/bin/cat", "/proc/self/status"}, Umask: &mask})
		assert.Equal(t, fmt.Sprintf("%04o", mask), field(out, "Umask"))
	}
	now, err := os.ReadFile("/proc/thread-self/status")
	require.NoError(t, err)
	assert.Equal(t, field(string(ours), "Umask"), field(string(now), "Umask"), "ours has stayed")

	before := niceness(t, Command{})
	assert.Equal(t, min(before+5, 19), niceness(t, Command{Nice: 5}))
	if os.Geteuid() == 0 {
		nobody := &Credential{UID: 65534, GID: 65534, who: "user nobody"}
		assert.Equal(t, max(before-3, -20), niceness(t, Command{Nice: -3, Credential: nobody}), "before the privileges are dropped")
	}
}

func niceness(t *testing.T, c Command) int {
	t.Helper()
	c.Args = []string{"/bin/cat", "/proc/self/stat"}
	out, _ := output(t, c)
	fields := strings.Fields(out)
	require.Greater(t, len(fields), 18)
	n, err := strconv.Atoi(fields[18])
	require.NoError(t, err)
	return n
}

func TestPreparedChildHasItsTableAndNothingElse(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	n := int(null.Fd())
	require.NoError(t, SealInherited())
	dir := t.TempDir()
	high := append(slices.Repeat([]int{-1}, 700), n)
	full := slices.Repeat([]int{n}, 40)
	for name, table := range map[string][]int{
		"all":               {n, n, n},
		"nothing":           {},
		"no stdin":          {-1, n, n, n},
		"none of the three": {-1, -1, -1, n, -1, n},
		"holes":             {n, n, n, -1, n, -1, -1, n},
		"high":              high,
		"full":              full,
	} {
		want := []string{}
		for i, fd := range table {
			if fd >= 0 {
				want = append(want, strconv.Itoa(i))
			}
		}
		// A shell would open its script; so it looks at itself from a child that writes to a file.
		path := filepath.Join(dir, name)
		script := `set -- /proc/$$/fd/*; out=; for f do [ -e "$f" ] && out="$out ${f##*/}"; done; echo $out > "$FILE"`
		for _, direct := range []bool{true, false} {
			c := Command{Args: []string{"/bin/sh", "-c", script}, Files: table, Env: []string{"FILE=" + path}}
			if !direct {
				c.PidVariables = []string{"OWN_PID"}
			}
			p, err := Start(c)
			require.NoError(t, err, name)
			p.Wait()
			out, err := os.ReadFile(path)
			require.NoError(t, err, name)
			got := strings.Fields(string(out))
			slices.SortFunc(got, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y })
			assert.Equal(t, want, got, "%s, direct: %v", name, direct)
			require.NoError(t, os.Remove(path))
		}
	}
}

func TestEnvironmentAsBigAsTheKernelTakes(t *testing.T) {
	t.Parallel()
	c := prepared("/bin/sh", "-c", "tr -cd X < /proc/$$/environ | wc -c")
	c.Env = append(big(1<<20), "PATH=/usr/bin:/bin")
	out, status := output(t, c)
	assert.Zero(t, status)
	assert.Equal(t, strconv.Itoa(1<<20/1000*1000), out)

	c.Args = []string{"/bin/cat"}
	c.Env = big(8 << 20) // Linux takes 6 MiB at the most (fs/exec.c, bprm_stack_limits)
	_, err := Start(c)
	assert.EqualError(t, err, `program "/bin/cat": argument list too long`)
}

// big is an environment of about so many bytes.
func big(size int) []string {
	var env []string
	for i := range size / 1000 {
		env = append(env, fmt.Sprintf("V%d=%s", i, strings.Repeat("X", 1000)))
	}
	return env
}

func TestPreparedSaysWhatDirectSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	file("plain", "#!/bin/sh\n", 0o644)
	for _, c := range []Command{
		{Args: []string{"/no/such/program"}},
		{Args: []string{"nosuch"}, Env: []string{"PATH=/a:/b"}},
		{Args: []string{"plain"}, Env: []string{"PATH=" + dir}},
		{Args: []string{file("script", "#!/no/such/interpreter\n", 0o755)}},
		{Args: []string{file("elf", "\x7fELF garbage", 0o755)}},
		{Args: []string{"/bin/sh"}, Dir: "/no/such/dir"},
		{Args: []string{"/bin/sh"}, Env: []string{"A=\x00"}},
		{Args: []string{"/bin/sh", "\x00"}},
		{Args: []string{"/bin/sh", strings.Repeat("x", 256<<10)}},
	} {
		p, direct := Start(c)
		if direct == nil { // what the shell makes of garbage
			status := p.Wait()
			c.PidVariables = []string{"OWN_PID"}
			p, err := Start(c)
			require.NoError(t, err)
			assert.Equal(t, status, p.Wait())
			continue
		}
		c.PidVariables = []string{"OWN_PID"}
		_, err := Start(c)
		assert.EqualError(t, err, direct.Error())
	}
	bare := file("bare", "echo $0 $1\n", 0o755)
	out, _ := output(t, prepared(bare, "arg"))
	assert.Equal(t, bare+" arg", out, "a script without an interpreter line is the shell's")
}

func TestWhatCannotBePreparedSaysSo(t *testing.T) {
	t.Parallel()
	mask := 0o1000
	for want, c := range map[string]Command{
		`variable "A=B": a name holds no = and no NUL`: {PidVariables: []string{"A=B"}},
		`umask 01000 is not from 0 to 0777`:            {Umask: &mask},
		`nice 20 is not from -20 to 19`:                {Nice: 20},
	} {
		c.Args = []string{"/bin/sh"}
		assert.EqualError(t, c.Check(), want)
		_, err := Start(c)
		assert.EqualError(t, err, want)
	}
}

// A variable that is in the environment by chance, or malice, must not make a
// program that has this package something else, nor hang it.
func TestForeignVariableMeansNothing(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	_, err = unix.Write(pair[0], []byte("start_server trampoline 1, or not"))
	require.NoError(t, err)
	for _, value := range []string{"", "x", "3", "-1:7654321", "0:7654321", "1:7654321", "3:7654321", "4:7654321", "5:7654321", "99999999999999999999:1", "4:"} {
		for _, pids := range [][]string{nil, {"OWN_PID"}} {
			c := asRole(t, "worker", "START_SERVER_TRAMPOLINE_FD="+value)
			c.PidVariables = pids
			c.Files = []int{int(r.Fd()), pair[1]} // as 3 and 4
			out, status := output(t, c)
			assert.Zero(t, status)
			assert.Equal(t, "the program", out, value)
		}
	}
	var b [64]byte
	n, err := unix.Read(pair[1], b[:])
	require.NoError(t, err)
	assert.Equal(t, "start_server trampoline 1, or not", string(b[:n]), "nothing was taken")
}

// startTwice is a program that starts /bin/cat on a file of /proc, directly and
// by way of a trampoline, with the same signals ignored and blocked.
func startTwice() {
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGUSR1)
	for _, name := range []string{"", "OWN_PID"} {
		c := Command{Args: []string{"/bin/cat", "/proc/self/status", "/proc/self/limits"}, Files: []int{-1, 1, 2}, PidVariables: named(name)}
		p, err := Start(c)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		p.Wait()
		fmt.Println("----")
	}
}

func TestSignalsAndLimitsAreInheritedAsByADirectStart(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"as they are": `exec "$0"`,
		"nohup":       `trap "" HUP; exec "$0"`,
		"many":        `trap "" HUP INT QUIT USR2 ALRM TERM CHLD TSTP TTOU RTMIN+3 URG; ulimit -S -n 77; exec "$0"`,
	} {
		c := asRole(t, "starter")
		c.Args = []string{"/bin/bash", "-c", script, c.Args[0]}
		out := blockedOutput(t, c)
		two := strings.Split(out, "----")
		require.Len(t, two, 3, out)
		for _, set := range []string{"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"} {
			assert.Equal(t, field(two[0], set), field(two[1], set), "%s: %s", name, set)
		}
		mask, err := strconv.ParseUint(field(two[1], "SigBlk"), 16, 64)
		require.NoError(t, err)
		assert.Equal(t, uint64(1)<<(unix.SIGUSR2-1), mask, "%s: what was blocked from the start", name)
		ignored, err := strconv.ParseUint(field(two[1], "SigIgn"), 16, 64)
		require.NoError(t, err)
		assert.NotZero(t, ignored&(1<<(unix.SIGPIPE-1)), "%s: PIPE is ignored", name)
		if name != "as they are" {
			assert.NotZero(t, ignored&(1<<(unix.SIGHUP-1)), "%s: HUP is ignored", name)
		}
		assert.Zero(t, ignored&(1<<(unix.SIGTERM-1)|1<<(unix.SIGCHLD-1)|1<<(unix.SIGUSR1-1)), "%s: these are not", name)
		limit := func(text string) string {
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "Max open files") {
					return line
				}
			}
			return "none"
		}
		assert.Equal(t, limit(two[0]), limit(two[1]), name)
		if name == "many" {
			assert.Contains(t, limit(two[1]), " 77 ", "the soft limit, which Go raises for itself")
		}
	}
}

// blockedOutput is what a command that is started with USR2 blocked writes.
func blockedOutput(t *testing.T, c Command) string {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c.Files = []int{-1, int(w.Fd()), 2}
	started := make(chan *Process, 1)
	go func() {
		runtime.LockOSThread()
		var set, old unix.Sigset_t
		set.Val[0] = 1 << (unix.SIGUSR2 - 1)
		_ = unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old)
		p, err := Start(c)
		assert.NoError(t, err)
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
		started <- p
	}()
	p := <-started
	w.Close()
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Zero(t, p.Wait())
	return string(out)
}

// A signal that comes while the trampoline runs does what it would do to a
// program that has just been executed.
func TestSignalDuringTheTrampolineIsNotLost(t *testing.T) {
	t.Parallel()
	c := prepared("/bin/sleep", "1000")
	c.Files = []int{-1, 1, 2}
	paths, err := c.check()
	require.NoError(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGINT, 40} {
		if signal.Ignored(sig) {
			continue // as HUP by nohup(1): the program inherits that
		}
		for i := range 30 { // each starts this test's own program, which takes 10 ms of a processor
			f, err := c.fork(paths)
			require.NoError(t, err)
			until := time.Now().Add(time.Duration(i*80) * time.Microsecond) // so the signals come at all moments of the start
			for time.Now().Before(until) {
				runtime.Gosched()
			}
			require.NoError(t, f.process.Signal(sig))
			failed, err := f.awaitExec(t.Context())
			require.NoError(t, err)
			require.Nil(t, failed)
			over := time.AfterFunc(patience, func() { f.process.Signal(syscall.SIGKILL) })
			assert.Equal(t, sig, syscall.WaitStatus(f.process.Wait()).Signal(), "after %d us", i*80)
			over.Stop()
		}
	}
}

// beParent starts workers that are to end with it, from threads that end at
// once, says so, and waits to be killed. They hold its stdout.
func beParent() {
	for range 3 {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			_, err := Start(Command{Args: []string{"/bin/sh", "-c", "trap 'echo told; exit' TERM; echo up; while :; do sleep 0.01; done"},
				Files: []int{-1, 1, 2}, Env: os.Environ(), DieWithParent: true})
			done <- err
		}()
		if err := <-done; err != nil {
			fmt.Println(err)
		}
	}
	<-time.After(time.Hour) // longer than anybody waits
}

func TestWorkersAreToldWhenTheParentIsGone(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	c := asRole(t, "parent")
	c.Files = []int{-1, int(w.Fd()), 2}
	p, err := Start(c)
	require.NoError(t, err)
	w.Close()
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	lines := bufio.NewScanner(r)
	for range 3 {
		require.True(t, lines.Scan())
		assert.Equal(t, "up", lines.Text(), "the end of a thread of the parent is not its end")
	}
	require.NoError(t, r.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	one := make([]byte, 1)
	_, err = r.Read(one)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "all are still there")
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	require.NoError(t, p.Signal(syscall.SIGKILL))
	p.Wait()
	rest, err := io.ReadAll(r)
	require.NoError(t, err, "the workers have not ended")
	assert.Equal(t, "told\ntold\ntold\n", string(rest))
}

func BenchmarkStart(b *testing.B) {
	for name, variable := range map[string]string{"direct": "", "prepared": "OWN_PID"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				p, err := Start(Command{Args: []string{"/bin/true"}, PidVariables: named(variable), Env: os.Environ(), Files: []int{-1, 1, 2}})
				require.NoError(b, err)
				p.Wait()
			}
		})
	}
}

// named is a list of the name, if there is one.
func named(name string) []string {
	if name == "" {
		return nil
	}
	return []string{name}
}
