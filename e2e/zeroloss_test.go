//go:build linux

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTwentyRestartsOfHello(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=0.4", "--status-file=status", "--", hello)
	l := d.restartUnderLoad(20, "tcp", addr, 4, 4)
	l.stop()
	t.Logf("%d requests answered, the slowest in %v", l.answered.Load(), time.Duration(l.longest.Load()))
	d.stop()
	d.runs()
}

func TestTwentyRestartsOfStarlet(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, append([]string{"--port=" + addr, booted, "--status-file=status", "--"}, starlet(t)...)...)
	l := d.restartUnderLoad(20, "tcp", addr, 4, 4)
	l.stop()
	t.Logf("%d requests answered, the slowest in %v", l.answered.Load(), time.Duration(l.longest.Load()))
	d.stop()
	d.runs()
}

// If no worker accepts, a request is not lost but waits, for as long as the new
// generation boots. So to lose none does not prove that the old one was kept until
// then.
func TestNoRequestWaitsForABoot(t *testing.T) {
	t.Parallel()
	const boot = 3 * time.Second
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=5", "--status-file=status", "--", hello, "-boot="+boot.String())
	l := d.restartUnderLoad(1, "tcp", addr, 4, 4)
	l.stop()
	assert.Less(t, time.Duration(l.longest.Load()), boot/2, "the slowest request")
	d.stop()
	d.runs()
}

// A killed worker loses the requests that it is serving, but new connections wait
// for the next worker: the port is never closed.
func TestKilledWorkersLeaveThePortOpen(t *testing.T) {
	t.Parallel()
	const kills, clients = 50, 2
	addr := "127.0.0.1:" + freePort(t)
	// A kill within the interval would be a failed attempt, and paced. So each
	// worker is in the status file before it is killed.
	d := start(t, ours, "--port="+addr, "--interval=0", "--status-file=status", "--", hello)
	d.answers(1, "tcp", addr)
	d.isLive(1)

	c := startConnecting(t, addr, clients)
	for generation := 1; generation <= kills; generation++ {
		c.goesOn(10)
		require.NoError(t, syscall.Kill(d.worker(generation), syscall.SIGKILL))
		d.worker(generation + 1)
		fresh := client{network: "tcp", addr: addr}
		got, err := fresh.get("/")
		require.NoError(t, err, "after kill %d", generation)
		require.Equal(t, fmt.Sprintf("hello from pid %d, generation %d\n", d.worker(generation+1), generation+1), got)
		d.isLive(generation + 1)
	}
	c.goesOn(10)
	answered, lost := c.stop()
	t.Logf("%d requests answered, %d lost in %d killed workers", answered, lost, kills)
	// Each client has one request under way when a worker is killed.
	assert.LessOrEqual(t, lost, kills*clients)
	require.Len(t, d.sees(kills, `^worker \d+ died unexpectedly with status:9, restarting$`), kills)
	d.stop()
	d.runs()
}

// connecting is clients that make a connection for each request. It must be
// accepted, but need not be served to the end.
type connecting struct {
	*load
	lost int // guarded by load.mu
}

