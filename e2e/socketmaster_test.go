//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startMaster runs our socketmaster with a shell script as its server.
func startMaster(t *testing.T, script string, options ...string) *daemon {
	t.Helper()
	args := append([]string{"-listen=tcp://127.0.0.1:0", "-start=200"}, options...)
	return start(t, master, append(args, "-command=/bin/sh", "--", "-c", script)...)
}

// says waits until server n, from 1, has printed a line.
func (d *daemon) says(n int, line string) {
	d.t.Helper()
	d.sees(1, fmt.Sprintf(`^\[%d\] %s$`, d.worker(n), regexp.QuoteMeta(line)))
}

// printsNot checks that nothing that was printed matches.
func (d *daemon) printsNot(pattern string) {
	d.t.Helper()
	assert.NotRegexp(d.t, `(?m)`+pattern, d.out.String())
}

// patient is a server that ends at TERM, and tells of other signals.
const patient = `
trap 'echo told TERM; exit 0' TERM
for s in HUP INT QUIT USR2; do trap "echo told $s" $s; done
echo up
while :; do sleep 0.05; done
`

func TestSocketmasterRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	addr := "127.0.0.1:" + freePort(t)
	path := filepath.Join(dir, "app.sock")
	file, passed := listenerFile(t, "tcp4", "127.0.0.1:0")
	for _, c := range []struct {
		name, uri, network, addr string
		command                  []string
		keepAlive                int
	}{
		{"tcp", "tcp://" + addr, "tcp", addr, []string{"-command", hello}, 2},
		{"unix", "unix://" + path, "unix", path, []string{"-command=" + python(t), "--", inTestdata("socketmaster_child.py")}, 0},
		{"fd", "fd://3", "tcp", passed, []string{"--command", hello}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(master, append([]string{"-listen=" + c.uri, "-start=600"}, c.command...)...)
			cmd.ExtraFiles = []*os.File{file}
			d := follow(t, dir, cmd)
			answeredBy(t, c.network, c.addr, d.worker(1))
			l := startLoad(t, c.network, c.addr, 4, c.keepAlive)
			for n := 2; n <= 4; n++ {
				l.goesOn(100)
				d.signal(syscall.SIGHUP)
				answeredBy(t, c.network, c.addr, d.worker(n))
				d.sees(n-1, `^new worker is now running, sending TERM to old workers:\d+$`)
				isGone(t, d.worker(n-1))
			}
			l.goesOn(100)
			l.stop()
			d.stop()
			d.printsNot(`giving|unexpectedly`)
		})
	}
	assert.NoFileExists(t, path, "who has bound it removes it")
}

// answeredBy waits until a server has answered.
func answeredBy(t *testing.T, network, addr string, pid int) {
	t.Helper()
	var got string
	eventually(t, func() bool {
		c := client{network: network, addr: addr}
		got, _ = c.get("/") // the load reports what is lost
		return strings.HasPrefix(got, fmt.Sprintf("hello from pid %d", pid))
	}, func() string { return fmt.Sprintf("%d does not answer, but %q", pid, got) })
}

// A server that was written for socketmaster is told to go by another signal.
func TestSocketmasterTellsOthersByTheSignalAskedFor(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, master, "-listen=tcp4://"+addr, "-start=300", "-signal=sigquit", "-command="+python(t), "--", inTestdata("socketmaster_child.py"))
	d.says(1, "serving")
	answeredBy(t, "tcp", addr, d.worker(1))
	d.signal(syscall.SIGHUP)
	d.says(1, "told SIGQUIT")
	answeredBy(t, "tcp", addr, d.worker(2))
	d.stop()
	d.says(2, "told SIGTERM")
}

func TestSocketmasterEndsAsItsServerDoes(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"exit 0":                   0,
		"exit 3":                   3,
		"kill -KILL $$":            128 + 9,
		"sleep 0.5; exit 7":        7, // after it has booted
		"sleep 0.5; exit 0":        0,
		"sleep 0.5; kill -SEGV $$": 128 + 11,
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			d := startMaster(t, script)
			assert.Equal(t, want, d.exit())
			assert.Len(t, d.sees(1, `^starting new worker \d+$`), 1, "none is started in its place")
			d.printsNot("restarting")
		})
	}
}

