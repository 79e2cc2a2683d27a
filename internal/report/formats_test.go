package report

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// row is the log line of an event in each format: plain, the text after the time, and the JSON
// object without the time and the text. "": there is no line.
type row struct {
	event             supervise.Event
	plain, time, json string
}

// same is a row whose text is the same everywhere.
func same(e supervise.Event, text, json string) row { return row{e, text, text, json} }

// eventsInEachFormat has each kind of event at least once.
func eventsInEachFormat() []row {
	one, two := supervise.Worker{Generation: 3, Slot: 0, Pid: 11}, supervise.Worker{Generation: 3, Slot: 1, Pid: 12}
	both, term := []supervise.Worker{one, two}, syscall.SIGTERM
	died := supervise.Failure{Worker: one, Status: 256, Lived: time.Second}
	late := supervise.Failure{Worker: one, Lived: time.Second, Late: true, Said: "status:0"}
	nobody := supervise.Failure{Worker: supervise.Worker{Generation: 3, Slot: 1}, Err: errors.New("no such file")}
	const worker11 = `"generation":3,"slot":0,"pid":11`
	return []row{
		same(supervise.RestartAsked{Cause: "HUP"}, "HUP, spawning a new worker", `"level":"notice","event":"restart-asked"`),
		same(supervise.Refused{Cause: "HUP"}, "HUP while stopping: ignored", `"level":"warning","event":"refused"`),
		same(supervise.AutoRestart{After: time.Second}, "autorestart triggered (interval=1)", `"level":"notice","event":"auto-restart"`),
		same(supervise.Started{Worker: one}, "starting new worker 11", `"level":"info","event":"started",`+worker11),
		same(supervise.Proven{Worker: one, After: time.Second, Ready: true}, "worker 11 is ready after 1 secs", `"level":"info","event":"proven",`+worker11),
		same(supervise.Noticed{Worker: one, Status: "loading"}, `worker 11 says: "loading"`, `"level":"info","event":"says",`+worker11),
		same(supervise.StrangeNotice{Pid: 99}, "ignored a notice from process 99: it belongs to no worker, or ended before that could be seen", `"level":"warning","event":"strange-notice","pid":99`),
		same(supervise.NotReady{Failure: late, Signal: term}, "worker 11 was not ready after 1 secs, sending TERM", `"level":"warning","event":"not-ready",`+worker11+`,"signal":"TERM"`),
		{supervise.AttemptFailed{Failure: died}, "new worker 11 seems to have failed to start, exit status:256", "new worker 11 seems to have failed to start, exit status:256 (exit code 1)",
			`"level":"error","event":"failed",` + worker11 + `,"status":256,"exit":"exit code 1"`},
		{supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Status: 139, Said: "x"}, Slow: true, Pause: time.Second},
			"new worker 11 seems to have failed to start, exit status:139, its last status: \"x\"\nsleeping 1 secs before the next attempt",
			"new worker 11 seems to have failed to start, exit status:139 (killed by signal 11 (SEGV), core dumped), its last status: \"x\"\nsleeping 1 secs before the next attempt",
			`"level":"error","event":"failed",` + worker11 + `,"status":139,"exit":"killed by signal 11 (SEGV), core dumped"`},
		same(supervise.AttemptFailed{Failure: late}, `new worker 11 seems to have failed to start, not ready after 1 secs, its last status: "status:0"`, `"level":"error","event":"failed",`+worker11),
		same(supervise.AttemptFailed{Failure: nobody}, "new worker of generation 3 failed to start: no such file", `"level":"error","event":"failed","generation":3,"slot":1`),
		same(supervise.GaveUp{Failure: died, Attempts: 1, Serving: true}, "giving the restart up after 1 failed attempt, the old workers serve on: new worker 11 of generation 3 failed after 1s: exit code 1",
			`"level":"error","event":"gave-up",`+worker11+`,"status":256,"exit":"exit code 1"`),
		same(supervise.TookOver{Worker: two, Old: one, Signal: term}, "new worker 12 is now running in slot 1, sending TERM to old workers:11", `"level":"notice","event":"took-over","generation":3,"slot":1,"pid":12,"pids":[11],"signal":"TERM"`),
		same(supervise.WentLive{Generation: 4, Old: both, Signal: term}, "new worker is now running, sending TERM to old workers:11,12", `"level":"notice","event":"live","generation":4,"pids":[11,12],"signal":"TERM"`),
		same(supervise.WentLive{Generation: 4, Old: both}, "new worker is now running, and the old ones stay:11,12", `"level":"notice","event":"live","generation":4,"pids":[11,12]`),
		same(supervise.WentLive{Generation: 4}, "", ""),
		same(supervise.WentLive{Generation: 4, Signal: term, Asked: true}, "new worker is now running, sending TERM to old workers:none", `"level":"notice","event":"live","generation":4`),
		same(supervise.Retiring{Workers: both, Signal: term}, "killing old workers", `"level":"info","event":"retiring","pids":[11,12],"signal":"TERM"`),
		{supervise.Died{Worker: one, Status: 9, Replaced: true}, "worker 11 died unexpectedly with status:9, restarting", "worker 11 died unexpectedly with status:9 (killed by signal 9 (KILL)), restarting",
			`"level":"warning","event":"exited",` + worker11 + `,"status":9,"exit":"killed by signal 9 (KILL)"`},
		{supervise.Died{Worker: one, Old: true, Replaced: true}, "old worker 11 died, status:0", "old worker 11 died, status:0 (exit code 0)", `"level":"info","event":"exited",` + worker11 + `,"status":0,"exit":"exit code 0"`},
		{supervise.Died{Worker: one, Status: 15, Stop: true}, "worker 11 died, status:15", "worker 11 died, status:15 (killed by signal 15 (TERM))", `"level":"info","event":"exited",` + worker11 + `,"status":15,"exit":"killed by signal 15 (TERM)"`},
		same(supervise.RefillFailed{Failure: nobody}, "cannot start a worker: no such file", `"level":"error","event":"refill-failed","generation":3,"slot":1`),
		same(supervise.Resized{Cause: "TTIN", Workers: 3}, "TTIN, running 3 workers from now on", `"level":"notice","event":"resized"`),
		same(supervise.Shrinking{Workers: both, Signal: term}, "sending TERM to workers in excess:11,12", `"level":"info","event":"retiring","pids":[11,12],"signal":"TERM"`),
		same(supervise.StopDelayed{Cause: "TERM", Delay: time.Second}, "TERM, serving on for 1 secs before stopping", `"level":"notice","event":"stop-delayed"`),
		same(supervise.StopAsked{Cause: "TERM", Signal: term, Workers: both}, "TERM, sending TERM to all workers:11,12", `"level":"notice","event":"stopping","pids":[11,12],"signal":"TERM"`),
		same(supervise.Killed{Worker: one, After: time.Second}, "worker 11 is still there 1 secs after it was told to go, sending KILL", `"level":"warning","event":"killed",`+worker11+`,"signal":"KILL"`),
		same(supervise.Signalled{Cause: "asked for", Signal: syscall.SIGINT, Workers: both}, "asked for, sending INT to workers:11,12", `"level":"info","event":"signalled","pids":[11,12],"signal":"INT"`),
		same(supervise.SignalFailed{Worker: one, Signal: term, Err: errors.New("gone")}, "cannot send TERM to worker 11: gone", `"level":"error","event":"signal-failed",`+worker11+`,"signal":"TERM"`),
		same(supervise.LeftBehind{Worker: one, Pids: []int{21}, Signal: term}, "worker 11 has left processes of its group behind, sending TERM to them:21", `"level":"warning","event":"left-behind",`+worker11+`,"pids":[21],"signal":"TERM"`),
		same(supervise.LeftKilled{Worker: one, After: time.Second}, "what worker 11 has left behind is still there 1 secs after it was told to go, sending KILL", `"level":"warning","event":"left-killed",`+worker11+`,"signal":"KILL"`),
		same(supervise.Canary{Generation: 4, Share: 500, For: time.Second}, "generation 4 has proved itself, and gets 5 % of the connections for 1 secs", `"level":"notice","event":"canary","generation":4`),
		same(supervise.RolledBack{Cause: "rollback", From: 4, To: 3}, "rollback: generation 3 gets all connections again, and generation 4 is told to go", `"level":"warning","event":"rolled-back","generation":3`),
		same(supervise.Promoted{Cause: "promote", Generation: 4}, Line(supervise.Promoted{Cause: "promote", Generation: 4}, true), `"level":"notice","event":"promoted","generation":4`),
		same(supervise.StandbyOver{Generation: 3}, Line(supervise.StandbyOver{Generation: 3}, true), `"level":"info","event":"standby-over","generation":3`),
		same(supervise.SideBusy{Workers: both}, Line(supervise.SideBusy{Workers: both}, true), `"level":"info","event":"waiting","pids":[11,12]`),
		same(supervise.Cleared{Connections: 2}, "closed 2 connections that no worker had accepted", `"level":"warning","event":"cleared"`),
		same(supervise.SplitFailed{Err: errors.New("no")}, "connections do not go where they should: no", `"level":"error","event":"split-failed"`),
		same(supervise.Hung{Worker: one, Silent: time.Second}, "worker 11 in slot 0 hangs: it has not said for 1 secs that it is alive", `"level":"warning","event":"hung",`+worker11),
		same(supervise.Hung{Worker: one, Probe: "http://web/: status 500"}, "worker 11 in slot 0 hangs, as it does not pass its probe: http://web/: status 500", `"level":"warning","event":"hung",`+worker11),
		same(supervise.TooOld{Worker: one, Age: time.Hour}, "worker 11 in slot 0 is 3600 secs old, and gets a successor", `"level":"notice","event":"too-old",`+worker11),
		same(supervise.TooLarge{Worker: one, Memory: 3 << 20, Limit: 2 << 20}, "worker 11 in slot 0 has 3.0 MB of memory, more than the limit of 2.0 MB, and gets a successor", `"level":"warning","event":"too-large",`+worker11),
		same(supervise.TooLarge{Worker: one, Memory: 3 << 20, Limit: 2 << 20, Since: true},
			"worker 11 in slot 0 has had 3.0 MB of memory since its start, more than the limit of 2.0 MB: it is not replaced, as the next one would have as much", `"level":"warning","event":"too-large",`+worker11),
		same(supervise.Renewed{Worker: two, Old: one, Signal: term}, "new worker 12 has slot 1, sending TERM to worker 11", `"level":"notice","event":"renewed","generation":3,"slot":1,"pid":12,"pids":[11],"signal":"TERM"`),
		same(supervise.Renewed{Worker: two}, "new worker 12 has slot 1", `"level":"notice","event":"renewed","generation":3,"slot":1,"pid":12`),
		same(supervise.RenewalFailed{Failure: died, Pause: time.Second}, "new worker 11 of generation 3 failed after 1s: exit code 1: the old worker in slot 0 stays, sleeping 1 secs before the next successor",
			`"level":"error","event":"renewal-failed",`+worker11+`,"status":256,"exit":"exit code 1"`),
		same(supervise.Serving{Workers: both}, "", ""),
		same(supervise.Tally{}, "", ""),
	}
}

