//go:build linux

package e2e

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an operator gets wrong, and what is said of it.

// An admin server and the application, each in a server of its own, have a port
// each: a request to one must never be answered by the other.
func TestGoServerTakesTheSocketThatItsAddressNames(t *testing.T) {
	t.Parallel()
	app, admin := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	d := start(t, ours, "--port="+app, "--port="+admin, "--interval=0.3", "--", hello, "-addr="+admin)
	d.answers(1, "tcp", admin)
	conn, err := net.Dial("tcp", app) // which waits for whoever serves that
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

	// Given one of which no worker has proved itself yet,
	d := startWorkersIn(t, dir, nil, ours, "--control=ctl", "--pid-file=pid", "--status-file=st", "--interval=60")
	d.sees(1, `^worker \d+ is up`)
	who := fmt.Sprintf("start_server (pid:%d)", d.cmd.Process.Pid)
	assert.Contains(t, ask(3, "--control=ctl"), who+" is starting")
	ask(3, "--control=ctl", "--json")
	assert.Equal(t, "start_server: "+who+" is running; whether it serves --status-file tells, or --control\n", ask(4, "--pid-file=pid"))
	assert.Equal(t, who+" is not serving: no worker is in its status file\n", ask(3, "--pid-file=pid", "--status-file=st"))
	ask(4, "--pid-file=.") // which is no file
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

	// and that stops and has a worker that does not go,
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

// A stop is what was asked for, whenever it comes: here while the ports are bound.
func TestStopDuringTheStart(t *testing.T) {
	t.Parallel()
	var ports []string
	for i := range 3000 { // which takes a while
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
