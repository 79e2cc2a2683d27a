//go:build unix

package ctl

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A superdaemon that is replaced hangs up, and its next image answers. One that is ending hangs up,
// and nothing listens any more.
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

// The old worker may be gone before the answer, while the superdaemon still has to write the status
// file. So --drained asks once more; the answer to that comes when the file is written.
func TestDrainedRestartWaitsForTheStatusFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ctl")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	const status = `{"version":1,"ok":true,"status":{"pid":7,"generation":1,"wanted_workers":1,"workers":[{"generation":1,"slot":0,"pid":8,"state":"live"}]}}`
	asked := make(chan string, 9)
	go func() {
		defer close(asked)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, answer := range []string{
			`{"version":1,"ok":true}`, status,
			`{"version":1,"event":"started","worker":{"generation":2,"slot":0,"pid":9}}` + "\n" +
				`{"version":1,"event":"live","generation":2}` + "\n" +
				`{"version":1,"event":"exited","worker":{"generation":1,"slot":0,"pid":8}}` + "\n" +
				`{"version":1,"ok":true,"generation":2}`,
			status,
		} {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			asked <- line
			fmt.Fprintln(conn, answer)
		}
	}()
	a, err := Call(t.Context(), "start_server", path, true)
	require.NoError(t, err)
	require.NoError(t, a.Restart(t.Context(), io.Discard, true))
	a.Close()
	var last string
	for last = range asked {
	}
	assert.Contains(t, last, `"status"`)
}

// The event that another image goes on may come before the status. Then the restart was not read.
func TestRestartIsAskedAgainOfTheNextImage(t *testing.T) {
	t.Parallel()
	const handedOver, restarted = `{"version":1,"event":"handed-over"}`, `{"version":1,"ok":true,"generation":3}`
	path := superdaemon(t, []string{subscribed, handedOver, standing}, []string{subscribed, handedOver, standing}, []string{subscribed, standing, restarted})
	a, err := Call(t.Context(), "start_server", path, true)
	require.NoError(t, err)
	defer func() { a.Close() }()
	var out strings.Builder
	assert.NoError(t, a.Restart(t.Context(), &out, false))
}

// If a generation is rolled back while old workers stand by, these stay, and serve.
func TestDrainedRestartEndsWhenItIsRolledBack(t *testing.T) {
	t.Parallel()
	const restarted = `{"version":1,"event":"started","worker":{"generation":3,"slot":0,"pid":9}}` + "\n" +
		`{"version":1,"event":"live","generation":3,"workers":[{"generation":2,"slot":0,"pid":8}],"seconds":60}` + "\n" +
		`{"version":1,"ok":true,"generation":3}`
	const rolledBack = `{"version":1,"event":"rolled-back","generation":2,"reason":"rollback asked for by process 5"}`
	const missed = `{"version":1,"event":"missed","now":{"pid":7,"state":"serving","generation":2,"workers":[{"generation":2,"slot":0,"pid":8,"state":"live"}]}}`
	for _, how := range []string{rolledBack, missed} {
		a, err := Call(t.Context(), "start_server", superdaemon(t, []string{subscribed, standing, restarted, how, standing}), true)
		require.NoError(t, err)
		err = a.Restart(t.Context(), io.Discard, true)
		assert.EqualError(t, err, "generation 3 was rolled back: generation 2 serves again")
		a.Close()
	}
}

// The workers of a canary get connections, too.
func TestWhoServesIsAllThatGetConnections(t *testing.T) {
	t.Parallel()
	const mixed = `{"version":1,"ok":true,"status":{"pid":7,"workers":[{"generation":1,"slot":0,"pid":8,"state":"live"},{"generation":2,"slot":0,"pid":9,"state":"canary"},` +
		`{"generation":3,"slot":0,"pid":10,"state":"proving"},{"generation":1,"slot":1,"pid":11,"state":"draining"}]}}`
	a := &Superdaemon{path: superdaemon(t, []string{mixed})}
	assert.Equal(t, "still serving: 1:8 2:9; told to go and still there: 1:11", a.serving())
}
