package collect

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// at is a time so many seconds after a fixed one.
func at(seconds int) time.Time { return time.Unix(1e9, 0).Add(time.Duration(seconds) * time.Second) }

func TestLifeOfGenerations(t *testing.T) {
	t.Parallel()
	share := 5.0
	h := &history{}
	h.restate(&control.Status{Pid: 1, Started: at(0), Generation: 1, Workers: []control.Worker{
		{ID: control.ID{Generation: 1, Pid: 10}, State: supervise.StateLive, Age: 5, ReadyAfter: &[]float64{2}[0]},
	}}, at(10))
	for i, e := range []Event{
		{Event: "started", Generation: 2, Pid: 20},
		{Event: "proven", Generation: 2, Pid: 20},
		{Event: "canary", Generation: 2, Percent: &share},
		{Event: "live", Generation: 2},
		{Event: "retiring", Workers: []control.ID{{Generation: 1, Pid: 10}}},
		{Event: "exited", Generation: 1, Pid: 10},
		{Event: "started", Generation: 3, Pid: 30},
		{Event: "failed", Generation: 3, Pid: 30, Reason: "exit code 1"},
		{Event: "exited", Generation: 3, Pid: 30},
	} {
		e.Time.Time = at(20 + i)
		h.hear(e)
	}
	m := func(seconds int) Moment { return Moment{at(seconds)} }
	assert.Equal(t, []Generation{
		{Generation: 1, Began: m(5), Proved: m(7), Live: m(7), Retiring: m(24), Gone: m(25)},
		{Generation: 2, Began: m(20), Proved: m(21), Canary: m(22), Percent: 5, Live: m(23)},
		{Generation: 3, Began: m(26), Failed: m(27), Reason: "exit code 1", Gone: m(28)},
	}, h.view())
}

// Another superdaemon at the same path begins with generation 1 again.
func TestGenerationsOfAnotherSuperdaemon(t *testing.T) {
	t.Parallel()
	h := &history{}
	for i := range 2 {
		h.restate(&control.Status{Pid: 1 + i, Started: at(100 * i), Generation: 1, Workers: []control.Worker{
			{ID: control.ID{Generation: 1, Pid: 10 + i}, State: supervise.StateLive, Age: 1},
		}}, at(100*i+5))
	}
	all := h.view()
	require.Len(t, all, 2)
	assert.Equal(t, at(105), all[0].Gone.Time)
	assert.True(t, all[1].Gone.IsZero())
}

// If the time of the start differs, it is another superdaemon with the same pid: in a container each
// is process 1. If the uptime goes on, it is the same one, and the clock was set.
func TestSuperdaemonIsTheSameThoughTheClockIsSet(t *testing.T) {
	t.Parallel()
	for uptime, gone := range map[float64]bool{2: true, 65: false} {
		h := &history{}
		s := &control.Status{Pid: 1, Started: at(0), Uptime: 5, Generation: 1, Workers: []control.Worker{
			{ID: control.ID{Generation: 1, Pid: 10}, State: supervise.StateLive, Age: 1},
		}}
		h.restate(s, at(5))
		s.Started, s.Uptime = at(3600), uptime
		h.restate(s, at(65))
		assert.Equal(t, gone, !h.view()[0].Gone.IsZero(), "up %v s", uptime)
	}
}

// The status shows what missed events would have told. A status that is older than an event does not
// end anything for good.
func TestStatusMendsHistory(t *testing.T) {
	t.Parallel()
	h := &history{}
	now := &control.Status{Pid: 1, Started: at(0), Generation: 2, Workers: []control.Worker{
		{ID: control.ID{Generation: 1, Pid: 10}, State: supervise.StateDraining, Age: 50},
		{ID: control.ID{Generation: 2, Pid: 20}, State: supervise.StateLive, Age: 5},
	}}
	h.restate(now, at(60))
	assert.Equal(t, at(60), h.view()[0].Retiring.Time)
	h.hear(Event{Event: "started", Generation: 3, Pid: 30, Time: Moment{at(61)}})
	h.restate(now, at(61))
	assert.False(t, h.view()[2].Gone.IsZero())
	now.Starting = 3
	h.restate(now, at(62))
	assert.True(t, h.view()[2].Gone.IsZero())
	now.Workers = now.Workers[1:]
	h.restate(now, at(63))
	assert.Equal(t, at(63), h.view()[0].Gone.Time)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	h := &history{}
	s := &control.Status{Pid: 1, Started: at(0)}
	for i := range 10000 {
		h.hear(Event{Event: "started", Generation: i, Pid: i, Time: Moment{at(i)}})
		s.Workers = append(s.Workers, control.Worker{ID: control.ID{Generation: 20000 + i, Pid: i}})
	}
	h.restate(s, at(0))
	assert.LessOrEqual(t, len(h.view()), maxGenerations)
	h.hear(Event{Event: "live", Generation: -1})
	h.hear(Event{Event: "exited", Generation: 1 << 60, Pid: -5})
}
