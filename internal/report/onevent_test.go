package report

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestRulesOfEvents(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		spec  string
		rule  Rule
		fault string
	}{
		{"notify.sh", Rule{nil, "notify.sh"}, ""},
		{"live:notify.sh", Rule{[]string{"live"}, "notify.sh"}, ""},
		{"live,gave-up:curl -d @- http://x", Rule{[]string{"live", "gave-up"}, "curl -d @- http://x"}, ""},
		{"auto-restart,resized:notify.sh", Rule{[]string{"auto-restart", "resized"}, "notify.sh"}, ""},
		{"{:notify.sh", Rule{nil, "{:notify.sh"}, ""},
		{"`:notify.sh", Rule{nil, "`:notify.sh"}, ""},
		{"curl -d @- http://x", Rule{nil, "curl -d @- http://x"}, ""},
		{"liv:notify.sh", Rule{}, `"liv" is no event; there are auto-restart, canary, `},
		{"live,:notify.sh", Rule{}, `"" is no event`},
		{"live: ", Rule{}, "the command is missing"},
		{"", Rule{}, "the command is missing"},
		{"a\x00b", Rule{}, "a command holds no NUL"},
	} {
		rules, err := ParseRules([]string{row.spec})
		if row.fault != "" {
			assert.ErrorContains(t, err, row.fault, row.spec)
			continue
		}
		assert.NoError(t, err, row.spec)
		assert.Equal(t, []Rule{row.rule}, rules)
	}
}

// commands are made-up commands, which take a time each.
type commands struct {
	mu      sync.Mutex
	takes   time.Duration
	fails   error
	status  int // how they end by themselves
	started []Call
	running int
	killed  int
}

// calls are the calls whose commands were started.
func (c *commands) calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.started)
}

// kills is how many commands were killed.
func (c *commands) kills() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}

type commandRun struct {
	c     *commands
	ended chan int
}

func (r *commandRun) Pid() int { return 77 }

func (r *commandRun) Signal(sig os.Signal) error {
	if sig == os.Kill {
		r.c.mu.Lock()
		r.c.killed++
		r.c.mu.Unlock()
		r.ended <- 9
	}
	return nil
}

func (r *commandRun) Wait() int {
	status := r.c.status
	select {
	case <-time.After(r.c.takes):
	case status = <-r.ended:
	}
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	r.c.running--
	return status
}

// bubble runs a test of OnEvent in a bubble, with made-up commands, and returns what was
// logged.
func bubble(t *testing.T, rules []Rule, takes time.Duration, test func(o *OnEvent, c *commands)) []string {
	var lines []string
	synctest.Test(t, func(t *testing.T) {
		out, c := newWritten(), &commands{takes: takes}
		o := NewOnEvent(rules, out.Output, func(call Call) (Running, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.fails != nil {
				return nil, c.fails
			}
			c.started = append(c.started, call)
			c.running++
			assert.Equal(t, 1, c.running, "never more than one at a time")
			return &commandRun{c, make(chan int, 1)}, nil
		})
		test(o, c)
		o.End()
		synctest.Wait()
		for line := range strings.Lines(out.lines()) {
			lines = append(lines, strings.TrimSpace(line))
		}
	})
	return lines
}

func live(generation int) supervise.Event { return supervise.WentLive{Generation: generation} }

func TestCommandIsStartedForItsEvents(t *testing.T) {
	t.Parallel()
	rules := []Rule{{nil, "all"}, {[]string{"gave-up", "live"}, "some"}}
	lines := bubble(t, rules, time.Second, func(o *OnEvent, c *commands) {
		o.Hear(supervise.RestartAsked{Cause: "received HUP"})
		o.Hear(supervise.Serving{})
		o.Hear(live(3))
		time.Sleep(4 * time.Second)
		var names []string
		for _, call := range c.calls() {
			names = append(names, call.Command)
		}
		assert.Equal(t, []string{"all", "all", "some"}, names)
		assert.Equal(t, `{"version":1,"event":"restart-asked","time":946684800,"text":"received HUP, spawning a new worker"}`+"\n", c.calls()[0].Event)
	})
	assert.Empty(t, lines)
}

