package collect

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// The classes depend on the words that the superdaemon uses.
func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	w := supervise.Worker{Generation: 2, Pid: 7}
	for want, f := range map[string]supervise.Failure{
		ReasonStart:    {Worker: w, Err: errors.New("fork: exit code 1")},
		ReasonExit:     {Worker: w, Status: 3 << 8},
		ReasonSignal:   {Worker: w, Status: 11, Said: "could not be started"},
		ReasonLate:     {Worker: w, Late: true, Said: "exit code 3"},
		ReasonProbe:    {Worker: w, Probe: "exit code 3"},
		ReasonUnfit:    {Worker: w, Unfit: true},
		ReasonRollback: {Worker: w, Share: supervise.All / 10, RolledBack: "asked for by process 5"},
	} {
		assert.Equal(t, want, reason(f.Error()), f.Error())
	}
	canary := supervise.Failure{Worker: w, Share: supervise.All / 10, Probe: "503"}
	assert.Equal(t, ReasonProbe, reason(canary.Error()))
	canary = supervise.Failure{Worker: w, Share: supervise.All / 10, Status: 9}
	assert.Equal(t, ReasonSignal, reason(canary.Error()))
	assert.Equal(t, ReasonOther, reason("the moon is full"))
}

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	c := newCounts()
	status := func(n int) *int { return &n }
	for _, e := range []Event{
		{Event: "failed", Reason: "exit code 1"}, {Event: "refill-failed"}, {Event: "killed"},
		{Event: "exited", Status: status(0)}, {Event: "exited", Status: status(256)}, {Event: "exited", Status: status(9)},
		{Event: "exited", Status: status(15), Signal: "TERM"}, {Event: "exited", Status: status(143 << 8), Signal: "TERM"}, {Event: "exited", Status: status(0), Signal: "TERM"},
		{Event: "exited"},
		{Event: "proven", Seconds: 0.3}, {Event: "proven", Seconds: 1000}, {Event: "live"},
	} {
		c.hear(e)
	}
	assert.Equal(t, uint64(1), c.Failures[ReasonExit])
	assert.Equal(t, uint64(1), c.Failures[ReasonRefill])
	assert.Equal(t, uint64(1), c.Kills)
	assert.Equal(t, map[string]uint64{ExitZero: 2, ExitNonzero: 1, ExitSignal: 1, ExitTold: 2}, c.Exits)
	assert.Equal(t, uint64(2), c.Ready.Count)
	assert.Equal(t, uint64(0), c.Ready.Buckets[0.25])
	assert.Equal(t, uint64(1), c.Ready.Buckets[0.5])
	copied := c.copied()
	c.hear(Event{Event: "failed"})
	assert.Zero(t, copied.Failures[ReasonOther])
}
