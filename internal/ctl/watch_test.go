//go:build unix

package ctl

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// All questions go over one connection, as long as it lives. A superdaemon that hangs up is called
// again at once: another image of it may go on.
func TestWatchAsksOnOneConnection(t *testing.T) {
	t.Parallel()
	next := strings.Replace(standing, `"generation":2`, `"generation":3`, 1)
	a := &asker{name: "start_server", path: superdaemon(t, []string{standing, standing, standing}, []string{next})}
	for _, generation := range []int{2, 2, 2, 3} {
		said := a.ask(t.Context())
		require.NoError(t, said.err)
		assert.Equal(t, generation, said.status.Generation)
		assert.False(t, said.near, "pid 7 is not the pid of this process")
	}
	for range 2 {
		assert.ErrorIs(t, a.ask(t.Context()).err, control.ErrNobody)
		assert.Nil(t, a.line)
	}
	here := strings.Replace(standing, `"pid":7`, `"pid":`+strconv.Itoa(os.Getpid()), 1)
	a = &asker{name: "start_server", path: superdaemon(t, []string{here, here})}
	assert.True(t, a.ask(t.Context()).near)
	assert.True(t, a.ask(t.Context()).near)
	a.hangUp()
}

func watching(json bool) (w *watch, out, notes *bytes.Buffer) {
	out, notes = &bytes.Buffer{}, &bytes.Buffer{}
	return &watch{output: newOutput(out), notes: notes, json: json, name: "start_server", usage: newUsage(), since: time.Now().Add(-90 * time.Second)}, out, notes
}

// Without a window one picture comes after the other, and an absence is told once.
func TestWatchInAPipe(t *testing.T) {
	t.Parallel()
	w, out, notes := watching(false)
	gone := &nobody{"start_server", "app.ctl"}
	for range 3 {
		require.NoError(t, w.hear(answer{err: gone}))
	}
	require.NoError(t, w.redraw())
	for range 2 {
		require.NoError(t, w.hear(answer{status: &control.Status{Name: "start_server", Pid: 7, State: "starting"}}))
	}
	asked := time.Now().Add(-3 * time.Second)
	for range 3 {
		require.NoError(t, w.isDown(asked, errSlow))
	}
	require.NoError(t, w.end())
	const status = `start_server \(pid:7\) is starting, up 0s, 0 restarts
\S+  0 workers

no worker is there

no socket is bound
`
	assert.Regexp(t, `^\S+  no answer from start_server since \S+, for 1m30s
control socket "app.ctl": no start_server listens there
it is asked again each second

`+status+"\n"+status+`
\S+  no answer from start_server \(pid:7\) since `+asked.Format(time.TimeOnly)+`, for 3s
it was asked, and has not answered yet
$`, out.String())
	assert.NotContains(t, out.String(), "\x1b")
	assert.Empty(t, notes.String())
}

func TestWatchInJSON(t *testing.T) {
	t.Parallel()
	w, out, notes := watching(true)
	require.NoError(t, w.hear(answer{status: &control.Status{Name: "start_server", Pid: 7, State: "starting"}}))
	for range 3 {
		require.NoError(t, w.hear(answer{err: errors.New("permission denied\nask as root")}))
	}
	require.NoError(t, w.hear(answer{status: &control.Status{Name: "start_server", Pid: 7, State: "serving"}}))
	lines := strings.Split(out.String(), "\n")
	require.Len(t, lines, 3)
	assert.Contains(t, lines[0], `"state":"starting"`)
	assert.Contains(t, lines[1], `"state":"serving"`)
	assert.Regexp(t, `^\S+  no answer from start_server \(pid:7\) since \S+, for 0s\npermission denied\nask as root\nit is asked again each second\n$`, notes.String())
}

// In our namespace the same pid would be another process.
func TestPidsOfAnotherNamespaceAreNotLookedAt(t *testing.T) {
	t.Parallel()
	for _, near := range []bool{false, true} {
		w, out, _ := watching(false)
		w.usage.cpuTime = func(int) (time.Duration, bool) { return 0, true }
		w.usage.memory = func(int) int64 { return 5 << 20 }
		require.NoError(t, w.hear(answer{status: &control.Status{Pid: os.Getpid()}, near: near}))
		assert.Equal(t, near, strings.Contains(out.String(), "5.0 MB"), out.String())
	}
}
