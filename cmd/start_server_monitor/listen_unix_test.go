//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The socket of another program is left alone even if it takes no connection: its queue may be full,
// or it may be a datagram socket.
func TestListenOnLeavesTheSocketsOfOthersAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	full, datagrams := filepath.Join(dir, "full"), filepath.Join(dir, "datagrams")
	n, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(n)
	require.NoError(t, unix.Bind(n, &unix.SockaddrUnix{Name: full}))
	require.NoError(t, unix.Listen(n, 0))
	for { // until the queue is full
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		require.NoError(t, err)
		defer unix.Close(c)
		require.NoError(t, unix.SetNonblock(c, true))
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: full}); err != nil {
			break
		}
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	for _, path := range []string{full, datagrams} {
		l, err := listenOn("unix:" + path)
		if assert.Error(t, err, path) {
			assert.ErrorIs(t, err, unix.EADDRINUSE)
		} else {
			l.Close()
		}
		_, err = os.Lstat(path)
		assert.NoError(t, err, path)
	}
}

// A socket on which no process listens any more is replaced.
func TestListenOnReplacesWhatWasLeftBehind(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	old.SetUnlinkOnClose(false)
	require.NoError(t, old.Close())
	l, err := listenOn("unix:" + path)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}
