//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A start_server without start_server_probe could not probe the next worker. It says so before
// anything has happened.
func TestUpgradeToOneThatCannotProbe(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--port=web@127.0.0.1:0", "--blue-green", "--ready=probe", "--probe=http://web/", "--interval=0.2", "--control=ctl", "--", hello)
	d.sees(1, `^worker \d+ is ready`)
	lone := filepath.Join(tempDir(t), "start_server")
	require.NoError(t, os.Link(ours, lone))
	code, printed := command(t, d.dir, lone, "--upgrade", "--control=ctl")
	assert.Equal(t, 1, code, printed)
	assert.Contains(t, printed, "start_server_probe is neither beside start_server nor in PATH")
	assert.NotContains(t, d.out.String(), "this is start_server", "nothing has happened")
	assert.Equal(t, 1, d.status().Generation)
	d.stop()
}

// answer tells which generation has answered a client.
type answer struct {
	generation int
	err        error
}

// asks makes a client ask. The client may have to wait.
func asks(t *testing.T, addr string) <-chan answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c := client{network: "tcp", addr: addr, conn: conn, reader: bufio.NewReader(conn)}
	answered := make(chan answer, 1)
	go func() {
		body, err := c.get("/")
		if err != nil {
			answered <- answer{err: err}
			return
		}
		answered <- answer{generation: generationOf(body)}
	}()
	return answered
}

// Clients of a port that an upgrade adds wait until there is a generation that has it.
func TestBlueGreenUpgradeAddsAPort(t *testing.T) {
	t.Parallel()
	addr, added := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	options := []string{"--workers=2", "--canary=20%:600", "--keep-old=600", "--probe-interval=0.2"}
	d := startApart(t, addr, options...)
	l := startLoad(t, "tcp", addr, 2, 2)
	d.upgraded(append([]string{"--keep-workers"}, apart(addr, append(options, "--port="+added, "--probe=http://"+added+"/")...)...)...)
	first := asks(t, added)
	d.signal(syscall.SIGHUP)
	d.in("canary", 2, 2)
	assert.Equal(t, answer{generation: 2}, <-first)
	assert.Equal(t, map[int]int{2: 40}, flood(t, "tcp", added, 40), "no other one has it")
	assert.Len(t, flood(t, "tcp", addr, 100), 2)

	code, printed := d.ask("--rollback", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	second := asks(t, added)
	d.isAll(1)
	d.signal(syscall.SIGHUP)
	d.in("canary", 3, 2)
	assert.Equal(t, answer{generation: 3}, <-second)
	code, printed = d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	assert.Equal(t, map[int]int{3: 40}, flood(t, "tcp", added, 40))

	code, printed = d.ask("--rollback", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", addr, 40))
	third := asks(t, added)
	d.upgraded("--keep-workers")
	d.isAll(1)
	d.signal(syscall.SIGHUP)
	d.in("canary", 4, 2)
	assert.Equal(t, answer{generation: 4}, <-third)
	code, printed = d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	code, printed = d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	d.isAll(4)
	assert.Equal(t, map[int]int{4: 40}, flood(t, "tcp", added, 40))
	d.signal(syscall.SIGHUP)
	d.in("canary", 5, 2)
	assert.Len(t, flood(t, "tcp", added, 100), 2, "both have it")
	assert.NotContains(t, d.out.String(), "hangs", "nobody is asked on a port that it has not got")
	l.stop()
	d.stop()
	d.runs()
}

// A port that an upgrade takes away is served by the workers that have it, until the last of them
// has gone.
func TestBlueGreenUpgradeTakesAPortAway(t *testing.T) {
	t.Parallel()
	addr, gone := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	options := []string{"--workers=2", "--canary=20%:600", "--keep-old=600"}
	d := startApart(t, addr, append(options, "--port="+gone)...)
	l := startLoad(t, "tcp", addr, 2, 2)
	d.signal(syscall.SIGHUP)
	d.in("canary", 2, 2)
	d.upgraded(append([]string{"--keep-workers"}, apart(addr, options...)...)...)
	assert.Len(t, flood(t, "tcp", gone, 100), 2, "it is a canary there, too")
	asks := func(what string) {
		code, printed := d.ask(what, "--timeout=30")
		require.Zero(t, code, "%s\n%s", printed, d.out)
	}
	asks("--promote")
	assert.Equal(t, map[int]int{2: 40}, flood(t, "tcp", gone, 40))
	asks("--rollback")
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", gone, 40))
	d.isAll(1)
	d.signal(syscall.SIGHUP)
	d.in("canary", 3, 2)
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", gone, 40), "it lacks that")
	asks("--promote")
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", gone, 40), "as long as it stands by")
	asks("--rollback")
	assert.Equal(t, map[int]int{1: 40}, flood(t, "tcp", gone, 40))
	d.signal(syscall.SIGHUP)
	d.in("canary", 4, 2)
	asks("--promote")
	asks("--promote")
	d.isAll(4)
	d.refuses(gone)
	l.stop()
	d.stop()
	d.runs()
}

// The upgrade changes all ports: the old ones are served by the workers that have them.
func TestBlueGreenIsBegunAndEndedWithOtherPorts(t *testing.T) {
	t.Parallel()
	one, other := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	options := []string{"--canary=20%:600", "--keep-old=600"}
	plain := func(addr string) []string {
		return []string{"--port=" + addr, "--interval=0.1", "--control=ctl", "--status-file=status", "--", moods}
	}
	d := startApart(t, one, options...)
	code, printed := d.ask(append([]string{"--upgrade"}, plain(one)...)...)
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "blue/green cannot be switched on or off while workers have the socket: stop, and start again")
	d.signal(syscall.SIGHUP)
	d.in("canary", 2, 1)
	code, printed = d.ask("--promote", "--timeout=30")
	require.Zero(t, code, "%s\n%s", printed, d.out)
	d.in("standby", 1, 1)
	d.upgraded(append([]string{"--keep-workers"}, plain(other)...)...)
	isGone(t, d.worker(1)) // no rollback to it is possible
	code, printed = d.ask("--rollback")
	assert.Equal(t, 1, code, printed)
	assert.Equal(t, map[int]int{2: 40}, flood(t, "tcp", one, 40))
	d.restarts("--drained")
	assert.Equal(t, map[int]int{3: 40}, flood(t, "tcp", other, 40))
	d.refuses(one)

	// The same with a canary.
	d.upgraded(append([]string{"--keep-workers"}, apart(one, options...)...)...)
	first := asks(t, one)
	d.signal(syscall.SIGHUP)
	d.in("canary", 4, 1)
	assert.Equal(t, answer{generation: 4}, <-first)
	assert.Equal(t, map[int]int{4: 40}, flood(t, "tcp", one, 40), "no other one has it")
	assert.Equal(t, map[int]int{3: 40}, flood(t, "tcp", other, 40), "nor that")
	d.upgraded(append([]string{"--keep-workers"}, plain(other)...)...)
	d.isAll(4)
	d.restarts("--drained")
	assert.Equal(t, map[int]int{5: 40}, flood(t, "tcp", other, 40))
	d.refuses(one)
	d.stop()
	d.runs()
}

// refuses waits until nobody listens at an address.
func (d *daemon) refuses(addr string) {
	d.t.Helper()
	eventually(d.t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, func() string { return fmt.Sprintf("%s is open; printed:\n%s", addr, d.out) })
}
