package command

import (
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// listed is what help tells, in its order.
var listed = []control.Command{
	{Name: "help", Help: "what there is"},
	{Name: "status", Help: "how things stand"},
	{Name: "restart", Help: "start a new generation; answered when it is live, or has failed"},
	{Name: "rollback", Help: "give the old generation, which stands by, all connections again, or end a canary"},
	{Name: "promote", Help: "give a canary all connections now, or have the old generation stand by no longer"},
	{Name: "stop", Help: "stop all workers, as TERM does; the connection ends when they are gone"},
	{Name: "workers", Help: `change the number of workers to "workers"`},
	{Name: "signal", Help: `send "signal" to all workers, or to those in "slot"`},
	{Name: "reopen", Help: "open the log file anew by its path, as after it was renamed"},
	{Name: "self-upgrade", Help: "have the program \"executable\" go on in this process, with the command line \"args\" or the old one"},
	{Name: "subscribe", Help: "have every event from now on as a line of its own"},
	{Name: "options", Help: "the command line in force"},
	{Name: "worker:ack", Help: "from a worker: it is ready"},
	{Name: "inc", Help: "einhorn's: one worker more; answered when it has proved itself, or has failed"},
	{Name: "dec", Help: "einhorn's: one worker less; answered when it is gone"},
	{Name: "upgrade", Help: "einhorn's for restart"},
	{Name: "die", Help: `einhorn's for stop: by the signal that old workers get, or the one in "args"`},
	{Name: "config", Help: "einhorn's for options"},
	{Name: "state", Help: "einhorn's for status"},
	{Name: "ehlo", Help: "einhorn's: who is there"},
	{Name: "version", Help: "of the program"},
}

// unlisted are the commands of einhorn that we do not have.
var unlisted = []string{"quieter", "louder", "reload"}

func TestHelpListsEveryCommandThatThereIs(t *testing.T) {
	t.Parallel()
	a := (&Commands{}).Do(operator, control.Request{Command: "help"})
	assert.True(t, a.OK)
	assert.Equal(t, listed, a.Commands)
	var text strings.Builder
	for _, c := range listed {
		text.WriteString(c.Name + ": " + c.Help + "\n")
	}
	assert.Equal(t, text.String(), a.Message)
	assert.Len(t, table, len(listed)+len(unlisted))
}

func TestWhatEinhornHasAndWeHaveNot(t *testing.T) {
	t.Parallel()
	for _, name := range unlisted {
		refused(t, name+" is a command of einhorn that is not supported: the log has all output",
			(&Commands{}).Do(operator, control.Request{Command: name}))
	}
}

func TestOptionsInForce(t *testing.T) {
	t.Parallel()
	args := []string{"--port=8080", "--", "./server"}
	for _, name := range []string{"options", "config"} {
		a := (&Commands{InForce: func() []string { return args }}).Do(operator, control.Request{Command: name})
		assert.Equal(t, control.Answer{OK: true, Message: "--port=8080\n--\n./server", Args: args}, a)
	}
}

func TestCommandThatThereIsNot(t *testing.T) {
	t.Parallel()
	for name, quoted := range map[string]string{
		"":                      `""`,
		"Help":                  `"Help"`,
		"help ":                 `"help "`,
		"a\nb":                  `"a\nb"`,
		strings.Repeat("x", 50): `"` + strings.Repeat("x", 40) + `"`,
	} {
		refused(t, "there is no command "+quoted+"; help tells what there is",
			(&Commands{}).Do(operator, control.Request{Command: name}))
	}
}

func TestWorkersMayOnlyAcknowledge(t *testing.T) {
	t.Parallel()
	worker := control.Peer{Pid: 101, UID: 33, OfWorkers: true}
	names := append([]string{"", "nosuch"}, unlisted...)
	for _, c := range listed {
		names = append(names, c.Name)
	}
	for _, name := range names {
		a := (&Commands{}).Do(worker, control.Request{Command: name})
		if name == "worker:ack" {
			assert.Equal(t, control.Answer{OK: true}, a)
			continue
		}
		assert.Equal(t, control.Refusal("user 33, which the workers run as, may only acknowledge, by worker:ack"), a, name)
	}
}

func TestWhoIsThere(t *testing.T) {
	t.Parallel()
	c := &Commands{Name: "start_server", Version: "1.2.3"}
	assert.Equal(t, control.Answer{OK: true, Message: "You are speaking to " + self()}, c.Do(operator, control.Request{Command: "ehlo"}))
	assert.Equal(t, control.Answer{OK: true, Message: "start_server (go-server-starter) 1.2.3"}, c.Do(operator, control.Request{Command: "version"}))
	assert.Equal(t, control.Subscription(), c.Do(operator, control.Request{Command: "subscribe"}))
}

// The log says of each request which process has asked.
func TestCauseIsTheCommandAndWhoHasAsked(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		h.ask("restart")
		h.ask("upgrade")
		h.request(control.Request{Command: "signal", Signal: "HUP"})
		h.request(control.Request{Command: "workers", Workers: 2})
		h.passes(time.Minute)
		h.ask("stop")
		assert.Equal(t, []supervise.RestartAsked{{Cause: "restart asked for by process 4711"}, {Cause: "upgrade asked for by process 4711"}}, heard[supervise.RestartAsked](h))
		assert.Equal(t, "signal asked for by process 4711", heard[supervise.Signalled](h)[0].Cause)
		assert.Equal(t, "workers asked for by process 4711", heard[supervise.Resized](h)[0].Cause)
		assert.Equal(t, "stop asked for by process 4711", heard[supervise.StopAsked](h)[0].Cause)
	})
}
