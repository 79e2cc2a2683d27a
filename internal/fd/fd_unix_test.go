//go:build unix

package fd

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// isOurs checks that a descriptor is close-on-exec, and blocks.
func isOurs(t *testing.T, n int) {
	t.Helper()
	t.Cleanup(func() { unix.Close(n) })
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.FD_CLOEXEC, flags)
	flags, err = unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	require.NoError(t, err)
	assert.Zero(t, flags&unix.O_NONBLOCK)
}

func TestDescriptorsAreCloseOnExecAndBlock(t *testing.T) {
	t.Parallel()
	s, err := Socket(unix.AF_INET, unix.SOCK_STREAM)
	require.NoError(t, err)
	isOurs(t, s)
	kind, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_TYPE)
	require.NoError(t, err)
	assert.Equal(t, unix.SOCK_STREAM, kind)

	copied, err := Dup(s)
	require.NoError(t, err)
	isOurs(t, copied)
	assert.Greater(t, copied, 2)
	assert.NotEqual(t, s, copied)

	for _, open := range []func() (int, int, error){Pair, Pipe} {
		a, b, err := open()
		require.NoError(t, err)
		isOurs(t, a)
		isOurs(t, b)
		_, err = unix.Write(b, []byte("x"))
		require.NoError(t, err)
		got := make([]byte, 2)
		n, err := unix.Read(a, got)
		require.NoError(t, err)
		assert.Equal(t, "x", string(got[:n]))
	}
}

func TestWhatCannotBeOpenedSaysByWhatCall(t *testing.T) {
	t.Parallel()
	n, err := Socket(-1, unix.SOCK_STREAM)
	assert.ErrorContains(t, err, "socket: ")
	assert.Equal(t, -1, n)
	n, err = Dup(-1)
	assert.EqualError(t, err, "fcntl(F_DUPFD_CLOEXEC): bad file descriptor")
	assert.Equal(t, -1, n)
}
