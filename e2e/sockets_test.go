//go:build linux

package e2e

import (
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shutsDown is a server that shuts its listening socket down as it leaves, as Twisted's and
// WEBrick's do, and tries again when accept(2) fails.
const shutsDown = `import os, signal, socket, threading, time
s = socket.socket(fileno=int(os.environ["SERVER_STARTER_PORT"].rsplit("=", 1)[1]))
def leave(*_):
    s.shutdown(socket.SHUT_RDWR)
    os._exit(0)
signal.signal(signal.SIGTERM, leave)
def serve():
    while True:
        try:
            c, _ = s.accept()
            c.sendall(b"served\n")
            c.close()
        except OSError:
            time.sleep(0.1)
threading.Thread(target=serve, daemon=True).start()
print("worker is up", flush=True)
while True:
    time.sleep(100)`

// A worker that shuts down the shared socket does not end listening for other workers.
func TestWorkerShutsTheSocketDown(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--interval=0.2", "--", python(t), "-c", shutsDown)
	served := func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		text := make([]byte, 7)
		n, _ := conn.Read(text)
		return string(text[:n]) == "served\n"
	}
	for n := range 3 {
		d.sees(n+1, `^worker is up`)
		eventually(t, served, func() string { return "nobody answers; it printed:\n" + d.out.String() })
		d.signal(syscall.SIGHUP)
		d.sees(n+1, `^old worker \d+ died, status:0`)
		d.sees(n+1, `^a worker has shut down the listening socket `+regexp.QuoteMeta(addr)+`, which all workers share: listening again$`)
	}
	eventually(t, served, func() string { return "nobody answers; it printed:\n" + d.out.String() })
	d.stop()
}

// For a unix socket start_server can only tell of it.
func TestWorkerShutsAUnixSocketDown(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--path=s", "--interval=0.2", "--", python(t), "-c", shutsDown)
	d.sees(1, `^worker is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^a worker has shut down the listening socket s, which all workers share: connections to it fail until`)
	d.stop()
}

// The log and the status tell of a server that does not take the socket.
func TestNobodyAccepts(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + freePort(t)
	d := start(t, ours, "--port="+addr, "--control=ctl", "--interval=0.2", "--", "sleep", "1000")
	d.worker(1)
	for range 4 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
	}
	d.sees(1, `^nobody accepts on `+regexp.QuoteMeta(addr)+`: 4 connections wait for \d+ s; the server has to take the socket from SERVER_STARTER_PORT or descriptor 3$`)
	code, printed := d.ask("--status")
	assert.Zero(t, code)
	assert.Regexp(t, `(?m)^nobody accepts on `+regexp.QuoteMeta(addr)+`: 4 connections waiting for \d`, printed)
	code, printed = d.ask("--status", "--json")
	assert.Zero(t, code)
	assert.Contains(t, printed, `"fd":3,"waiting":4,"waiting_for":`)
	d.stop()
	assert.Equal(t, 1, strings.Count(d.out.String(), "nobody accepts"))
}

// If a server binds the port itself, the log tells whose the port is.
func TestServerBindsThePortItself(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	d := start(t, ours, "--port=127.0.0.1:"+port, "--log-file=log", "--interval=3", "--", python(t), "-c",
		`import socket,sys; s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[1])))`, port)
	seesIn(t, func() string { return d.file("log") }, 1,
		`^the socket 127.0.0.1:`+port+` is ours: the server has to take it from SERVER_STARTER_PORT or descriptor 3, and bind none itself$`)
	seesIn(t, func() string { return d.file("log") }, 2, `seems to have failed to start`)
	assert.Equal(t, 1, strings.Count(d.file("log"), " is ours: "))
	d.stop()
}