func TestOldestEventIsDropped(t *testing.T) {
	t.Parallel()
	lines := bubble(t, []Rule{{nil, "slow"}}, time.Second, func(o *OnEvent, c *commands) {
		for n := range 150 {
			o.Hear(live(n + 1))
			if n == 0 {
				synctest.Wait() // the first one is started
			}
		}
		time.Sleep(102 * time.Second)
		assert.Len(t, c.calls(), 101)
		assert.Contains(t, c.calls()[1].Event, `"generation":51}`)
		assert.Contains(t, c.calls()[100].Event, `"generation":150}`)
	})
	assert.Equal(t, []string{"49 events dropped, as the commands for events are too slow"}, lines)
}

func TestCommandThatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	lines := bubble(t, []Rule{{nil, "hangs"}}, time.Hour, func(o *OnEvent, c *commands) {
		o.Hear(live(1))
		o.Hear(live(2))
		time.Sleep(31 * time.Second)
		assert.Equal(t, 1, c.kills())
		assert.Len(t, c.calls(), 2)
		o.Hear(live(3))
	})
	assert.Equal(t, []string{
		"command 77 for an event is still there after 30 secs, sending KILL",
		"1 event dropped at the end, as the commands for events are too slow",
		"command 77 for an event is still there at the end, sending KILL",
	}, lines)
}

func TestCommandThatCannotBeStartedIsTold(t *testing.T) {
	t.Parallel()
	lines := bubble(t, []Rule{{nil, "x"}}, 0, func(o *OnEvent, c *commands) {
		c.fails = errors.New("no more processes")
		o.Hear(live(1))
	})
	assert.Equal(t, []string{"cannot start the command for an event: no more processes"}, lines)
}

func TestCommandThatFailsIsTold(t *testing.T) {
	t.Parallel()
	lines := bubble(t, []Rule{{nil, "x"}}, time.Second, func(o *OnEvent, c *commands) {
		c.status = 3 << 8
		o.Hear(live(1))
		time.Sleep(2 * time.Second)
		assert.Zero(t, c.kills())
	})
	assert.Equal(t, []string{"command 77 for an event has failed: exit code 3"}, lines)
}

func TestCommandsAreHandedOver(t *testing.T) {
	t.Parallel()
	bubble(t, []Rule{{nil, "x"}}, 2*time.Second, func(o *OnEvent, c *commands) {
		for n := range 3 {
			o.Hear(live(n + 1))
		}
		time.Sleep(time.Second)
		h, again := o.Hand()
		assert.NotNil(t, h.Running)
		assert.Equal(t, time.Second, time.Since(h.Since))
		assert.Len(t, h.Waiting, 2)
		time.Sleep(time.Minute)
		assert.Len(t, c.calls(), 1, "the next image goes on")
		again()
		synctest.Wait()
		assert.Len(t, c.calls(), 2, "or this one")
		time.Sleep(time.Minute)
		assert.Len(t, c.calls(), 3)
		h.Running = nil
		o.GoOn(h)
		time.Sleep(time.Minute)
		assert.Len(t, c.calls(), 5)
	})
}

// The next image tells of events that were dropped before an upgrade.
func TestEventsThatTheLastImageHasDroppedAreTold(t *testing.T) {
	t.Parallel()
	var h Handed
	bubble(t, []Rule{{nil, "x"}}, time.Second, func(o *OnEvent, _ *commands) {
		o.Hear(live(1))
		synctest.Wait() // its command runs, and all others wait for that
		for n := range maxCalls + 3 {
			o.Hear(live(n + 2))
		}
		h, _ = o.Hand()
	})
	assert.Equal(t, 3, h.Dropped)
	h.Running, h.Waiting = nil, h.Waiting[:1]
	lines := bubble(t, nil, 0, func(o *OnEvent, _ *commands) { o.GoOn(h) })
	assert.Equal(t, []string{"3 events dropped, as the commands for events are too slow"}, lines)
}

// A command that an image has taken over, and that still runs, is handed over again.
func TestCommandIsHandedOverTwice(t *testing.T) {
	t.Parallel()
	bubble(t, nil, 2*time.Second, func(o *OnEvent, c *commands) {
		last := Handed{Running: &commandRun{c, make(chan int, 1)}, Since: time.Now().Add(-time.Second)}
		o.GoOn(last)
		h, _ := o.Hand()
		assert.Equal(t, last.Running, h.Running)
		assert.Equal(t, last.Since, h.Since)
		time.Sleep(time.Minute)
		h, _ = o.Hand()
		assert.Nil(t, h.Running, "it has ended")
	})
}
