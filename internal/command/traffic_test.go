package command

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// traffic is a made-up supervise.Traffic. Only a canary gets connections, and on side 1 some wait.
type traffic struct {
	mu    sync.Mutex
	given int
}

func (x *traffic) Split(int, int) error { return nil }
func (x *traffic) Take(int)             {}
func (x *traffic) Drain(int)            {}
func (x *traffic) Clear(int) int        { return 0 }

func (x *traffic) Count(int) (counted func() int, stop func()) {
	return func() int { x.mu.Lock(); defer x.mu.Unlock(); return x.given }, func() {}
}

// apart is live with generations that have their own sockets.
func apart(t *testing.T, config supervise.Config, what func(*house)) {
	t.Helper()
	t.Parallel()
	config.Traffic = &traffic{given: 7}
	waiting := func(h *house) { h.c.Waiting = func(side int) int { return 3 * side } }
	live(t, config, waiting, what)
}

// steps are the steps of a canary.
var steps = []supervise.Step{{Share: supervise.All / 20, For: 10 * time.Second}, {Share: supervise.All / 4, For: 20 * time.Second}}

func TestRollback(t *testing.T) {
	apart(t, supervise.Config{KeepOld: time.Minute}, func(h *house) {
		refused(t, "there is no generation to go back to: generation 1 serves, and none stands by", h.ask("rollback"))
		h.ask("restart")
		written := 0
		h.c.Written = func() { written++ }
		assert.Equal(t, control.Answer{OK: true, Message: "generation 1 gets all connections", Generation: 1}, h.ask("rollback"))
		assert.Equal(t, 1, written, "who has the answer may read the status file")
		assert.Equal(t, []supervise.RolledBack{{Cause: "rollback asked for by process 4711", From: 2, To: 1}}, heard[supervise.RolledBack](h))
		h.ask("stop")
		refused(t, stopping, h.ask("rollback"))
		assert.Equal(t, 1, written)
	})
}

func TestPromote(t *testing.T) {
	apart(t, supervise.Config{Canary: steps}, func(h *house) {
		refused(t, "there is no canary, and no old generation stands by", h.ask("promote"))
		go h.c.Do(operator, control.Request{Command: "restart"})
		h.passes(2 * time.Second)
		asked := time.Now()
		assert.Equal(t, control.Answer{OK: true, Message: "generation 2 is live", Generation: 2}, h.ask("promote"))
		assert.Zero(t, time.Since(asked))
		assert.Equal(t, []supervise.Promoted{{Cause: "promote asked for by process 4711", Generation: 2}}, heard[supervise.Promoted](h))
		h.ask("stop")
		refused(t, stopping, h.ask("promote"))
	})
}

func TestStatusOfACanary(t *testing.T) {
	apart(t, supervise.Config{Canary: steps}, func(h *house) {
		assert.Equal(t, []control.Traffic{{Generation: 1, Percent: 100}}, h.ask("status").Status.Traffic)
		go h.c.Do(operator, control.Request{Command: "restart"})
		h.passes(4 * time.Second)
		assert.Equal(t, []control.Traffic{
			{Generation: 1, Percent: 95},
			{Generation: 2, Percent: 5, Waiting: 3, Given: 7, SecondsLeft: seconds(7)},
		}, h.ask("status").Status.Traffic)
	})
}

func TestStatusOfAGenerationThatStandsBy(t *testing.T) {
	apart(t, supervise.Config{KeepOld: time.Minute}, func(h *house) {
		h.ask("restart")
		h.passes(20 * time.Second)
		assert.Equal(t, []control.Traffic{
			{Generation: 1, SecondsLeft: seconds(40), CanRollBack: true},
			{Generation: 2, Percent: 100, Waiting: 3},
		}, h.ask("status").Status.Traffic)
	})
}

// A request that waits for the superdaemon to run is dropped when its client goes away.
func TestRequestOfAClientThatHasGone(t *testing.T) {
	t.Parallel()
	c := &Commands{Sup: supervise.New(supervise.Config{}), Written: func() {}, Resizable: true, Acknowledged: true}
	gone := errors.New("the client has gone")
	for cause, then := range map[error]control.Answer{
		gone:                  {Error: "the client has gone"},
		control.ErrHandedOver: control.HandedOver(),
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		for _, row := range table {
			switch row.name {
			case "status", "state", "restart", "upgrade", "rollback", "promote", "stop", "die", "inc", "dec", "workers", "signal", "worker:ack":
				r := request{Request: control.Request{Command: row.name, Workers: 2, Signal: "HUP"}}
				assert.Equal(t, then, row.do(c, ctx, r), row.name)
			}
		}
	}
}

func TestSelfUpgrade(t *testing.T) {
	t.Parallel()
	var asked []control.Request
	var causes []string
	why := control.Answer{Error: "it does not run"}
	c := &Commands{Upgrade: func(r control.Request, cause string) control.Answer {
		asked, causes = append(asked, r), append(causes, cause)
		return why
	}}
	refused(t, `"executable" is missing: the path of the new one`, c.Do(operator, control.Request{Command: "self-upgrade", Args: []string{"--port=80"}}))
	assert.Empty(t, asked)
	r := control.Request{Command: "self-upgrade", Executable: "/usr/bin/start_server", Args: []string{"--port=80"}}
	assert.Equal(t, why, c.Do(operator, r))
	assert.Equal(t, []control.Request{r}, asked)
	assert.Equal(t, []string{"self-upgrade asked for by process 4711"}, causes)
}

func TestPictureIsTheStatusUntilTheEnd(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		picture := h.c.Picture()
		require.NotNil(t, picture)
		assert.Equal(t, h.ask("status").Status, picture)
		h.ask("stop")
		h.passes(0)
		assert.Nil(t, h.c.Picture())
	})
}
