package control

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// stuck is a TCP socket whose close(2) waits an hour, or until the test ends.
func stuck(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	n, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Connect(n, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: ln.Addr().(*net.TCPAddr).Port}))
	peer, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { peer.Close() }) // it has unread data, so the waiting close(2) gets a reset
	require.NoError(t, unix.SetNonblock(n, true))
	for junk := make([]byte, 1<<16); err == nil; {
		_, err = unix.Write(n, junk)
	}
	require.NoError(t, unix.SetNonblock(n, false))
	require.NoError(t, unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}))
	return n
}

// passes sends text with a descriptor. Then only the receiver has the descriptor.
func passes(conn net.Conn, text string, n int) error {
	_, _, err := conn.(*net.UnixConn).WriteMsgUnix([]byte(text), unix.UnixRights(n), nil)
	if err != nil {
		_ = unix.SetsockoptLinger(n, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{})
	}
	unix.Close(n)
	return err
}

// setRights makes the kernel take descriptors of clients, as a kernel without SO_PASSRIGHTS
// does, or refuse them.
func setRights(t *testing.T, s *Server, take int) (known bool) {
	t.Helper()
	raw, err := s.listener.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(n uintptr) {
		known = unix.SetsockoptInt(int(n), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, take) == nil
	}))
	return known
}

func TestDescriptorsAreRefused(t *testing.T) {
	t.Parallel()
	s, path := listenWith(t, Config{})
	if !setRights(t, s, 0) {
		t.Skip("this kernel knows no SO_PASSRIGHTS")
	}
	assert.ErrorIs(t, passes(call(t, path).UnixConn, "x\n", stuck(t)), unix.EPERM)
}

// If the kernel takes descriptors, closing them holds nothing up.
func TestDescriptorsThatTakeLongToClose(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	path := filepath.Join(testkit.Dir(t), "ctl")
	s, err := Listen(path, Config{Refused: func(string, int) {}, Do: func(p Peer, r Request) Answer {
		if r.Command == "wait" { // until there is something to be read
			begun <- struct{}{}
			<-goOn
		}
		return echo(p, r)
	}})
	require.NoError(t, err)
	setRights(t, s, 1)
	for range 3 {
		conn, err := net.Dial("unix", path)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = conn.Write([]byte(`{"command":"wait"}` + "\n"))
		require.NoError(t, err)
		<-begun
		require.NoError(t, passes(conn, "x", stuck(t)))
	}
	close(goOn)
	c := call(t, path)
	c.say(`{"command":"x"}` + "\n")
	assert.Equal(t, true, c.hear()["ok"])
	began := time.Now()
	require.NoError(t, s.Close())
	assert.Less(t, time.Since(began), 20*time.Second)
}