func TestSocketmasterEndsWhenAllServersAreGone(t *testing.T) {
	t.Parallel()
	d := startMaster(t, `trap 'while [ -e stay ]; do sleep 0.05; done; exit 4' TERM; echo up; while :; do sleep 0.05; done`)
	d.write("stay", "")
	d.says(1, "up")
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker is now running, sending TERM to old workers:`)
	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`^worker %d died, status:9$`, d.worker(2)))
	assert.True(t, alive(d.worker(1)))
	require.NoError(t, os.Remove(filepath.Join(d.dir, "stay")))
	assert.Equal(t, 4, d.exit(), "the status of the last")
}

func TestSocketmasterPassesSignalsOnAsTheyAre(t *testing.T) {
	t.Parallel()
	d := startMaster(t, patient)
	d.says(1, "up")
	for _, sig := range []string{"INT", "QUIT", "INT"} {
		d.signal(map[string]syscall.Signal{"INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT}[sig])
		d.sees(1, "^received "+sig+", sending "+sig+" to workers:")
		d.says(1, "told "+sig)
	}
	d.sees(2, `^\[\d+\] told INT$`)
	d.signal(syscall.SIGUSR2)
	d.sees(1, `^received USR2, which means nothing to socketmaster: ignored$`)
	d.signal(syscall.SIGHUP)
	d.says(1, "told TERM")
	d.says(2, "up")
	d.stop()
	d.says(2, "told TERM")
	d.printsNot(`told (HUP|USR2)`)
}

func TestSocketmasterThatIsToldToGoWhileAServerStarts(t *testing.T) {
	t.Parallel()
	d := startMaster(t, patient, "-start=60000")
	d.says(1, "up")
	d.signal(syscall.SIGHUP) // it has to wait
	d.sees(1, `^received HUP, `)
	d.stop()
	assert.Len(t, d.sees(1, `^starting new worker`), 1, "a signal to go is the end")
}

func TestSocketmasterWithoutAStartTimeSignalsNobody(t *testing.T) {
	t.Parallel()
	d := startMaster(t, patient, "-start=0")
	d.says(1, "up")
	for n := 2; n <= 3; n++ {
		d.signal(syscall.SIGHUP)
		d.says(n, "up")
		d.sees(n-1, `^new worker is now running, and the old ones stay:\d+`)
	}
	require.NoError(t, syscall.Kill(d.worker(3), syscall.SIGKILL))
	isGone(t, d.worker(3))
	d.sees(1, `^worker \d+ died`)
	for n := 1; n <= 2; n++ {
		assert.True(t, alive(d.worker(n)))
	}
	d.printsNot(`told`)
	d.stop()
	d.sees(2, `^\[\d+\] told TERM$`)
}

func TestSocketmasterLeavesTheOldServerAloneWhenTheNewOneFails(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	dir := tempDir(t)
	command := filepath.Join(dir, "server")
	install := func(script string) {
		require.NoError(t, os.WriteFile(command+".new", []byte("#!/bin/sh\n"+script), 0o755))
		require.NoError(t, os.Rename(command+".new", command))
	}
	install("exec " + hello)
	d := startIn(t, dir, nil, master, "-listen=tcp://"+addr, "-start=1500", "-command=./server")
	answeredBy(t, "tcp", addr, d.worker(1))
	d.sees(1, `^starting new worker`)
	l := startLoad(t, "tcp", addr, 2, 2)
	for n, failing := range []string{"echo no database; exit 1", "sleep 0.1; kill -KILL $$"} {
		install(failing)
		d.signal(syscall.SIGHUP)
		d.sees(n+1, `^giving the restart up after 1 failed attempt, the old workers serve on: `)
		l.goesOn(50)
	}
	d.says(2, "no database")
	require.NoError(t, os.Remove(command))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^giving the restart up after 1 failed attempt, the old workers serve on: .*server.*no such file or directory`)
	d.printsNot("sending")
	install("exec " + hello)
	d.signal(syscall.SIGHUP)
	answeredBy(t, "tcp", addr, d.worker(4))
	isGone(t, d.worker(1))
	l.stop()
	d.stop()
}

func TestSocketmasterRunsServersAsAUser(t *testing.T) {
	t.Parallel()
	root(t)
	addr := "127.0.0.1:" + lowPort(t)
	d := startIn(t, openDir(t), nil, master, "-listen=tcp://"+addr, "-start=300", "-user=nobody", "-command="+hello)
	answeredBy(t, "tcp", addr, d.worker(1))
	d.signal(syscall.SIGHUP)
	answeredBy(t, "tcp", addr, d.worker(2))
	uid := id(t, "-u", "nobody")
	assert.Equal(t, strings.Repeat(uid+" ", 3)+uid, processStatus(t, d.worker(2), "Uid"))
	assert.Equal(t, id(t, "-G", "nobody"), processStatus(t, d.worker(2), "Groups"))
	d.stop()
}

