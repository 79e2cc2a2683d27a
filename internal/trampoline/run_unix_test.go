//go:build unix

package trampoline

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyASocketPairIsTaken(t *testing.T) {
	t.Parallel()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	assert.True(t, isPair(pair[0]))
	_, ok := peekHeader(pair[0])
	assert.False(t, ok, "nothing has been sent")

	message := jobs[0].Encode()
	_, err = syscall.Write(pair[1], message[:HeaderSize+2])
	require.NoError(t, err)
	for range 2 {
		length, ok := peekHeader(pair[0])
		assert.True(t, ok, "and is left there")
		assert.Equal(t, len(message)-HeaderSize, length)
	}

	// A client that can connect to a server must not be able to give it instructions.
	for _, network := range []string{"tcp", "unix"} {
		addr := "127.0.0.1:0"
		if network == "unix" {
			addr = filepath.Join(t.TempDir(), "s")
		}
		l, err := net.Listen(network, addr)
		require.NoError(t, err)
		defer l.Close()
		client, err := net.Dial(network, l.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		_, err = client.Write(message)
		require.NoError(t, err)
		server, err := l.Accept()
		require.NoError(t, err)
		defer server.Close()
		for _, conn := range []net.Conn{client, server} {
			raw, err := conn.(syscall.Conn).SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) { assert.False(t, isPair(int(fd)), network) }))
		}
	}
	assert.False(t, isPair(-1))
	assert.False(t, isPair(0))
}

func TestValueNamesDescriptorAndSender(t *testing.T) {
	t.Parallel()
	fd, parent, ok := parseValue(Value(17))
	assert.True(t, ok)
	assert.Equal(t, 17, fd)
	assert.Equal(t, syscall.Getpid(), parent)
	for _, text := range []string{"", "3", ":", "3:", ":3", "3:x", "3:4:5"} {
		_, _, ok := parseValue(text)
		assert.False(t, ok, text)
	}
}
