//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// startEin runs einhyrningsins with the worker of einhorn's manual, and waits until n copies
// serve. The directory may already hold files silent.N.
func startEin(t *testing.T, dir string, n int, options ...string) (d *daemon, addr string) {
	t.Helper()
	addr = "127.0.0.1:" + freePort(t)
	args := append([]string{"-d", "ctl", "-n", fmt.Sprint(n), "-b", addr}, options...)
	d = startIn(t, dir, []string{"PYTHONDONTWRITEBYTECODE=1"}, ein, append(args, "--", python(t), inTestdata("einhorn_manual.py"))...)
	eventually(t, func() bool { return len(d.copies()) > 0 }, d.out.String)
	return d, addr
}

// ctl is einhyrningsinsctl -e.
func (d *daemon) ctl(what string) (code int, printed string) {
	d.t.Helper()
	return command(d.t, d.dir, einctl, "-d", "ctl", "-e", what)
}

// copies are the pids of the copies that serve, by index.
func (d *daemon) copies() []string {
	d.t.Helper()
	_, printed := d.ctl("status")
	var pids []string
	for _, line := range regexp.MustCompile(`(?m)^\d+ +live +\d+ +(\d+) `).FindAllStringSubmatch(printed, -1) {
		pids = append(pids, line[1])
	}
	return pids
}

// serve waits until n copies do.
func (d *daemon) serve(n int) []string {
	d.t.Helper()
	var pids []string
	eventually(d.t, func() bool { pids = d.copies(); return len(pids) == n }, func() string {
		return fmt.Sprintf("%v serve, and not %d; printed:\n%s", pids, n, d.out)
	})
	return pids
}

func TestEinhyrningsinsLosesNothing(t *testing.T) {
	t.Parallel()
	d, addr := startEin(t, tempDir(t), 2, "-m")
	d.serve(2)
	l := startLoad(t, "tcp", addr, 4, 0)
	for i := range 3 {
		before := d.copies()
		l.goesOn(50)
		code, printed := d.ctl("upgrade")
		require.Zero(t, code, printed)
		assert.Regexp(t, fmt.Sprintf(`(?m)^generation %d is live, draining: 2 old workers left$`, i+2), printed)
		assert.Regexp(t, `(?m)^generation \d: worker \d+ proved itself after \S+$`, printed)
		for _, pid := range before {
			assert.NotContains(t, d.copies(), pid)
		}
	}
	d.signal(syscall.SIGHUP)
	d.sees(1, `^received HUP, spawning a new worker$`)
	d.sees(4, `sending USR2 to old workers:\d+,\d+$`)
	d.serve(2)
	l.goesOn(50)
	l.stop()
	d.stop()
	d.sees(1, `^received TERM, sending TERM to all workers:[\d,]+$`)
	assert.NoFileExists(t, filepath.Join(d.dir, "ctl"))
}

func TestEinhyrningsinsReplacesWhatCrashes(t *testing.T) {
	t.Parallel()
	d, addr := startEin(t, tempDir(t), 3, "-m")
	before := d.serve(3)
	var pid int
	fmt.Sscan(before[1], &pid)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`worker %d died`, pid))
	eventually(t, func() bool {
		now := d.copies()
		return len(now) == 3 && now[1] != before[1]
	}, d.out.String)
	after := d.copies()
	assert.Equal(t, []string{before[0], before[2]}, []string{after[0], after[2]}, "the others have not noticed")
	l := startLoad(t, "tcp", addr, 2, 0)
	l.goesOn(20)
	l.stop()
	d.stop()
}

