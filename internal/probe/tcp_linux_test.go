package probe

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestAcceptedByTheWorker: a connection in the queue is not enough.
func TestAcceptedByTheWorker(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr)
	c := &Checker{Sockets: []fdenv.Socket{{Label: "web", Addr: addr}}, Timeout: 100 * time.Millisecond}
	c.Probes, err = Parse([]string{"tcp://web"}, c.Sockets, true)
	require.NoError(t, err)
	target := Target{Connect: func(context.Context, int) (int, error) {
		n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		return n, unix.Connect(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: addr.Port})
	}}
	assert.EqualError(t, c.Still(t.Context(), target), "tcp://web: it was not accepted within 0.1s")
	c = &Checker{Sockets: c.Sockets, Probes: c.Probes, Timeout: time.Minute}
	passed := make(chan error)
	go func() { passed <- c.Pass(t.Context(), target) }()
	for range 3 { // two are left from the tries above
		conn, err := ln.Accept()
		require.NoError(t, err)
		defer conn.Close()
	}
	assert.NoError(t, <-passed)
	require.NoError(t, ln.Close())
	assert.EqualError(t, c.Still(t.Context(), target), "tcp://web: refused")
}

// TestARivalDoesNotAnswer: a process that has the same socket, as we have here, may accept a
// connection that is meant for another one.
func TestARivalDoesNotAnswer(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	addr := ln.Addr().(*net.TCPAddr)
	c := &Checker{Sockets: []fdenv.Socket{{Label: "web", Addr: addr}}, Timeout: 200 * time.Millisecond}
	c.Probes, err = Parse([]string{"tcp://web"}, c.Sockets, true)
	require.NoError(t, err)
	rivals := []int{os.Getpid()}
	target := Target{
		Connect: func(context.Context, int) (int, error) {
			n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			return n, unix.Connect(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: addr.Port})
		},
		Rivals: func(context.Context) []int { return rivals },
	}
	assert.EqualError(t, c.Still(t.Context(), target), "tcp://web: it was not accepted within 0.2s")
	rivals = []int{os.Getppid()} // and we are among its descendants
	assert.EqualError(t, c.Still(t.Context(), target), "tcp://web: it was not accepted within 0.2s")
	child := exec.Command("sleep", "1000")
	require.NoError(t, child.Start())
	defer func() { child.Process.Kill(); child.Wait() }()
	rivals = []int{child.Process.Pid}
	assert.NoError(t, c.Still(t.Context(), target))
	for told := range 2 { // in one of two calls ctx ends, as in an upgrade: then rivals are not known
		calls := 0
		target.Rivals = func(ctx context.Context) []int {
			if calls++; calls%2 == told {
				return []int{os.Getpid()}
			}
			<-ctx.Done()
			return nil
		}
		assert.EqualError(t, c.Still(t.Context(), target), "tcp://web: it was not accepted within 0.2s")
	}
}

// TestALongCommandIsNotToldInFull: a reason is a line.
func TestALongCommandIsNotToldInFull(t *testing.T) {
	t.Parallel()
	p := &Probe{Text: "exec:a\n" + strings.Repeat("é", 1000)}
	assert.EqualError(t, p.fault("refused"), "exec:a?"+strings.Repeat("é", maxText-7)+"…: refused")
}
