//go:build unix

package ctl

import (
	"bufio"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A superdaemon that is replaced hangs up, and its next image answers. One that is ending hangs
// up, and nobody is there.
func TestOneThatHangsUpIsCalledAgain(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "ctl")
		l, err := net.Listen("unix", path)
		require.NoError(t, err)
		go func() {
			first, err := l.Accept()
			if err != nil {
				return
			}
			if !answers {
				l.Close()
			}
			first.Close()
			next, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(next)
			_, _ = in.ReadString('\n')
			_, _ = next.Write([]byte(`{"version":1,"ok":true,"status":{"pid":7}}` + "\n"))
		}()
		a, err := Call(t.Context(), "start_server", path, false)
		if !answers {
			require.ErrorContains(t, err, "it is ending")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, 7, a.Status.Pid)
		a.Close()
		l.Close()
	}
}
