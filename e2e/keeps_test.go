//go:build linux

package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connectsListener connects the listening socket to a peer that does not read. The socket then has
// bytes that wait to be sent, and SO_LINGER for a day.
const connectsListener = `import os, socket, struct, sys, time
s = socket.socket(fileno=int(os.environ["SERVER_STARTER_PORT"].rsplit("=", 1)[1]))
peer = socket.socket()
peer.bind(("127.0.0.1", 0))
peer.listen(5)
if os.fork() == 0:
    os.setsid()
    s.close()
    os.closerange(1, 3)
    time.sleep(30)
    os._exit(0)
s.shutdown(socket.SHUT_RDWR)
s.connect(peer.getsockname())
s.setblocking(False)
try:
    while True: s.send(b"x" * 65536)
except BlockingIOError: pass
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 86400))
sys.stderr.write("connected\n")
time.sleep(1000)
`

// A worker cannot hold up a stop by what it does to a socket that it shares with us: close(2)
// would wait for the socket's peer.
func TestWorkerCannotHoldAStopByItsSocket(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, systemPython)
	d := start(t, ours, "--user=nobody", "--port=127.0.0.1:0", "--interval=0.2", "--", systemPython, "-c", connectsListener)
	d.sees(1, `^connected$`)
	began := time.Now()
	d.stop()
	assert.Less(t, time.Since(began), 20*time.Second)
	require.Error(t, d.cmd.Process.Signal(syscall.Signal(0)))
}

// Nor by what it does to the file that is its stdout and ours: with O_DIRECT a file takes only
// whole blocks.
func TestWorkerCannotStopTheLog(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, systemPython)
	script := `import fcntl, os, time
fcntl.fcntl(2, fcntl.F_SETFL, fcntl.fcntl(2, fcntl.F_GETFL) | os.O_DIRECT)
time.sleep(1000)`
	d := start(t, ours, "--user=nobody", "--log-file=log", "--interval=0.5", "--", systemPython, "-c", script)
	log := func() string { return d.file("log") }
	for n := range 2 {
		seesIn(t, log, n+1, `^starting new worker \d+$`)
		d.signal(syscall.SIGHUP)
		seesIn(t, log, n+1, `^new worker is now running, sending TERM to old workers:\d+$`)
	}
	d.stop()
	assert.Regexp(t, `(?m)^exiting$`, log())
}
