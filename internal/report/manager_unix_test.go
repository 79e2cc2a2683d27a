//go:build unix

package report

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Not parallel: the environment is the process's.
func TestManagerIsToldByItsSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "report") // that of the test may be too long for a socket
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, socket.SetReadDeadline(time.Now().Add(20*time.Second)))
	t.Setenv("NOTIFY_SOCKET", path)
	NewManager(nil, nil).End(errors.New("the port is in use"))
	text := make([]byte, 1000)
	n, err := socket.Read(text)
	require.NoError(t, err)
	assert.Equal(t, "STOPPING=1\nSTATUS=failed: the port is in use", string(text[:n]))
}
