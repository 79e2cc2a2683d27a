//go:build linux

package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/lestrrat/go-server-starter"
)

// Mistakes of operators, and what they are told then.

// An admin server and the application, each in a server of its own, have a port
// each: a request to one must never be answered by the other.
func TestGoServerTakesTheSocketThatItsAddressNames(t *testing.T) {
	t.Parallel()
	app, admin := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	d := start(t, ours, "--port="+app, "--port="+admin, "--interval=0.3", "--", hello, "-addr="+admin)
	d.answers(1, "tcp", admin)
	conn, err := net.Dial("tcp", app) // it waits for a server of that port
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Second)))
	_, err = conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	assert.ErrorContains(t, err, "timeout")
	d.stop()

	d = start(t, ours, "--port="+app, "--port="+admin, "--interval=0.3", "--attempts=1", "--", hello, "-addr=:1")
	assert.Equal(t, 1, d.exit())
	d.sees(1, fmt.Sprintf(`serve on :1: not among the inherited sockets %s=3;%s=4; set the server's Addr to one of them`, app, admin))
}

// The exit code of --status is for scripts and probes: 0 only if something serves.
func TestStatusTellsByItsExitCode(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	ask := func(want int, args ...string) string {
		t.Helper()
		code, printed := command(t, dir, ours, append([]string{"--status"}, args...)...)
		assert.Equal(t, want, code, printed)
		return printed
	}
	all := [][]string{{"--control=ctl"}, {"--pid-file=pid"}, {"--status-file=st"}, {"--pid-file=pid", "--status-file=st"}}
	for _, args := range all {
		assert.Regexp(t, `^start_server: .* (does not exist|no start_server listens)`, ask(3, args...))
	}

	// Given a start_server without a worker that has proved itself,
	d := startWorkersIn(t, dir, nil, ours, "--control=ctl", "--pid-file=pid", "--status-file=st", "--interval=60")
	d.sees(1, `^worker \d+ is up`)
	who := fmt.Sprintf("start_server (pid:%d)", d.cmd.Process.Pid)
	assert.Contains(t, ask(3, "--control=ctl"), who+" is starting")
	ask(3, "--control=ctl", "--json")
	assert.Equal(t, "start_server: "+who+" is running; to see whether it serves give --status-file or --control\n", ask(4, "--pid-file=pid"))
	assert.Equal(t, who+" is not serving: no worker is in its status file\n", ask(3, "--pid-file=pid", "--status-file=st"))
	ask(4, "--pid-file=.") // it is no file
	d.stop()

	// given one that serves,
	d = startWorkersIn(t, dir, nil, ours, "--control=ctl", "--pid-file=pid", "--status-file=st", "--interval=0.2", "--signal-on-term=CONT")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	who = fmt.Sprintf("start_server (pid:%d)", d.cmd.Process.Pid)
	assert.Contains(t, ask(0, "--control=ctl"), who+" is serving")
	ask(0, "--control=ctl", "--json")
	serving := fmt.Sprintf(" is serving, by its status file: 1:%d\n", one)
	assert.Equal(t, who+serving, ask(0, "--pid-file=pid", "--status-file=st"))
	assert.Equal(t, who+serving, ask(0, "--control=none", "--pid-file=pid", "--status-file=st"), "where no socket is, the files tell")
	assert.Equal(t, "start_server"+serving, ask(0, "--status-file=st"))

	// and that stops, with a worker that does not go,
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM`)
	assert.Contains(t, ask(3, "--control=ctl"), who+" is stopping")

	// or is killed.
	d.isKilled()
	require.NoError(t, syscall.Kill(one, syscall.SIGKILL))
	isGone(t, one)
	assert.Contains(t, ask(3, "--pid-file=pid"), "is stale")
	assert.Contains(t, ask(3, "--status-file=st"), "is stale")
	assert.Contains(t, ask(3, "--control=ctl"), "no start_server listens there")
}

// A stop is carried out whenever it comes: here while the ports are bound.
func TestStopDuringTheStart(t *testing.T) {
	t.Parallel()
	var ports []string
	for i := range 3000 { // to bind them takes a while
		ports = append(ports, fmt.Sprintf("127.0.%d.%d:0", 1+i/250, 1+i%250))
	}
	d := start(t, ours, "--port="+strings.Join(ports, ","), "--pid-file=pid", "--", "sleep", "1000")
	d.sees(1, `starting now`)
	d.signal(syscall.SIGTERM)
	assert.Zero(t, d.exit())
	d.sees(1, `^received TERM( before a worker was started|, sending TERM to all workers:.*)$`)
	d.sees(1, `^exiting$`)
	assert.Empty(t, d.file("pid"))
}

// A stop that does not end says what would end it, and Ctrl-C twice does.
func TestStopThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	args := []string{"--interval=0.2", "--", "/bin/sh", "-c", "trap '' INT TERM; echo ready; while :; do sleep 0.1; done"}
	d := start(t, ours, args...)
	d.sees(1, `^ready`)
	d.signal(syscall.SIGINT)
	d.sees(1, fmt.Sprintf(`^received INT, sending TERM to all workers:%d$`, d.worker(1)))
	d.signal(syscall.SIGINT) // not from a terminal
	d.sees(1, fmt.Sprintf(`^received INT again, still waiting for workers:%d: kill -KILL %[1]d ends it$`, d.worker(1)))
	require.NoError(t, syscall.Kill(d.worker(1), syscall.SIGKILL))
	assert.Zero(t, d.exit())

	d = start(t, ours, append([]string{"--kill-timeout=60"}, args...)...)
	d.sees(1, `^ready`)
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM`)
	d.signal(syscall.SIGTERM)
	d.sees(1, fmt.Sprintf(`^received TERM again, still waiting for workers:%d: KILL follows in [\d.]+ secs$`, d.worker(1)))
	require.NoError(t, syscall.Kill(d.worker(1), syscall.SIGKILL))
	assert.Zero(t, d.exit())

	keyboard, terminal := openTerminal(t)
	cmd := exec.Command(ours, args...)
	cmd.Stdin = terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	d = follow(t, tempDir(t), cmd)
	d.sees(1, `^ready`)
	press := func() {
		_, err := keyboard.Write([]byte{'C' & 0x1f})
		require.NoError(t, err)
	}
	press()
	d.sees(1, fmt.Sprintf(`^received INT, sending TERM to all workers:%d$`, d.worker(1)))
	// Press until one comes within five seconds of the last, however busy the machine is. Each
	// is answered before the next one: one too many would come when nothing catches it any more.
	for n := 2; ; n++ {
		press()
		if lines := d.sees(n, `^received INT.*\n`); strings.Contains(lines[n-1], "sending KILL") {
			break
		}
	}
	d.sees(1, fmt.Sprintf(`^received INT, sending KILL to all workers:%d$`, d.worker(1)))
	assert.Zero(t, d.exit())
}

