//go:build unix

package socket

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAfterCloseThereIsNoSocketLeft(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortDir(t), "s")
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, []string{path})
	addr := set.Sockets[0].Addr.String()
	require.NoError(t, set.Close())

	assert.NoError(t, set.Grow(4))
	_, err := net.Dial("tcp", addr)
	assert.Error(t, err, "none is made")
	for _, n := range []int{0, 1, 2, 9} {
		assert.NoError(t, set.Steer(n))
		assert.NoError(t, set.Drain(n))
		queued, err := set.Queued(n)
		assert.NoError(t, err)
		assert.Zero(t, queued)
		assert.Equal(t, []int{7, 8, 9, -1, -1}, set.Table(n, 7, 8, 9))
	}
	assert.Empty(t, set.Lost(), "who would look for it?")
	assert.NoError(t, set.Close())
}

func TestPathsThatAreNotOursAnyMoreAreLost(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	kept, gone, other := filepath.Join(dir, "kept"), filepath.Join(dir, "gone"), filepath.Join(dir, "other")
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, []string{kept, gone, other})
	assert.Empty(t, set.Lost())
	require.NoError(t, os.Remove(gone))
	assert.Equal(t, []string{gone}, set.Lost())
	require.NoError(t, os.WriteFile(other+".new", nil, 0o600))
	require.NoError(t, os.Rename(other+".new", other))
	assert.Equal(t, []string{gone, other}, set.Lost())
}
