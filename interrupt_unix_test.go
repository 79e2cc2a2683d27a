//go:build unix

package starter

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestCtrlCThatInsists(t *testing.T) {
	t.Parallel()
	live, paused := context.Background(), func() context.Context { // as while an upgrade is tried
		ctx, end := context.WithCancel(context.Background())
		end()
		return ctx
	}()
	for name, c := range map[string]struct {
		contexts []context.Context
		pause    time.Duration
		terminal bool
		asked    []string
	}{
		"twice":                        {[]context.Context{live, live}, insistence, true, []string{"stop", "kill"}},
		"twice, late":                  {[]context.Context{live, live}, insistence + 1, true, []string{"stop", "stop"}},
		"twice, not on a terminal":     {[]context.Context{live, live}, 0, false, []string{"stop", "stop"}},
		"once, passed on once more":    {[]context.Context{paused, live}, 0, true, []string{"stop", "stop"}},
		"once more, and then insisted": {[]context.Context{paused, live, live}, time.Second, true, []string{"stop", "stop", "kill"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			ask := func(what string) func(context.Context, string) {
				return func(context.Context, string) { asked = append(asked, what) }
			}
			request := interrupt(ask("stop"), ask("kill"), func() bool { return c.terminal })
			for _, ctx := range c.contexts {
				request(ctx, "received INT")
				time.Sleep(c.pause)
			}
			assert.Equal(t, c.asked, asked, name)
		})
	}
}
