//go:build linux

package notify

import (
	"net"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What was read while nobody hears it is kept for the next image, and what was not read stays
// in the socket. The same if the next image is not executed.
func TestNoNoticeIsLostByAHandOver(t *testing.T) {
	t.Parallel()
	for _, executed := range []bool{true, false} {
		hears, enters := make(chan struct{}), make(chan struct{}, 10)
		heard := make(chan supervise.Notice, 10)
		var unheard []supervise.Notice
		deaf := true
		l, err := Listen(false, func(m supervise.Notice) {
			if !deaf {
				heard <- m
				return
			}
			enters <- struct{}{}
			<-hears
			unheard = append(unheard, m)
		})
		require.NoError(t, err)
		defer l.Close()
		to, err := net.Dial("unixgram", l.Addr())
		require.NoError(t, err)
		defer to.Close()
		for _, text := range []string{"STATUS=1", "STATUS=2", "STATUS=3"} {
			_, err := to.Write([]byte(text))
			require.NoError(t, err)
		}
		<-enters
		close(hears)
		n, dir, release, err := l.Hand()
		require.NoError(t, err)
		require.NotEmpty(t, unheard)
		if executed {
			next, err := Adopt(n, dir, unheard, func(m supervise.Notice) { heard <- m })
			require.NoError(t, err)
			defer next.Close()
		} else {
			deaf = false
			release(unheard)
		}
		for _, want := range []string{"1", "2", "3"} {
			assert.Equal(t, want, *receive(t, heard).Status)
		}
		if executed {
			release(nil)
		}
	}
}