func TestEinhyrningsinsOneCopyNeverAcknowledges(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	silent := filepath.Join(dir, "silent.2")
	require.NoError(t, os.WriteFile(silent, nil, 0o644))
	d, addr := startEin(t, dir, 4, "-m", "-r", "2") // on a busy machine the others may miss the 3 s, too, but not twice
	three := d.serve(3)
	l := startLoad(t, "tcp", addr, 2, 0)
	d.sees(1, `^worker \d+ was not ready after \d+\.?\d* secs, sending TERM$`)
	d.sees(5, `^starting new worker \d+$`)
	assert.Equal(t, three, d.copies(), "the others serve on")
	require.NoError(t, os.Remove(silent))
	four := d.serve(4)
	assert.Equal(t, three, []string{four[0], four[1], four[3]})

	// All have to acknowledge, if they replace others.
	require.NoError(t, os.WriteFile(silent, nil, 0o644))
	code, printed := d.ctl("upgrade")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^einhyrningsinsctl: restart failed: new worker \d+ of generation \d was not ready after \S+s$`, printed)
	assert.Regexp(t, `einhyrningsinsctl: still serving: \d:`+four[0], printed)
	assert.Equal(t, four, d.copies())
	l.goesOn(20)
	l.stop()
	d.stop()
}

func TestEinhyrningsinsNobodyAcknowledges(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	code, printed := command(t, dir, ein, "-m", "-r", "1", "-d", "ctl", "-n", "2", "--", "sleep", "1000")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^giving up: new worker \d+ of generation 1 was not ready after \S+s$`, printed)
	assert.Equal(t, 1, strings.Count(printed, "of generation 1"), "once is enough: %s", printed)
	assert.NoFileExists(t, filepath.Join(dir, "ctl"))
}

// Without -m a copy has to live for three seconds.
func TestEinhyrningsinsWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	d := startIn(t, tempDir(t), []string{"SECRET=1", "OTHER=2"}, ein, "-d", "ctl", "-v", "-b", "127.0.0.1:0", "-b", "127.0.0.1:0,r,n",
		"--drop-env-var", "SECRET", "--", "/bin/sh", "-c", `env > env.$EINHORN_CHILD_INDEX; exec sleep 1000`)
	d.sees(1, `^einhyrningsins \(pid:\d+\) starting now\.\.\.$`)
	d.sees(1, `^worker \d+ has lived for \d+\.?\d* secs$`)
	code, printed := d.ctl("inc")
	assert.Zero(t, code, printed)
	env := d.file("env.1")
	assert.Regexp(t, `(?m)^EINHORN_FD_COUNT=2$`, env)
	assert.Regexp(t, `(?m)^EINHORN_FD_0=3$`, env)
	assert.Regexp(t, `(?m)^EINHORN_FD_1=4$`, env)
	assert.Contains(t, env, "EINHORN_SOCK_PATH="+filepath.Join(d.dir, "ctl")+"\n")
	assert.NotContains(t, env, "SECRET")
	assert.Contains(t, env, "OTHER=2\n")
	d.stop()
}