// inFormat is the log line of an event in a format.
func inFormat(e supervise.Event, f output.Format) string {
	out := newWritten()
	out.SetForm(output.Form{Format: f}, "")
	(&Log{Out: out.Output, Verbose: true}).Hear(e)
	return out.lines()
}

func TestEveryEventInEachFormat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stamp := time.Now().Format("2006-01-02T15:04:05.000Z07:00")
		for _, r := range eventsInEachFormat() {
			plain, inTime, object := "", "", ""
			if r.plain != "" {
				plain = r.plain + "\n"
				inTime = stamp + " " + strings.ReplaceAll(r.time, "\n", "\n"+stamp+" ") + "\n"
				text := strings.NewReplacer(`"`, `\"`, "\n", `\u000a`).Replace(r.time)
				object = `{"time":"` + stamp + `",` + r.json + `,"text":"` + text + "\"}\n"
			}
			assert.Equal(t, plain, inFormat(r.event, output.Plain), "%T", r.event)
			assert.Equal(t, inTime, inFormat(r.event, output.Time), "%T", r.event)
			assert.Equal(t, object, inFormat(r.event, output.JSON), "%T", r.event)
		}
	})
}

// An event has the same name in the log as on the control socket, and each event that has a line
// has a name.
func TestEventsHaveTheNamesOfTheControlSocket(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{}
	for _, r := range eventsInEachFormat() {
		kinds[reflect.TypeOf(r.event).Name()] = true
		entry := entryOf(r.event)
		if told := ClientEvent(r.event).Event; told != "" {
			assert.Equal(t, told, entry.Event, "%T", r.event)
		}
		if r.plain != "" {
			assert.NotEmpty(t, entry.Event, "%T", r.event)
		}
	}
	for _, name := range eventsOf(t, "../supervise") {
		assert.True(t, kinds[name], "%s is not in the table", name)
	}
}

// eventsOf are the names of the types in a package that have a method event.
func eventsOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "event" && f.Recv != nil {
				names = append(names, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	require.Greater(t, len(names), 30)
	return names
}
