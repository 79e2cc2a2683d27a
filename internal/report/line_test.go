package report

import (
	"errors"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// linesOfEvents are the log lines of every kind of event, which operators grep for.
func linesOfEvents() map[string]struct {
	event   supervise.Event
	verbose bool
	line    string
} {
	type row = struct {
		event   supervise.Event
		verbose bool
		line    string
	}
	one, two := supervise.Worker{Generation: 3, Slot: 0, Pid: 11}, supervise.Worker{Generation: 3, Slot: 1, Pid: 12}
	both := []supervise.Worker{one, two}
	died := supervise.Failure{Worker: one, Status: 256, Lived: 200 * time.Millisecond}
	unready := supervise.Failure{Worker: one, Lived: 3004 * time.Microsecond * 1000, Late: true, Said: "boot\n"}
	nobody := supervise.Failure{Worker: supervise.Worker{Generation: 3}, Err: errors.New("no such file")}
	term := syscall.SIGTERM
	return map[string]row{
		"restart asked":               {supervise.RestartAsked{Cause: "received HUP"}, false, "received HUP, spawning a new worker"},
		"restart asked, one starts":   {supervise.RestartAsked{Cause: "received HUP", Pending: true}, false, "received HUP, spawning a new worker as soon as the one that is starting has succeeded or failed"},
		"refused":                     {supervise.Refused{Cause: "received HUP"}, false, "received HUP while stopping: ignored"},
		"auto-restart":                {supervise.AutoRestart{After: 2 * time.Second}, false, "autorestart triggered (interval=2)"},
		"auto-restart, forced":        {supervise.AutoRestart{After: 1500 * time.Millisecond, Forced: true}, false, "autorestart triggered (forced, interval=1.5)"},
		"started":                     {supervise.Started{Worker: one}, false, "starting new worker 11"},
		"proven by living":            {supervise.Proven{Worker: one, After: time.Second}, false, ""},
		"proven by living, verbose":   {supervise.Proven{Worker: one, After: 1000400 * time.Microsecond}, true, "worker 11 has lived for 1 secs"},
		"proven by saying so":         {supervise.Proven{Worker: one, After: 1234567 * time.Microsecond, Ready: true}, false, "worker 11 is ready after 1.235 secs"},
		"says":                        {supervise.Noticed{Worker: one, Status: "loading"}, false, ""},
		"says, verbose":               {supervise.Noticed{Worker: one, Status: "load\ting"}, true, `worker 11 says: "load\ting"`},
		"strange notice":              {supervise.StrangeNotice{Pid: 99}, false, "ignored a notice from process 99: it belongs to no worker, or ended before that could be seen"},
		"strange notices":             {supervise.StrangeNotice{Pid: 99, More: 4}, false, "ignored a notice from process 99: it belongs to no worker, or ended before that could be seen, and 4 more since the last such line"},
		"not ready":                   {supervise.NotReady{Failure: unready, Signal: term}, false, "worker 11 was not ready after 3.004 secs, sending TERM"},
		"not ready, by its probe":     {supervise.NotReady{Failure: supervise.Failure{Worker: one, Lived: 3 * time.Second, Probe: "answer\n500"}, Signal: term}, false, "worker 11 has not passed its probe after 3 secs, sending TERM: answer?500"},
		"failed":                      {supervise.AttemptFailed{Failure: died, Pause: time.Second}, false, "new worker 11 seems to have failed to start, exit status:256"},
		"failed, the pause has grown": {supervise.AttemptFailed{Failure: died, Pause: 2040 * time.Millisecond, Slow: true}, false, "new worker 11 seems to have failed to start, exit status:256\nsleeping 2 secs before the next attempt"},
		"failed, having said a thing": {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Status: 9, Said: "no db"}, Pause: -1}, false, `new worker 11 seems to have failed to start, exit status:9, its last status: "no db"`},
		"failed, as it is late":       {supervise.AttemptFailed{Failure: unready, Pause: -1}, false, `new worker 11 seems to have failed to start, not ready after 3.004 secs, its last status: "boot\n"`},
		"failed, late and silent":     {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Lived: 3 * time.Second, Late: true}, Pause: -1}, false, "new worker 11 seems to have failed to start, not ready after 3 secs"},
		"failed, as it never was":     {supervise.AttemptFailed{Failure: nobody, Pause: -1}, false, "new worker of generation 3 failed to start: no such file"},
		"failed, being unfit":         {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Unfit: true}, Pause: -1}, false, "new worker 11 seems to have failed to start: it says that it is not fit to serve"},
		"failed, unfit, and says why": {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Unfit: true, Said: "no db"}, Pause: -1}, false, `new worker 11 seems to have failed to start: it says that it is not fit to serve, its last status: "no db"`},
		"failed, by its probe":        {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Lived: 3004 * time.Millisecond, Probe: "answer\n500", Late: true, Said: "boot"}, Pause: -1}, false, "new worker 11 seems to have failed to start, its probe not passed after 3.004 secs: answer?500"},
		"failed as a canary":          {supervise.AttemptFailed{Failure: supervise.Failure{Worker: one, Status: 256, Lived: time.Second, Share: 500, Given: 7}, Pause: -1}, false, "generation 3 failed with 5 % of the connections, 7 so far: worker 11 ended after 1s: exit code 1: its clients go to the old one again"},
		"failed, a canary never was":  {supervise.AttemptFailed{Failure: supervise.Failure{Worker: supervise.Worker{Generation: 3}, Share: 500, Err: errors.New("no such file")}, Pause: -1}, false, "new worker of generation 3 failed to start: no such file"},
		"gave up, old ones serve":     {supervise.GaveUp{Failure: died, Attempts: 1, Serving: true}, false, "giving the restart up after 1 failed attempt, the old workers serve on: new worker 11 of generation 3 failed after 200ms: exit code 1"},
		"gave up in the middle":       {supervise.GaveUp{Failure: died, Attempts: 2, Serving: true, Replaced: 1}, false, "giving the restart up after 2 failed attempts, 1 worker is new, the old ones serve on: new worker 11 of generation 3 failed after 200ms: exit code 1"},
		"gave up with several new":    {supervise.GaveUp{Failure: died, Attempts: 2, Serving: true, Replaced: 2}, false, "giving the restart up after 2 failed attempts, 2 workers are new, the old ones serve on: new worker 11 of generation 3 failed after 200ms: exit code 1"},
		"gave up, nobody serves":      {supervise.GaveUp{Failure: died, Attempts: 2}, false, ""},
		"took over":                   {supervise.TookOver{Worker: two, Old: supervise.Worker{Generation: 2, Slot: 1, Pid: 7}, Signal: syscall.SIGINT}, false, "new worker 12 is now running in slot 1, sending INT to old workers:7"},
		"took over, delayed":          {supervise.TookOver{Worker: two, Old: supervise.Worker{Generation: 2, Slot: 1, Pid: 7}, Delay: 5 * time.Second, Signal: term}, false, "new worker 12 is now running in slot 1, sending TERM to old workers:7\nsleeping 5 secs before killing old workers"},
		"took an empty slot over":     {supervise.TookOver{Worker: two, Delay: 5 * time.Second, Signal: term}, false, "new worker 12 is now running in slot 1, sending TERM to old workers:none"},
		"stands by no longer":         {supervise.StandbyOver{Generation: 3}, false, "generation 3 stands by no longer: its sockets are for the next one"},
		"stands by no longer, died":   {supervise.StandbyOver{Generation: 3, Died: both[0]}, false, "generation 3 stands by no longer, as its worker 11 has died"},
		"live at the start":           {supervise.WentLive{Generation: 1}, false, ""},
		"live, asked for":             {supervise.WentLive{Generation: 3, Asked: true, Signal: term}, false, "new worker is now running, sending TERM to old workers:none"},
		"live after a crash":          {supervise.WentLive{Generation: 3, Old: both, Signal: syscall.SIGINT}, false, "new worker is now running, sending INT to old workers:11,12"},
		"live, delayed":               {supervise.WentLive{Generation: 3, Asked: true, Old: both, Delay: 1500 * time.Millisecond, Signal: term}, false, "new worker is now running, sending TERM to old workers:11,12\nsleeping 1.5 secs before killing old workers"},
		"live, delayed, none old":     {supervise.WentLive{Generation: 3, Asked: true, Delay: time.Second, Signal: term}, false, "new worker is now running, sending TERM to old workers:none"},
		"live, rolled":                {supervise.WentLive{Generation: 3, Asked: true, Rolled: true, Old: both, Signal: term}, false, "all workers are of generation 3 now"},
		"live, and old ones stay":     {supervise.WentLive{Generation: 3, Asked: true, Old: both}, false, "new worker is now running, and the old ones stay:11,12"},
		"live, and old ones stand by": {supervise.WentLive{Generation: 3, Asked: true, Old: both, Standby: true, Delay: 1500 * time.Millisecond, Signal: term}, false, "new worker is now running, old workers stand by for 1.5 secs:11,12"},
		"retiring":                    {supervise.Retiring{Workers: both, Signal: syscall.SIGTERM}, false, "killing old workers"},
		"died":                        {supervise.Died{Worker: one, Status: 15, Replaced: true}, false, "worker 11 died unexpectedly with status:15, restarting"},
		"died, an heir starts":        {supervise.Died{Worker: one, Status: 15, Old: true, Replaced: true}, false, "old worker 11 died, status:15"},
		"died, one too many":          {supervise.Died{Worker: one, Status: 0, Old: true}, false, "old worker 11 died, status:0"},
		"died, retired":               {supervise.Died{Worker: one, Status: 256, Old: true}, false, "old worker 11 died, status:256"},
		"died, of a failed attempt":   {supervise.Died{Worker: one, Status: 15, Old: true}, false, "old worker 11 died, status:15"},
		"died at the stop":            {supervise.Died{Worker: one, Status: 15, Old: true, Stop: true}, false, "worker 11 died, status:15"},
		"died, and is not replaced":   {supervise.Died{Worker: one, Status: 15, Replaced: false}, false, "worker 11 died, status:15"},
		"refill failed":               {supervise.RefillFailed{Failure: died, Pause: time.Second}, false, ""},
		"refill failed again":         {supervise.RefillFailed{Failure: supervise.Failure{Worker: two, Status: 256}, Pause: 4 * time.Second, Slow: true}, false, "sleeping 4 secs before the next worker in slot 1"},
		"refill failed to start":      {supervise.RefillFailed{Failure: nobody, Pause: 2 * time.Second, Slow: true}, false, "cannot start a worker: no such file\nsleeping 2 secs before the next worker in slot 0"},
		"resized":                     {supervise.Resized{Cause: "received TTIN", Workers: 3}, false, "received TTIN, running 3 workers from now on"},
		"resized to one":              {supervise.Resized{Cause: "received TTOU", Workers: 1}, false, "received TTOU, running 1 worker from now on"},
		"shrinking":                   {supervise.Shrinking{Workers: both, Signal: syscall.SIGQUIT}, false, "sending QUIT to workers in excess:11,12"},
		"stop delayed":                {supervise.StopDelayed{Cause: "received TERM", Delay: 5 * time.Second}, false, "received TERM, serving on for 5 secs before stopping"},
		"stop delayed, again":         {supervise.StopDelayed{Cause: "received TERM", Delay: 3456 * time.Millisecond, Repeated: true}, false, "received TERM again, serving on for 3.5 more secs"},
		"stop":                        {supervise.StopAsked{Cause: "received INT", Signal: syscall.SIGTERM, Workers: both}, false, "received INT, sending TERM to all workers:11,12"},
		"stop, again":                 {supervise.StopAsked{Cause: "received QUIT", Signal: syscall.SIGQUIT, Repeated: true, Workers: both}, false, "received QUIT again, still waiting for workers:11,12: kill -KILL 11 12 ends them"},
		"stop, again, of one":         {supervise.StopAsked{Cause: "received QUIT", Repeated: true, Workers: []supervise.Worker{one}}, false, "received QUIT again, still waiting for workers:11: kill -KILL 11 ends it"},
		"stop, again, of many":        {supervise.StopAsked{Cause: "received QUIT", Repeated: true, Workers: slices.Repeat(both, 5)}, false, "received QUIT again, still waiting for workers:11,12,11,12,11,12,11,12,11,12: KILL ends them"},
		"stop, again, of eight":       {supervise.StopAsked{Cause: "received QUIT", Repeated: true, Workers: slices.Repeat(both, 4)}, false, "received QUIT again, still waiting for workers:11,12,11,12,11,12,11,12: kill -KILL 11 12 11 12 11 12 11 12 ends them"},
		"stop, again, KILL comes":     {supervise.StopAsked{Cause: "received QUIT", Repeated: true, Workers: both, Kill: 6960 * time.Millisecond}, false, "received QUIT again, still waiting for workers:11,12: KILL follows in 7 secs"},
		"stop, again, all are gone":   {supervise.StopAsked{Cause: "received QUIT", Repeated: true, Kill: time.Second}, false, "received QUIT again, still waiting for workers:none"},
		"killed":                      {supervise.Killed{Worker: one, After: 500 * time.Millisecond}, false, "worker 11 is still there 0.5 secs after it was told to go, sending KILL"},
		"signalled":                   {supervise.Signalled{Cause: "received INT", Signal: syscall.SIGINT, Workers: both}, false, "received INT, sending INT to workers:11,12"},
		"signalled nobody":            {supervise.Signalled{Cause: "received INT", Signal: syscall.SIGINT}, false, "received INT, sending INT to workers:none"},
		"signal failed":               {supervise.SignalFailed{Worker: one, Signal: syscall.SIGINT, Err: errors.New("operation not permitted")}, false, "cannot send INT to worker 11: operation not permitted"},
		"serving":                     {supervise.Serving{Workers: both}, false, ""},
		"hung, as it is silent":       {supervise.Hung{Worker: one, Silent: 30004 * time.Millisecond}, false, "worker 11 in slot 0 hangs: it has not said for 30.004 secs that it is alive"},
		"hung, by its probe":          {supervise.Hung{Worker: two, Probe: "answer\n500"}, false, "worker 12 in slot 1 hangs, as it does not pass its probe: answer?500"},
		"too old":                     {supervise.TooOld{Worker: one, Age: 3600040 * time.Millisecond}, false, "worker 11 in slot 0 is 3600 secs old, and gets a successor"},
		"too large":                   {supervise.TooLarge{Worker: one, Memory: 3 << 29, Limit: 1 << 30}, false, "worker 11 in slot 0 has 1.5 GB of memory, more than the limit of 1.0 GB, and gets a successor"},
		"too large from the start":    {supervise.TooLarge{Worker: one, Memory: 3 << 19, Limit: 1 << 20, Since: true}, false, "worker 11 in slot 0 has had 1.5 MB of memory since its start, more than the limit of 1.0 MB: it is not replaced, as the next one would have as much"},
		"renewed":                     {supervise.Renewed{Worker: two, Old: supervise.Worker{Generation: 3, Slot: 1, Pid: 7}, Signal: syscall.SIGABRT}, false, "new worker 12 has slot 1, sending ABRT to worker 7"},
		"renewed, delayed":            {supervise.Renewed{Worker: two, Old: supervise.Worker{Generation: 3, Slot: 1, Pid: 7}, Signal: term, Delay: 5 * time.Second}, false, "new worker 12 has slot 1, sending TERM to worker 7\nsleeping 5 secs before killing old workers"},
		"renewed, the old one ended":  {supervise.Renewed{Worker: two}, false, "new worker 12 has slot 1"},
		"renewal failed":              {supervise.RenewalFailed{Failure: died, Pause: 2040 * time.Millisecond}, false, "new worker 11 of generation 3 failed after 200ms: exit code 1: the old worker in slot 0 stays, sleeping 2 secs before the next successor"},
		"left behind":                 {supervise.LeftBehind{Worker: one, Pids: []int{12, 13}, Signal: term}, false, "worker 11 has left processes of its group behind, sending TERM to them:12,13"},
		"left behind, and told":       {supervise.LeftBehind{Worker: one, Pids: []int{12, 13}, Signal: term, Told: true}, false, "worker 11 has left processes of its group behind, which were sent TERM when it was:12,13"},
		"left behind, killed":         {supervise.LeftKilled{Worker: one, After: 1500 * time.Millisecond}, false, "what worker 11 has left behind is still there 1.5 secs after it was told to go, sending KILL"},
	}
}

func TestLineOfEveryEvent(t *testing.T) {
	t.Parallel()
	kinds := map[reflect.Type]bool{}
	for name, row := range linesOfEvents() {
		kinds[reflect.TypeOf(row.event)] = true
		assert.Equal(t, row.line, Line(row.event, row.verbose), name)
	}
	assert.Len(t, kinds, 31, "kinds of events")
}
