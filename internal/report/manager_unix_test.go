//go:build unix

package report

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// notifySocket is the socket of a made-up service manager.
func notifySocket(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(testkit.Dir(t), "notify")
	t.Setenv("NOTIFY_SOCKET", path)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { manager.Close() })
	require.NoError(t, manager.SetReadDeadline(time.Now().Add(20*time.Second)))
	return manager
}

// Not parallel: the environment is the process's.
func TestManagerIsToldByItsSocket(t *testing.T) {
	manager := notifySocket(t)
	NewManager(nil, nil).End(errors.New("the port is in use"))
	text := make([]byte, 1000)
	n, err := manager.Read(text)
	require.NoError(t, err)
	assert.Equal(t, "STOPPING=1\nSTATUS=failed: the port is in use", string(text[:n]))
}
