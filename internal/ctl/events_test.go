//go:build unix

package ctl

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/report"
)

// Every event prints well, even without a text.
func TestEventsAreTold(t *testing.T) {
	t.Parallel()
	one := &control.ID{Generation: 3, Slot: 1, Pid: 11}
	two := []control.ID{{Generation: 2, Pid: 8}, {Generation: 2, Slot: 1, Pid: 9}}
	status, five := 256, 5.0
	now := &control.Status{Name: "start_server", Pid: 7, State: "serving", Generation: 3, Workers: []control.Worker{{State: "live"}, {State: "draining"}, {State: "live"}}}
	names := map[string]bool{}
	for _, row := range []struct {
		event control.Event
		want  string
	}{
		{control.Event{Event: "restart-asked"}, "restart-asked"},
		{control.Event{Event: "auto-restart"}, "auto-restart"},
		{control.Event{Event: "started", Worker: one}, "started: worker 11 of generation 3 in slot 1"},
		{control.Event{Event: "says", Worker: one, Says: "12 \"requests\"\x1b[2J"}, `says: worker 11 of generation 3 in slot 1, "12 \"requests\"\x1b[2J"`},
		{control.Event{Event: "proven", Worker: one, Seconds: 0.25}, "proven: worker 11 of generation 3 in slot 1, after 250ms"},
		{control.Event{Event: "took-over", Worker: one, Workers: two[:1], Seconds: 5}, "took-over: worker 11 of generation 3 in slot 1, workers:8, 5s"},
		{control.Event{Event: "live", Generation: 3, Workers: two, Seconds: 5}, "live: generation 3, workers:8,9, 5s"},
		{control.Event{Event: "live", Generation: 1}, "live: generation 1"},
		{control.Event{Event: "canary", Generation: 3, Percent: &five, Seconds: 30}, "canary: generation 3, 5 % of the connections, 30s"},
		{control.Event{Event: "promoted", Generation: 3}, "promoted: generation 3"},
		{control.Event{Event: "rolled-back", Generation: 2, Reason: "asked for"}, "rolled-back: generation 2, asked for"},
		{control.Event{Event: "standby-over", Generation: 2}, "standby-over: generation 2"},
		{control.Event{Event: "waiting", Workers: two}, "waiting: workers:8,9"},
		{control.Event{Event: "hung", Worker: one, Seconds: 30}, "hung: worker 11 of generation 3 in slot 1, 30s"},
		{control.Event{Event: "hung", Worker: one, Reason: "answer 503"}, "hung: worker 11 of generation 3 in slot 1, answer 503"},
		{control.Event{Event: "too-old", Worker: one, Seconds: 3600}, "too-old: worker 11 of generation 3 in slot 1, 1h0m"},
		{control.Event{Event: "too-large", Worker: one}, "too-large: worker 11 of generation 3 in slot 1"},
		{control.Event{Event: "renewed", Worker: one, Workers: two[1:]}, "renewed: worker 11 of generation 3 in slot 1, workers:9"},
		{control.Event{Event: "renewal-failed", Worker: one, Reason: "exit code 1"}, "renewal-failed: worker 11 of generation 3 in slot 1, exit code 1"},
		{control.Event{Event: "retiring", Workers: two, Signal: "TERM"}, "retiring: workers:8,9, TERM"},
		{control.Event{Event: "failed", Generation: 3, Worker: one, Reason: "exit code 1"}, "failed: worker 11 of generation 3 in slot 1, exit code 1"},
		{control.Event{Event: "failed", Generation: 3, Worker: &control.ID{Generation: 3}, Reason: "no such file"}, "failed: a worker of generation 3 in slot 0, no such file"},
		{control.Event{Event: "gave-up", Generation: 3, Reason: "exit code 1"}, "gave-up: generation 3, exit code 1"},
		{control.Event{Event: "not-ready", Worker: one, Seconds: 60}, "not-ready: worker 11 of generation 3 in slot 1, 1m0s"},
		{control.Event{Event: "refill-failed", Reason: "exit code 1"}, "refill-failed: exit code 1"},
		{control.Event{Event: "exited", Worker: one, Status: &status, Reason: "exit code 1"}, "exited: worker 11 of generation 3 in slot 1, exit code 1"},
		{control.Event{Event: "exited", Worker: one, Status: &status}, "exited: worker 11 of generation 3 in slot 1, exit code 1"},
		{control.Event{Event: "killed", Worker: one, Seconds: 30}, "killed: worker 11 of generation 3 in slot 1, 30s"},
		{control.Event{Event: "resized", Wanted: 4}, "resized: 4 workers wanted"},
		{control.Event{Event: "signalled", Workers: two, Signal: "USR1"}, "signalled: workers:8,9, USR1"},
		{control.Event{Event: "stop-delayed", Seconds: 5}, "stop-delayed: 5s"},
		{control.Event{Event: "stopping", Workers: two, Signal: "TERM"}, "stopping: workers:8,9, TERM"},
		{control.Event{Event: "handed-over", Text: "another image goes on: connect again"}, "another image goes on"},
		{control.Event{Event: "missed", Now: now}, "missed: some events may be missing here; start_server (pid:7) is serving now, generation 3, 3 workers: 1 draining, 2 live"},
		{control.Event{Event: "missed", Now: &control.Status{Pid: 7, State: "starting"}}, "missed: some events may be missing here; start_server (pid:7) is starting now, generation 0, 0 workers"},
		{control.Event{Event: "of tomorrow\n"}, "of tomorrow?"},
		{control.Event{Event: "live", Generation: 3, Text: "new worker is now running,\tsending TERM to old workers:8\nsleeping 5 secs\x1b[31m\n"}, "new worker is now running, sending TERM to old workers:8; sleeping 5 secs?[31m"},
	} {
		assert.Equal(t, row.want, told(row.event))
		names[row.event.Event] = true
	}
	for _, name := range append(report.EventNames(), "handed-over", "missed") {
		assert.True(t, names[name], "%s is not tested", name)
	}
}