func TestSocketmastersServerIsTold(t *testing.T) {
	t.Parallel()
	env := []string{"EINHORN_FDS=7 8", "KILL_OLD_DELAY=60", "ENABLE_AUTO_RESTART=1", "JOURNAL_STREAM=1:2", "MINE=1"}
	d := startIn(t, tempDir(t), env, master, "-listen=tcp://127.0.0.1:0", "-start=200", "-command=sh", "--", "-c", `
for v in EINHORN_FDS MINE KILL_OLD_DELAY ENABLE_AUTO_RESTART JOURNAL_STREAM; do eval "echo $v=\$$v"; done
readlink /proc/self/fd/3; ls /proc/$$/fd | tr '\n' ' '; echo "$@"
exec sleep 1000`, "-", "-its", "--options")
	for _, want := range []string{"EINHORN_FDS=3", "MINE=1", "KILL_OLD_DELAY=", "ENABLE_AUTO_RESTART=", "JOURNAL_STREAM="} {
		d.says(1, want)
	}
	d.sees(1, `^\[\d+\] socket:\[\d+\]$`)
	d.sees(1, `^\[\d+\] 0 1 2 3 .*-its --options$`)
	d.signal(syscall.SIGTERM)
	assert.Equal(t, 128+15, d.exit(), "sleep does not go gracefully")
}

func TestSocketmasterListensEverywhere(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	d := start(t, master, "-listen=tcp://:"+port, "-start=200", "-command="+hello)
	answeredBy(t, "tcp", "127.0.0.1:"+port, d.worker(1))
	if ln, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		ln.Close()
		answeredBy(t, "tcp", "[::1]:"+port, d.worker(1))
	}
	d.stop()
}

func TestSocketmastersPathHasTheModeOfItsUmask(t *testing.T) {
	t.Parallel()
	d := start(t, "/bin/sh", "-c", `umask 027; exec "$@"`, "-", master, "-listen=unix:app.sock", "-start=200", "-command=sleep", "--", "1000")
	d.worker(1)
	info, err := os.Stat(filepath.Join(d.dir, "app.sock"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o750), info.Mode().Perm())
}

// All servers write at once, each from several processes, and long lines, too.
func TestSocketmasterKeepsLinesWhole(t *testing.T) {
	t.Parallel()
	const writers, lines = 4, 300
	script := fmt.Sprintf(`
long=$(printf '%%01000d' 7)
for w in $(seq %d); do (i=0; while [ $i -lt %d ]; do i=$((i+1)); echo "$$ writer $w line $i $long end"; done) & done
wait
while [ ! -e done ]; do sleep 0.05; done
printf 'last words of %%d' $$ >&2
`, writers, lines)
	d := startMaster(t, script, "-start=0")
	for n := 2; n <= 3; n++ {
		d.worker(n - 1)
		d.signal(syscall.SIGHUP)
		d.sees(n-1, `^new worker is now running`)
	}
	d.write("done", "")
	assert.Zero(t, d.exit())
	next := map[string]int{}
	line := regexp.MustCompile(`^\[(\d+)\] (\d+) writer (\d+) line (\d+) 0{999}7 end$`)
	last := regexp.MustCompile(`^\[(\d+)\] last words of (\d+)$`)
	words := 0
	for _, text := range strings.Split(d.out.String(), "\n") {
		if !strings.HasPrefix(text, "[") {
			continue
		}
		if found := last.FindStringSubmatch(text); found != nil {
			assert.Equal(t, found[1], found[2])
			words++
			continue
		}
		found := line.FindStringSubmatch(text)
		require.NotNil(t, found, "mixed: %.200q", text)
		require.Equal(t, found[1], found[2])
		who := found[2] + "." + found[3]
		next[who]++
		require.Equal(t, strconv.Itoa(next[who]), found[4], "the order of %s", who)
	}
	assert.Equal(t, 3, words, "each says its last words")
	assert.Len(t, next, 3*writers)
	for who, n := range next {
		assert.Equal(t, lines, n, who)
	}
}

// A daemon that a server leaves behind does not keep socketmaster from ending.
func TestSocketmasterDoesNotWaitForWhoIsLeftBehind(t *testing.T) {
	t.Parallel()
	d := startMaster(t, `echo up; sleep 1000 & echo $! >left; exit 5`)
	d.says(1, "up")
	assert.Equal(t, 5, d.exit())
	left, err := strconv.Atoi(strings.TrimSpace(d.file("left")))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(left, syscall.SIGKILL))
}

