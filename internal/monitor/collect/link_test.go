//go:build unix

package collect

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An event may come before the first status. Only the status tells which superdaemon it is of.
func TestEventsBeforeTheFirstStatusAreOfTheSameSuperdaemon(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ctl")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	c := New(Config{Patterns: []string{path}, Rescan: time.Hour, Log: func(string, ...any) {}})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for in := bufio.NewScanner(conn); in.Scan(); {
					if in.Text() == `{"version":1,"command":"subscribe"}` {
						fmt.Fprintln(conn, `{"version":1,"ok":true}`+"\n"+`{"version":1,"event":"started","generation":1,"worker":{"generation":1,"slot":0,"pid":999999999}}`)
						continue
					}
					for end := time.Now().Add(200 * time.Millisecond); len(c.Recent(0)) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
					}
					fmt.Fprintln(conn, `{"version":1,"ok":true,"status":{"pid":999999998,"state":"starting","starting":1,"started":1000,"uptime":1,"workers":[{"generation":1,"slot":0,"pid":999999999,"state":"proving","age":0.5}]}}`)
				}
			}()
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	defer func() { cancel(); l.Close(); <-ended }()
	require.Eventually(t, func() bool {
		views := c.Views()
		return len(views) == 1 && views[0].Up && len(c.Recent(0)) > 0
	}, time.Minute, time.Millisecond)
	all := c.Views()[0].Generations
	if assert.Len(t, all, 1) {
		assert.True(t, all[0].Gone.IsZero())
	}
}