// openTerminal makes a terminal, and what types into it.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { keyboard.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// An operator that forgets --inherit is told so before the port turns out to be in use:
// systemd has it.
func TestSocketsThatNobodyTakesAreToldOf(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := activated(t, tempDir(t), []string{addr}, "web", "--port="+addr, "--", "sleep", "1000")
	connects(t, "tcp", addr)
	assert.Equal(t, 1, d.exit())
	d.sees(1, `: address already in use: this process has it, as another socket that was asked for or passed to it$`)
	d.before("1 socket passed by LISTEN_FDS and not taken: 3:web; to take them use --inherit", "address already in use")

	d = activated(t, tempDir(t), []string{addr, "127.0.0.1:" + freePort(t)}, "web:api", "--inherit=web", "--", "sleep", "1000")
	connects(t, "tcp", addr)
	d.sees(1, `^1 socket passed by LISTEN_FDS and not taken: 4:api;`)
	d.sees(1, `^starting new worker`)
	d.stop()
}

// make install from a clone, as in the README.
func TestMakeInstall(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	dest := filepath.Join(dir, "dest")
	made := func(target string) {
		t.Helper()
		install := exec.Command(needs(t, "make"), target, "BIN="+filepath.Join(dir, "bin"), "DESTDIR="+dest, "PREFIX=/usr", "COMMIT=c0ffee")
		install.Dir = source
		text, err := install.CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	made("install")
	var want []string
	for _, name := range []string{"start_server", "start_server_probe", "start_server_monitor", "socketmaster", "einhyrningsins", "einhyrningsinsctl"} {
		code, printed := command(t, dir, filepath.Join(dest, "usr/bin", name), "--version")
		assert.Zero(t, code)
		assert.Equal(t, name+" (go-server-starter) "+starter.Version+" (commit c0ffee)\n", printed)
		want = append(want, "usr/bin/"+name)
		if name == "start_server_probe" { // only start_server calls it
			continue
		}
		want = append(want, "usr/share/man/man1/"+name+".1",
			"usr/share/bash-completion/completions/"+name, "usr/share/fish/vendor_completions.d/"+name+".fish")
	}
	want = append(want, "usr/share/man/man7/start_server-control.7", "usr/share/zsh/site-functions/_start_server")
	assert.ElementsMatch(t, want, filesBelow(t, dest))
	made("uninstall")
	assert.Empty(t, filesBelow(t, dest))
}

// filesBelow are the files below a directory, by their names from there.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	}))
	return names
}