func startConnecting(t *testing.T, addr string, clients int) *connecting {
	ctx, cancel := context.WithCancel(context.Background())
	c := &connecting{load: &load{t: t, addr: addr, cancel: cancel}}
	for range clients {
		c.clients.Go(func() {
			for ctx.Err() == nil {
				err := c.request()
				c.mu.Lock()
				switch {
				case err == nil:
					c.answered.Add(1)
				case cut(err):
					c.lost++
				default:
					c.faults = append(c.faults, err)
				}
				c.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); c.clients.Wait() })
	return c
}

func (c *connecting) request() error {
	conn, err := net.DialTimeout("tcp", c.addr, deadline)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	if _, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = bufio.NewReader(conn).Peek(1)
	return err
}

// stop checks that every connection could be made, and that each got an answer or
// ended with the worker's death.
func (c *connecting) stop() (answered int64, lost int) {
	c.t.Helper()
	require.Empty(c.t, c.end(), "refused connections, or never answered")
	return c.answered.Load(), c.lost
}

// A Go worker that is told to go at a quiet moment goes at once, without a
// connection that would wake it.
//
// That fails if start_server clears O_NONBLOCK, which all generations share, when
// it spawns. Until the new worker sets it again, as Go does, the next accept(2) of
// the old one blocks in the kernel, and stays blocked. So here the new one boots
// slowly, and the old one gets one request meanwhile.
func TestQuietRestart(t *testing.T) {
	t.Parallel()
	const quietRestarts = 3
	port := freePort(t)
	for len(connections(t, port)) > 0 { // those of an earlier test, in TIME_WAIT
		port = freePort(t)
	}
	addr := "127.0.0.1:" + port
	d := start(t, ours, "--port="+addr, "--interval=1.5", "--status-file=status", "--", hello, "-boot=700ms")
	socket := listening(t, port)
	// No client asks, so this is how to learn that the worker is there.
	eventually(t, func() bool { return nonblocking(t, d.worker(1), socket) }, func() string {
		return "a Go worker has a blocking socket; printed:\n" + d.out.String()
	})
	var mine []string
	request := func() string {
		t.Helper()
		c := client{network: "tcp", addr: addr, keepAlive: true}
		got, err := c.get("/")
		require.NoError(t, err)
		mine = append(mine, c.conn.LocalAddr().String())
		c.close()
		return got
	}
	for generation := 1; generation <= quietRestarts; generation++ {
		d.isLive(generation)
		d.signal(syscall.SIGHUP)
		d.worker(generation + 1)
		assert.True(t, nonblocking(t, d.worker(generation), socket), "the spawn has made the socket a blocking one")
		request()
		d.sees(generation, `^killing old workers$`)
		told := time.Now()
		isGone(t, d.worker(generation))
		t.Logf("generation %d was gone %v after it had been told to go", generation, time.Since(told))
		assert.Empty(t, connections(t, port, mine...), "connections to the port that the test has not made")
		d.isLive(generation + 1)
	}
	require.Equal(t, fmt.Sprintf("hello from pid %d, generation %d\n", d.worker(quietRestarts+1), quietRestarts+1), request())
	d.stop()
	d.runs()
}

// tcpSockets are the lines of /proc/net/tcp that have the port at either end,
// those in TIME_WAIT too, split into their fields.
func tcpSockets(t *testing.T, port string) [][]string {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	suffix := fmt.Sprintf(":%04X", number)
	var found [][]string
	for _, line := range strings.Split(string(table), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 9 && (strings.HasSuffix(fields[1], suffix) || strings.HasSuffix(fields[2], suffix)) {
			found = append(found, fields)
		}
	}
	return found
}

const stateListen = "0A"

// listening waits for the port to be bound, and returns what the descriptors
// of its socket link to.
func listening(t *testing.T, port string) string {
	t.Helper()
	var link string
	eventually(t, func() bool {
		for _, fields := range tcpSockets(t, port) {
			if fields[3] == stateListen {
				link = "socket:[" + fields[9] + "]"
			}
		}
		return link != ""
	}, func() string { return "nobody listens on port " + port })
	return link
}

// connections are the port's sockets that do not listen, except those that
// belong to clients at these addresses.
func connections(t *testing.T, port string, clients ...string) []string {
	t.Helper()
	var known []string
	for _, addr := range clients {
		_, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		for _, fields := range tcpSockets(t, port) {
			known = append(known, fields[1]+" "+fields[2])
		}
	}
	var found []string
	for _, fields := range tcpSockets(t, port) {
		if pair := fields[1] + " " + fields[2]; fields[3] != stateListen && !slices.Contains(known, pair) {
			found = append(found, pair+" state "+fields[3])
		}
	}
	return found
}

// nonblocking tells whether a process has a socket, and it has O_NONBLOCK set.
func nonblocking(t *testing.T, pid int, socket string) bool {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	fds, err := os.ReadDir(dir + "fd")
	require.NoError(t, err)
	for _, fd := range fds {
		if link, _ := os.Readlink(filepath.Join(dir, "fd", fd.Name())); link != socket {
			continue
		}
		info, _ := os.ReadFile(filepath.Join(dir, "fdinfo", fd.Name()))
		_, rest, _ := strings.Cut(string(info), "flags:")
		octal, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		flags, err := strconv.ParseInt(octal, 8, 64)
		return err == nil && flags&syscall.O_NONBLOCK != 0
	}
	return false
}