// superdaemon plays a superdaemon. It answers each connection with lines, and then hangs up.
func superdaemon(t *testing.T, connections ...[]string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ctl")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for _, lines := range connections {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			for _, line := range lines {
				if strings.Contains(line, `"ok"`) {
					if _, err := in.ReadString('\n'); err != nil {
						break
					}
				}
				fmt.Fprintln(conn, line)
			}
			conn.Close()
		}
		l.Close() // removes the socket
	}()
	return path
}

const (
	subscribed = `{"version":1,"ok":true}`
	standing   = `{"version":1,"ok":true,"status":{"name":"start_server","pid":7,"started":1000.5,"state":"serving","generation":2,"workers":[{"generation":2,"slot":0,"pid":8,"state":"live"}]}}`
)

// eventsOf returns what Events prints of a superdaemon, and what it notes.
func eventsOf(t *testing.T, json bool, connections ...[]string) (printed, noted string, err error) {
	t.Helper()
	var out, notes bytes.Buffer
	err = Events(t.Context(), "start_server", superdaemon(t, connections...), &out, &notes, json)
	return out.String(), notes.String(), err
}

func TestEventsUntilItHasEnded(t *testing.T) {
	t.Parallel()
	printed, noted, err := eventsOf(t, false, []string{
		subscribed, `{"version":1,"event":"started","time":1000.25,"worker":{"generation":2,"slot":0,"pid":8},"text":"starting new worker 8"}`, standing,
		`{"version":1,"event":"stopping","time":1001,"text":"received TERM,\nsending TERM"}`,
	})
	require.NoError(t, err)
	assert.Equal(t, "start_server (pid:7) has ended\n", noted)
	at := func(ms int64) string { return time.UnixMilli(ms).Format("2006-01-02T15:04:05.000Z07:00") }
	assert.Equal(t, at(1000250)+" starting new worker 8\n"+at(1001000)+" received TERM,; sending TERM\n", printed)
}

// Members of a newer version are passed on, too.
func TestEventsInJSONAreAsTheyCame(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"version":1,"event":"started","time":1000.25,"of tomorrow":[1,{"x":null}],"worker":{"generation":2,"slot":0,"pid":8}}`,
		`{"version":1,"event":"moved","to":"Tomorrowland","text":"it says \u001b[2J"}`,
	}
	printed, _, err := eventsOf(t, true, []string{subscribed, lines[0], standing, lines[1]})
	require.NoError(t, err)
	assert.Equal(t, lines[0]+"\n"+lines[1]+"\n", printed)
	printed, _, err = eventsOf(t, true, []string{subscribed, standing, "{\"event\":\"x\",\"text\":\"\x1b[2J\"}"})
	require.NoError(t, err)
	assert.Equal(t, "{\"event\":\"x\",\"text\":\"?[2J\"}\n", printed, "JSON has no such character: a terminal does not get it")
}

// A superdaemon that hangs up but is still there is called again, and an event says that some may be
// missing.
func TestEventsGoOn(t *testing.T) {
	t.Parallel()
	first := []string{subscribed, standing, `{"version":1,"event":"handed-over","time":1000}`}
	second := []string{subscribed, `{"version":1,"event":"auto-restart","time":1002}`, standing}
	printed, noted, err := eventsOf(t, false, first, second)
	require.NoError(t, err)
	assert.Regexp(t, `^\S+ another image goes on
