//go:build unix

package report

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClientsHearWhatTheySubscribedFor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "ctl")
	server, err := control.Listen(path, control.Config{Do: func(control.Peer, control.Request) control.Answer { return control.Subscription() }})
	require.NoError(t, err)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client, err := control.Dial(ctx, path)
	require.NoError(t, err)
	defer client.Close()

	c := &Clients{Server: server}
	c.Hear(supervise.RestartAsked{Cause: "before anybody watches"})
	_, err = client.Do(ctx, control.Request{Command: "subscribe"}, func(e control.Event) { assert.Fail(t, e.Text) })
	require.NoError(t, err)
	c.Hear(supervise.Proven{Worker: worker, After: time.Second})
	c.Hear(supervise.Serving{}) // clients are not told of it
	c.Verbose = true
	c.Hear(supervise.Proven{Worker: worker, After: time.Second})
	c.Hear(supervise.RestartAsked{Cause: "received HUP"})
	c.Hear(supervise.Tally{})
	var lines []string
	require.NoError(t, client.Watch(ctx, func(e control.Event) bool {
		lines = append(lines, e.Event+": "+e.Text)
		return e.Event != "restart-asked"
	}))
	assert.Equal(t, []string{
		"proven: ", "proven: worker 101 has lived for 1 secs", "restart-asked: received HUP, spawning a new worker",
	}, lines)
}
