//go:build unix

package wire

import (
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pair is a connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	var conns [2]*net.UnixConn
	for i, n := range ends {
		file := os.NewFile(uintptr(n), "pair")
		conn, err := net.FileConn(file)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		t.Cleanup(func() { conn.Close() })
		conns[i] = conn.(*net.UnixConn)
	}
	return conns[0], conns[1]
}

// TestDescriptorsComeWithTheirRequest: however many there are, and whatever is sent before.
func TestDescriptorsComeWithTheirRequest(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	var mine [2]unix.Stat_t
	var fds [2]int
	for i := range fds {
		file, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)
		defer file.Close()
		fds[i] = int(file.Fd())
		require.NoError(t, unix.Fstat(fds[i], &mine[i]))
	}
	counts := []int{0, 1, 0, 2, batch, batch + 1, 3*batch + 1, 0}
	go func() {
		for id, n := range counts {
			r := Request{ID: uint32(id), Kind: Exec, Descriptors: n}
			frame, _ := r.Encode()
			var all []int
			for range n {
				all = append(all, fds[id%2])
			}
			if _, err := Send(a, frame, all); err != nil {
				break
			}
		}
		a.Close()
	}()
	reader := &Reader{Conn: b}
	for id, n := range counts {
		payload, err := ReadFrame(reader, MaxRequest)
		require.NoError(t, err)
		r, err := DecodeRequest(payload)
		require.NoError(t, err)
		assert.Equal(t, Request{ID: uint32(id), Kind: Exec, Descriptors: n, Env: []string{}}, r)
		got, err := reader.Take(n)
		require.NoError(t, err)
		for _, fd := range got {
			var stat unix.Stat_t
			require.NoError(t, unix.Fstat(fd, &stat))
			assert.Equal(t, mine[id%2].Ino, stat.Ino)
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC)
			unix.Close(fd)
		}
	}
	_, err := reader.Take(1)
	assert.EqualError(t, err, "descriptors are missing")
}

func TestSendEndsInTime(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	var sent int
	ended := make(chan error, 1)
	go func() {
		var err error
		sent, err = Send(a, make([]byte, 64<<20), nil)
		ended <- err
	}()
	_, err := b.Read(make([]byte, 1)) // no more of the frame is read
	require.NoError(t, err)
	require.NoError(t, a.SetWriteDeadline(time.Now()))
	assert.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
	assert.Less(t, sent, 64<<20)
	assert.Positive(t, sent)
}