func TestSocketmasterLogsToSyslog(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	logger := "#!/bin/sh\necho \"$*\" >" + dir + "/args\nexec cat >>" + dir + "/log\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logger"), []byte(logger), 0o755))
	d := startIn(t, dir, []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, master, "-syslog", "-listen=tcp://127.0.0.1:0", "-start=200", "-command=/bin/sh", "--", "-c", patient)
	seesIn(t, func() string { return d.file("log") }, 1, `^\[\d+\] up$`)
	d.stop()
	assert.Equal(t, "-t socketmaster\n", d.file("args"))
	assert.Regexp(t, `(?m)^\[\d+\] told TERM$`, d.file("log"))
	assert.True(t, strings.HasSuffix(d.file("log"), "\nexiting\n"), d.file("log"))
}

func TestSocketmastersBadCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "-command is missing; see socketmaster -help"},
		{[]string{"--", "true"}, 2, "-command is missing; see socketmaster -help"},
		{[]string{"-command="}, 2, "-command is missing; see socketmaster -help"},
		{[]string{"-command"}, 2, "flag needs an argument: -command; see socketmaster -help"},
		{[]string{"-bogus"}, 2, "flag provided but not defined: -bogus; see socketmaster -help"},
		{[]string{"-command=true", "x", "--", "y"}, 2, `argument "x": arguments of the command stand behind --`},
		{[]string{"x"}, 2, `-command is missing; see socketmaster -help`},
		{[]string{"-command=true", "-start=soon"}, 2, `invalid value "soon" for flag -start: parse error; see socketmaster -help`},
		{[]string{"-command=true", "-start=-1"}, 2, `invalid value "-1" for flag -start: parse error; see socketmaster -help`},
		{[]string{"-command=true", "-signal=FOO"}, 2, `-signal: signal "FOO" is not one of ABRT `},
		{[]string{"-command=true", "-user=no-such-user"}, 2, `user "no-such-user" is not known to this system`},
		{[]string{"-command=true", "-listen=http://:80"}, 2, `listen "http://:80": scheme "http" is not tcp, tcp4, tcp6, unix or fd`},
		{[]string{"-command=true", "-listen=8080"}, 2, `listen "8080": it is not a URI such as tcp://:8080, unix:///run/app.sock or fd://3`},
		{[]string{"-command=true", "-listen=fd://77"}, 2, `socket "fd://77": descriptor 77 is not open`},
		{[]string{"-command=true", "-listen=tcp://no-such-host.invalid:80"}, 1, `listen "tcp://no-such-host.invalid:80": lookup no-such-host.invalid`},
	} {
		code, printed := command(t, tempDir(t), master, c.args...)
		assert.Equal(t, c.code, code, "%q", c.args)
		assert.True(t, strings.HasPrefix(printed, "socketmaster: "+c.want), "%q: %s", c.args, printed)
		assert.Equal(t, 1, strings.Count(printed, "\n"), "%q: %s", c.args, printed)
	}
}

func TestSocketmasterCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain"), []byte("x"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "no-program"), []byte("#!/no/such/interpreter\n"), 0o755))
	for _, c := range []struct{ listen, command, want string }{
		{"tcp://127.0.0.1:0", "no-such-program", `program "no-such-program": not found in PATH=`},
		{"tcp://127.0.0.1:0", "./plain", `program "./plain": permission denied`},
		{"tcp://127.0.0.1:0", "./no-program", `no such file or directory`},
		{"tcp://" + taken.Addr().String(), "true", `address already in use; stop what uses it`},
		{"unix:plain", "true", `the path is taken by something that is not a socket`},
	} {
		code, printed := command(t, dir, master, "-listen="+c.listen, "-command="+c.command)
		assert.Equal(t, 1, code, printed)
		lines := strings.Split(strings.TrimSpace(printed), "\n")
		assert.Regexp(t, `^socketmaster: .*`+regexp.QuoteMeta(c.want), lines[len(lines)-1])
	}
}

func TestSocketmastersHelpAndVersion(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"-h", "-help", "--help"} {
		code, help := command(t, tempDir(t), master, option)
		assert.Zero(t, code)
		for _, word := range []string{"-listen", "-command", "-start", "-signal", "-syslog", "-user", "-version", "USR1"} {
			assert.Contains(t, help, word)
		}
		testkit.FitsATerminal(t, help)
	}
	code, version := command(t, tempDir(t), master, "-version")
	assert.Zero(t, code)
	assert.Regexp(t, `^socketmaster \(go-server-starter\) \d+\.\d+\.\d+\n$`, version)
}