func TestEinhyrningsinsctlCommands(t *testing.T) {
	t.Parallel()
	d, _ := startEin(t, tempDir(t), 1, "-m")
	one := d.serve(1)[0]
	code, printed := d.ctl("inc")
	assert.Zero(t, code, printed)
	assert.Regexp(t, `^now there are 2 workers: worker \d+ has proved itself\n$`, printed)
	two := d.copies()
	require.Len(t, two, 2, "it was done when inc returned")
	assert.Contains(t, printed, two[1])

	code, printed = d.ctl("dec")
	assert.Zero(t, code, printed)
	assert.Equal(t, "now there is 1 worker: worker "+two[1]+" is gone\n", printed)
	assert.Equal(t, []string{one}, d.copies())
	var pid int
	fmt.Sscan(two[1], &pid)
	assert.False(t, alive(pid))

	code, printed = d.ctl("dec")
	assert.Equal(t, 1, code)
	assert.Equal(t, "einhyrningsinsctl: there is one worker, the least there can be\n", printed)

	d.write("silent.1", "")
	code, printed = d.ctl("inc")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^einhyrningsinsctl: new worker \d+ of generation 1 was not ready after \S+s; 2 workers are wanted, and it is tried again\n$`, printed)
	code, printed = d.ctl("dec")
	assert.Zero(t, code, printed)

	code, printed = d.ctl("version")
	assert.Zero(t, code)
	assert.Regexp(t, `^einhyrningsins \(go-server-starter\) \d+\.\d+\.\d+\n$`, printed)
	code, printed = d.ctl("status")
	assert.Zero(t, code)
	assert.Regexp(t, fmt.Sprintf(`^einhyrningsins \(pid:%d\) is serving, up \S+, 0 restarts\n`, d.cmd.Process.Pid), printed)
	code, printed = d.ctl("help")
	assert.Zero(t, code)
	for _, c := range []string{"inc", "dec", "upgrade", "status", "version", "help", "die"} {
		assert.Regexp(t, `(?m)^  `+c+` +\S`, printed)
	}
	for what, want := range map[string]string{
		"jump":  `there is no command "jump"; help tells what there is`,
		"inc 3": `inc takes no "3"`,
		" ":     `the command is empty; help tells what there is`,
	} {
		code, printed = d.ctl(what)
		assert.Equal(t, 2, code)
		assert.Equal(t, "einhyrningsinsctl: "+want+"\n", printed)
	}

	code, printed = d.ctl("die")
	assert.Zero(t, code)
	assert.Equal(t, fmt.Sprintf("einhyrningsins (pid:%d) is going down\neinhyrningsins (pid:%[1]d) is gone\n", d.cmd.Process.Pid), printed)
	assert.NoFileExists(t, filepath.Join(d.dir, "ctl"), "it was done when die returned")
	assert.Zero(t, d.exit())
	d.sees(1, `^die asked for by process \d+, sending USR2 to all workers:`+one+`$`)
}

// If two clients ask for the same at once it is done twice, or once for both.
func TestEinhyrningsinsctlTwoAtOnce(t *testing.T) {
	t.Parallel()
	d, addr := startEin(t, tempDir(t), 1, "-m")
	l := startLoad(t, "tcp", addr, 2, 0)
	twice := func(what string) (faults []string) {
		t.Helper()
		failed := make(chan string, 2)
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if code, printed := d.ctl(what); code != 0 {
					failed <- printed
				}
			})
		}
		both.Wait()
		close(failed)
		for printed := range failed {
			faults = append(faults, printed)
		}
		return faults
	}
	assert.Empty(t, twice("inc"))
	before := d.copies()
	assert.Len(t, before, 3)
	assert.Empty(t, twice("upgrade"))
	after := d.copies()
	assert.Len(t, after, 3)
	for _, pid := range before {
		assert.NotContains(t, after, pid)
	}
	assert.Empty(t, twice("dec"))
	assert.Equal(t, after[:1], d.copies())
	l.stop()
	faults := twice("die")
	if len(faults) > 0 { // it came after the other one was done
		assert.Regexp(t, `^einhyrningsinsctl: .*(no einhyrningsins listens there|it is ending)\n$`, faults[0])
	}
	assert.Less(t, len(faults), 2, "one at least is done: %q", faults)
	assert.Zero(t, d.exit())
}

// terminal starts a command with a terminal of its own, and returns what it shows and
// where to type.
func terminal(t *testing.T, dir string, args ...string) (d *daemon, keys *os.File) {
	t.Helper()
	return terminalWith(t, dir, nil, args...)
}

// terminalWith is terminal with another environment than ours.
func terminalWith(t *testing.T, dir string, env []string, args ...string) (d *daemon, keys *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { keys.Close() })
	fd := int(keys.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	screen, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	defer screen.Close()
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 200}))
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Env, c.Stdin, c.Stdout, c.Stderr = dir, env, screen, screen, screen
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, c.Start())
	d = &daemon{t: t, cmd: c, dir: dir, out: &testkit.Output{}, gone: make(chan struct{})}
	go func() {
		c.Wait()
		close(d.gone)
	}()
	t.Cleanup(d.cleanup)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := keys.Read(buffer)
			if err != nil {
				return
			}
			d.out.Write(buffer[:n])
		}
	}()
	return d, keys
}

func TestEinhyrningsinsctlShell(t *testing.T) {
	t.Parallel()
	d, _ := startEin(t, tempDir(t), 1, "-m")
	shell, keys := terminal(t, d.dir, einctl, "-d", "ctl")
	prompts := 0
	prompt := func() {
		t.Helper()
		prompts++
		eventually(t, func() bool { return strings.Count(shell.out.String(), "> ") >= prompts }, shell.out.String)
	}
	types := func(text string) {
		t.Helper()
		_, err := keys.WriteString(text)
		require.NoError(t, err)
	}
	shell.sees(1, fmt.Sprintf(`^This is the shell of einhyrningsins \(pid:%d\)\.\r$`, d.cmd.Process.Pid))
	prompt()
	types("help\r")
	shell.sees(1, `^  upgrade +replace all copies`)
	prompt()
	types("i\t\r") // completed
	shell.sees(1, `^now there are 2 workers: worker \d+ has proved itself\r$`)
	prompt()
	types("\x1b[A\r") // the last one again
	shell.sees(1, `^now there are 3 workers: worker \d+ has proved itself\r$`)
	prompt()
	types("dx\x7fe\t\r") // edited
	shell.sees(1, `^now there are 2 workers: worker \d+ is gone\r$`)
	prompt()
	types("d\t") // may be two
	shell.sees(1, `dec  die`)
	prompts++ // drawn again
	types("\x7f" + "bogus\r")
	shell.sees(1, `einhyrningsinsctl: there is no command "bogus"`)
	prompts = strings.Count(shell.out.String(), "> ") - 1
	eventually(t, func() bool { return strings.HasSuffix(shell.out.String(), "> ") }, shell.out.String)
	d.write("silent.0", "")
	types("up\t\r")
	shell.sees(1, `generation \d+ proving for \d+(\.\d)?(ms|s): \d of 2`)
	require.NoError(t, os.Remove(filepath.Join(d.dir, "silent.0")))
	shell.sees(1, `generation \d+ is live, draining: `)
	eventually(t, func() bool { return strings.HasSuffix(shell.out.String(), "> ") }, shell.out.String)
	assert.Len(t, d.copies(), 2)
	types("die\r")
	shell.sees(1, `^einhyrningsins \(pid:\d+\) is gone\r$`)
	assert.Zero(t, shell.exit(), "the shell goes with it")
	assert.Zero(t, d.exit())
}

func TestEinhyrningsinsctlShellLeaves(t *testing.T) {
	t.Parallel()
	d, _ := startEin(t, tempDir(t), 1, "-m")
	for _, leave := range []string{"quit\r", "exit\r", "\x04", "\x03"} {
		shell, keys := terminal(t, d.dir, einctl, "-d", "ctl")
		shell.sees(1, `> $`)
		_, err := keys.WriteString(leave)
		require.NoError(t, err)
		assert.Zero(t, shell.exit(), "%q", leave)
	}
	c := exec.Command(einctl, "-d", "ctl")
	c.Dir, c.Stdin = d.dir, strings.NewReader("version\n\ninc\nnonsense\n")
	text, err := c.CombinedOutput()
	assert.Error(t, err)
	assert.Equal(t, 2, c.ProcessState.ExitCode(), "that of the last command")
	assert.Regexp(t, `^einhyrningsins \(go-server-starter\) \S+\nnow there are 2 workers: worker \d+ has proved itself\neinhyrningsinsctl: there is no command "nonsense"; [^\n]+\n$`, string(text))
	d.stop()
}

// start_server, too, understands what old clients send.
func TestLinesOfOldClients(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3", "--workers=1")
	for _, c := range []struct{ line, want string }{
		{`{"command":"ehlo","args":[]}`, `^You are speaking to start_server \(pid:\d+\)$`},
		{`{"args":[],"command":"version"}`, `^start_server \(go-server-starter\) \S+$`},
		{`{"command":"state","args":[]}`, `^start_server \(pid:\d+\) is \w+$`},
		{`---%0Acommand: ehlo%0Auser: me%0A`, `^You are speaking to start_server`},
		{`---%0Aid: 1%0Acommand: help%0Aargs: []%0A`, `(?m)^upgrade: einhorn's for restart$`},
		{`---%0Aid: 2%0Acommand: inc%0Aargs: []%0A`, `^now there are 2 workers: worker \d+ has proved itself$`},
		{`---%0Aid: 3%0Acommand: louder%0Aargs: []%0A`, `^louder is a command of einhorn that is not supported: `},
		{`---%0Aid: 4%0Acommand: signal%0Aargs:%0A- CONT%0A`, `^done$`}, // it ends no worker
	} {
		assert.Regexp(t, c.want, d.talk(c.line)[0]["message"], c.line)
	}
	d.sees(1, `^signal asked for by process \d+, sending CONT to workers:\d+,\d+$`)
	a := d.talk(`{"command":"quieter"}`, `{"command":"signal","args":["SIGUSR1","USR2"]}`, `{"command":"die","args":["nosuch"]}`)
	assert.Contains(t, a[0]["error"], "quieter is a command of einhorn")
	assert.Equal(t, "one signal at a time, and not 2", a[1]["error"])
	assert.Contains(t, a[2]["error"], `signal "nosuch" is not one of`)
	assert.Equal(t, map[string]any{"version": 1.0, "ok": true, "generation": 2.0, "message": "generation 2 is live"}, d.talk(`{"command":"upgrade","args":[]}`)[0])

	conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	fmt.Fprintln(conn, `{"command":"die","args":["INT"]}`)
	in := bufio.NewScanner(conn)
	require.True(t, in.Scan())
	var answer struct{ Message string }
	require.NoError(t, json.Unmarshal(in.Bytes(), &answer))
	assert.Regexp(t, `is going down$`, answer.Message)
	assert.False(t, in.Scan(), "the connection ends as it does")
	assert.Zero(t, d.exit())
	d.sees(1, `^die asked for by process \d+, sending INT to all workers:`)
}

