package socket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func TestDeferAcceptAndFastOpenAreSet(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0,defer-accept,fastopen=7", "127.0.0.1:0", "127.0.0.1:0,fastopen=1"}, nil)
	assert.Equal(t, 1, option(t, set.Sockets[0], unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT))
	assert.Equal(t, 7, option(t, set.Sockets[0], unix.IPPROTO_TCP, unix.TCP_FASTOPEN))
	assert.Zero(t, option(t, set.Sockets[1], unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT))
	assert.Zero(t, option(t, set.Sockets[1], unix.IPPROTO_TCP, unix.TCP_FASTOPEN))
	assert.Equal(t, 1, option(t, set.Sockets[2], unix.IPPROTO_TCP, unix.TCP_FASTOPEN))
}
