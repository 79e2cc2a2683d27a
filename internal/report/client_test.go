package report

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestClientsEventOfEveryEvent(t *testing.T) {
	t.Parallel()
	one, two := supervise.Worker{Generation: 3, Slot: 0, Pid: 11}, supervise.Worker{Generation: 3, Slot: 1, Pid: 12}
	id, other := &control.ID{Generation: 3, Slot: 0, Pid: 11}, control.ID{Generation: 3, Slot: 1, Pid: 12}
	both, ids := []supervise.Worker{one, two}, []control.ID{*id, other}
	failure := supervise.Failure{Worker: one, Status: 256, Lived: 1500 * time.Millisecond}
	const why = "new worker 11 of generation 3 failed after 1.5s: exit code 1"
	nobody := supervise.Failure{Worker: supervise.Worker{Generation: 3, Slot: 1}, Err: errors.New("no such file")}
	status, five := 256, 5.0
	names := map[string]bool{}
	kinds := map[reflect.Type]bool{}
	for _, row := range []struct {
		event supervise.Event
		then  control.Event
	}{
		{supervise.RestartAsked{Cause: "HUP"}, control.Event{Event: "restart-asked"}},
		{supervise.Refused{Cause: "HUP"}, control.Event{}},
		{supervise.AutoRestart{After: time.Second}, control.Event{Event: "auto-restart"}},
		{supervise.Started{Worker: one}, control.Event{Event: "started", Worker: id}},
		{supervise.Proven{Worker: one, After: 1500 * time.Millisecond}, control.Event{Event: "proven", Worker: id, Seconds: 1.5}},
		{supervise.Noticed{Worker: one, Status: "loading"}, control.Event{Event: "says", Worker: id, Says: "loading"}},
		{supervise.StrangeNotice{Pid: 99}, control.Event{}},
		{supervise.NotReady{Failure: failure, Signal: syscall.SIGTERM}, control.Event{Event: "not-ready", Worker: id, Seconds: 1.5}},
		{supervise.AttemptFailed{Failure: failure}, control.Event{Event: "failed", Generation: 3, Worker: id, Reason: why}},
		{supervise.AttemptFailed{Failure: nobody}, control.Event{Event: "failed", Generation: 3, Worker: &control.ID{Generation: 3, Slot: 1}, Reason: "generation 3 could not be started: no such file"}},
		{supervise.GaveUp{Failure: failure, Serving: true}, control.Event{Event: "gave-up", Generation: 3, Reason: why}},
		{supervise.TookOver{Worker: two, Old: one, Delay: 1500 * time.Millisecond}, control.Event{Event: "took-over", Worker: &other, Workers: ids[:1], Seconds: 1.5}},
		{supervise.TookOver{Worker: two}, control.Event{Event: "took-over", Worker: &other}},
		{supervise.WentLive{Generation: 4, Old: both, Delay: 1500 * time.Millisecond}, control.Event{Event: "live", Generation: 4, Workers: ids, Seconds: 1.5}},
		{supervise.WentLive{Generation: 4}, control.Event{Event: "live", Generation: 4}},
		{supervise.Retiring{Workers: both, Signal: syscall.SIGTERM}, control.Event{Event: "retiring", Workers: ids, Signal: "TERM"}},
		{supervise.Shrinking{Workers: both, Signal: syscall.SIGQUIT}, control.Event{Event: "retiring", Workers: ids, Signal: "QUIT"}},
		{supervise.Died{Worker: one, Status: 256, Signal: syscall.SIGTERM}, control.Event{Event: "exited", Worker: id, Status: &status, Reason: "exit code 1", Signal: "TERM"}},
		{supervise.Died{Worker: one, Status: 256}, control.Event{Event: "exited", Worker: id, Status: &status, Reason: "exit code 1"}},
		{supervise.RefillFailed{Failure: failure}, control.Event{Event: "refill-failed", Reason: why}},
		{supervise.Resized{Workers: 4}, control.Event{Event: "resized", Wanted: 4}},
		{supervise.Signalled{Workers: both, Signal: syscall.SIGHUP}, control.Event{Event: "signalled", Workers: ids, Signal: "HUP"}},
		{supervise.SignalFailed{Worker: one, Signal: syscall.SIGHUP}, control.Event{}},
		{supervise.Killed{Worker: one, After: 1500 * time.Millisecond}, control.Event{Event: "killed", Worker: id, Seconds: 1.5}},
		{supervise.StopDelayed{Delay: 1500 * time.Millisecond}, control.Event{Event: "stop-delayed", Seconds: 1.5}},
		{supervise.StopAsked{Workers: both, Signal: syscall.SIGINT}, control.Event{Event: "stopping", Workers: ids, Signal: "INT"}},
		{supervise.Serving{Workers: both}, control.Event{}},
		{supervise.Canary{Generation: 4, Share: supervise.All / 20, For: 1500 * time.Millisecond}, control.Event{Event: "canary", Generation: 4, Percent: &five, Seconds: 1.5}},
		{supervise.RolledBack{From: 4, To: 3, Cause: "rollback requested"}, control.Event{Event: "rolled-back", Generation: 3, Reason: "rollback requested"}},
		{supervise.Promoted{Generation: 4, Cause: "promote requested"}, control.Event{Event: "promoted", Generation: 4}},
		{supervise.StandbyOver{Generation: 3}, control.Event{Event: "standby-over", Generation: 3}},
		{supervise.SideBusy{Workers: both}, control.Event{Event: "waiting", Workers: ids}},
		{supervise.Hung{Worker: one, Silent: 1500 * time.Millisecond}, control.Event{Event: "hung", Worker: id, Seconds: 1.5}},
		{supervise.Hung{Worker: one, Probe: "answer 500"}, control.Event{Event: "hung", Worker: id, Reason: "answer 500"}},
		{supervise.TooOld{Worker: one, Age: 1500 * time.Millisecond}, control.Event{Event: "too-old", Worker: id, Seconds: 1.5}},
		{supervise.TooLarge{Worker: one, Memory: 2 << 20, Limit: 1 << 20}, control.Event{Event: "too-large", Worker: id}},
		{supervise.Renewed{Worker: two, Old: one, Signal: syscall.SIGTERM, Delay: 1500 * time.Millisecond}, control.Event{Event: "renewed", Worker: &other, Workers: ids[:1], Seconds: 1.5}},
		{supervise.Renewed{Worker: two}, control.Event{Event: "renewed", Worker: &other}},
		{supervise.RenewalFailed{Failure: failure, Pause: time.Second}, control.Event{Event: "renewal-failed", Worker: id, Reason: why}},
		{supervise.LeftBehind{Worker: one, Pids: []int{12}}, control.Event{}},
		{supervise.LeftKilled{Worker: one}, control.Event{}},
	} {
		kinds[reflect.TypeOf(row.event)] = true
		assert.Equal(t, row.then, ClientEvent(row.event), "%T", row.event)
		names[row.then.Event] = true
	}
	assert.Len(t, kinds, 35, "kinds of events")
	delete(names, "")
	assert.Equal(t, EventNames(), slices.Sorted(maps.Keys(names)))
}

func TestWithoutAControlSocketNobodyHears(t *testing.T) {
	t.Parallel()
	assert.NotPanics(t, func() {
		c := &Clients{}
		c.Hear(supervise.RestartAsked{})
		c.Hear(supervise.Tally{})
	})
}
