//go:build linux

package notify

import (
	"context"
	"net"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A message that was read and not handled is kept for the next image. One that was not read stays
// in the socket. If the next image is not executed, this one gets both.
func TestNoNoticeIsLostByAHandOver(t *testing.T) {
	t.Parallel()
	for _, executed := range []bool{true, false} {
		enters := make(chan struct{}, 10)
		heard := make(chan supervise.Notice, 10)
		deaf := true
		l, err := Listen(false, func(ctx context.Context, m supervise.Notice) error {
			if !deaf {
				heard <- m
				return nil
			}
			enters <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
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
		held, release, err := l.Hand()
		require.NoError(t, err)
		require.NotEmpty(t, held.Unheard)
		if executed {
			next, err := Adopt(held, into(heard))
			require.NoError(t, err)
			defer next.Close()
		} else {
			deaf = false
			release()
		}
		for _, want := range []string{"1", "2", "3"} {
			assert.Equal(t, want, *receive(t, heard).Status)
		}
		if executed {
			held.Unheard = nil // the next image has it
			release()
		}
	}
}