func TestEinhyrningsinsBadInput(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	for _, c := range []struct{ args, want string }{
		{"-n 0 -- true", "--number: 0 is not a number from 1 to 10000"},
		{"-n 10001 -- true", "--number: 10001 is not a number from 1 to 10000"},
		{"-r 0 -- true", "--retries: 0 is not a number from 1"},
		{"-b 127.0.0.1 -- true", `--bind "127.0.0.1": the form is ADDR:PORT[,r][,n]`},
		{"-b [::1] -- true", `--bind "[::1]": the form is ADDR:PORT[,r][,n]`},
		{"-b 8080 -- true", `--bind "8080": the form is ADDR:PORT[,r][,n]`},
		{"-b 127.0.0.1: -- true", `--bind "127.0.0.1:": "" is not a port number from 0 to 65535; the form is ADDR:PORT[,r][,n]`},
		{"-b 127.0.0.1:0,x -- true", `--bind "127.0.0.1:0,x": "x" is neither r nor n`},
		{"-b ::1:80 -- true", `port "::1:80": an IPv6 address stands in brackets, as in [::1]:8080`},
		{"-4 -6 -- true", "--ipv4-only and --ipv6-only exclude each other"},
		{"-4 -b [::1]:0 -- true", `port "[::1]:0": option "ipv4" is for IPv4 addresses and host names only`},
		{"-6 -b 127.0.0.1:0 -- true", `port "127.0.0.1:0": option "ipv6" is for IPv6 addresses and host names only`},
		{"-d -- --", `--socket-path: it is empty`},
		{"-b 127.0.0.1:0", "the server program is missing"},
		{"--bogus -- true", "unknown flag `bogus'; see einhyrningsins --help"},
	} {
		args := strings.Fields(c.args)
		if strings.HasPrefix(c.args, "-d") {
			args = []string{"--socket-path=", "--", "true"}
		}
		code, printed := command(t, dir, ein, args...)
		assert.Equal(t, 2, code, c.args)
		assert.Equal(t, "einhyrningsins: "+c.want+"\n", printed, c.args)
	}
	for _, args := range [][]string{{"-d", "missing"}, {"-d", "missing", "-e", "status"}, {"-d", "missing", "-e", "die"}} {
		code, printed := command(t, dir, einctl, args...)
		assert.Equal(t, 1, code)
		assert.Equal(t, "einhyrningsinsctl: control socket \"missing\": no einhyrningsins listens there\n", printed)
	}
	for _, binary := range []string{ein, einctl} {
		code, printed := command(t, dir, binary, "--version")
		assert.Zero(t, code)
		assert.Regexp(t, `^`+filepath.Base(binary)+` \(go-server-starter\) \d\S+\n$`, printed)
		code, printed = command(t, dir, binary, "-h")
		assert.Zero(t, code)
		assert.Contains(t, printed, "--socket-path=")
	}
}

func TestEinhyrningsinsSocketOfAnother(t *testing.T) {
	t.Parallel()
	d := startIn(t, tempDir(t), nil, ein, "-d", "ctl", "--", "sleep", "1000")
	d.worker(1)
	code, printed := command(t, d.dir, ein, "-d", "ctl", "--", "sleep", "1000")
	assert.Equal(t, 1, code)
	assert.Equal(t, fmt.Sprintf("einhyrningsins: control socket %q: a process listens there already\n", filepath.Join(d.dir, "ctl")), printed)
	code, printed = d.ctl("version")
	assert.Zero(t, code, printed)
	d.stop()
}