\S+ missed: some events may be missing here; start_server \(pid:7\) is serving now, generation 2, 1 worker: 1 live
\S+ auto-restart
$`, printed)
	assert.Equal(t, "start_server (pid:7) has ended\n", noted)

	printed, _, err = eventsOf(t, true, first, second)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	require.Len(t, lines, 3)
	var missed struct {
		Version int
		Event   string
		Time    float64
		Now     struct{ Pid, Generation int }
	}
	require.NoError(t, json.Unmarshal([]byte(lines[1]), &missed))
	assert.Equal(t, 1, missed.Version)
	assert.Equal(t, "missed", missed.Event)
	assert.Equal(t, 7, missed.Now.Pid)
	assert.InDelta(t, float64(time.Now().Unix()), missed.Time, 60)
}

func TestEventsOfAnotherSuperdaemonAreNotThose(t *testing.T) {
	t.Parallel()
	up := func(began, seconds string) string {
		return strings.Replace(standing, `"started":1000.5`, `"started":`+began+`,"uptime":`+seconds, 1)
	}
	first := []string{subscribed, up("1000", "100")}
	for _, other := range []string{strings.Replace(up("1000", "100"), `"pid":7`, `"pid":9`, 1), up("1100", "0.5")} {
		printed, noted, err := eventsOf(t, false, first, []string{subscribed, other, `{"version":1,"event":"auto-restart"}`})
		require.NoError(t, err)
		assert.Empty(t, printed)
		assert.Equal(t, "start_server (pid:7) has ended\n", noted)
	}
}

// It counts as the same superdaemon if the time of its start differs a little.
func TestEventsGoOnThoughItsStartDiffers(t *testing.T) {
	t.Parallel()
	printed, noted, err := eventsOf(t, false, []string{subscribed, standing}, []string{subscribed, strings.Replace(standing, "1000.5", "1000.499", 1)})
	require.NoError(t, err)
	assert.Contains(t, printed, " missed: ")
	assert.Equal(t, "start_server (pid:7) has ended\n", noted)
}

// A superdaemon that answers and hangs up is called once a second, except when it has asked to be
// called again.
func TestEventsOfOneThatHangsUpAgainAndAgain(t *testing.T) {
	t.Parallel()
	silent, handsOver := []string{subscribed, standing}, []string{subscribed, standing, `{"version":1,"event":"handed-over"}`}
	for _, calls := range [][][]string{{silent, silent, silent}, {handsOver, silent, silent, silent}} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			printed, _, err := eventsOf(t, false, calls...)
			require.NoError(t, err)
			assert.Len(t, regexp.MustCompile("missed: ").FindAllString(printed, -1), len(calls)-1)
			assert.GreaterOrEqual(t, time.Since(began), 2*callPause)
		})
	}
}

func TestEventsThatCannotBe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nobody")
	err := Events(t.Context(), "start_server", path, &bytes.Buffer{}, &bytes.Buffer{}, false)
	assert.ErrorIs(t, err, control.ErrNobody)
	assert.EqualError(t, err, fmt.Sprintf("control socket %q: no start_server listens there", path))

	_, _, err = eventsOf(t, false, []string{`{"version":1,"ok":false,"error":"64 clients are too many"}`})
	assert.EqualError(t, err, "64 clients are too many")
	_, _, err = eventsOf(t, false, []string{subscribed, standing, "hello"})
	assert.ErrorContains(t, err, "the answer is not that of a superdaemon")

	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	defer w.Close()
	err = Events(t.Context(), "start_server", superdaemon(t, []string{subscribed, standing, `{"version":1,"event":"auto-restart"}`}), w, &bytes.Buffer{}, false)
	assert.ErrorIs(t, err, syscall.EPIPE)
}

func TestEventsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "ctl")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, line := range []string{subscribed, standing} {
			_, _ = in.ReadString('\n')
			fmt.Fprintln(conn, line)
		}
		cancel()
		_, _ = in.ReadString('\n') // until the client hangs up
	}()
	var notes bytes.Buffer
	require.NoError(t, Events(ctx, "start_server", path, &bytes.Buffer{}, &notes, false))
	assert.Empty(t, notes.String())
}
