//go:build unix

package prober

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// roleVariable makes the test binary another program.
const roleVariable = "PROBER_TEST_ROLE"

const agent = "start_server_probe/0"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "" {
		os.Exit(m.Run())
	}
	os.Unsetenv(roleVariable)
	if err := Serve(os.Stdin, agent); err != nil {
		fmt.Fprintln(os.Stderr, err)
		syscall.Exit(1)
	}
	syscall.Exit(0) // not os.Exit, which may have something to say of coverage
}

// checker asks through the test binary, which plays start_server_probe. web is the label of
// the server's socket.
func checker(t *testing.T, server net.Addr, probes ...string) *probe.Checker {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &probe.Checker{
		Sockets: []fdenv.Socket{{Name: server.String(), Label: "web", Addr: server, FD: 3}},
		Command: self,
		Timeout: time.Minute, // a busy machine is no reason to fail
		Env:     func() ([]string, error) { return append(os.Environ(), roleVariable+"=prober"), nil },
	}
	c.Probes, err = probe.Parse(probes, c.Sockets, true)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// target is a worker that has the only socket at an address.
func target(addrs ...net.Addr) probe.Target {
	return probe.Target{Pid: 77, Generation: 4, Slot: 2, Connect: func(ctx context.Context, place int) (int, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addrs[place].String())
		if err != nil {
			return -1, err
		}
		defer conn.Close()
		file, err := conn.(*net.TCPConn).File()
		if err != nil {
			return -1, err
		}
		defer file.Close()
		return unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	}}
}

// listen listens until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	return ln
}
