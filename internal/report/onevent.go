package report

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// EventNames are the names of all events that the control socket tells, sorted.
func EventNames() []string {
	return []string{
		"auto-restart", "canary", "exited", "failed", "gave-up", "hung", "killed", "live", "not-ready", "promoted", "proven", "refill-failed",
		"renewal-failed", "renewed", "resized", "restart-asked", "retiring", "rolled-back", "says", "signalled", "standby-over", "started",
		"stop-delayed", "stopping", "too-large", "too-old", "took-over", "waiting",
	}
}

// Rule has a command started for some events.
type Rule struct {
	Events  []string // their names; none: all
	Command string   // for sh -c
}

// ParseRules reads rules, each COMMAND or EVENT[,EVENT...]:COMMAND. The error names every
// fault, a line each.
func ParseRules(specs []string) ([]Rule, error) {
	var rules []Rule
	var faults []error
	for _, spec := range specs {
		rule, err := parseRule(spec)
		if err != nil {
			faults = append(faults, fmt.Errorf("on-event %s: %w", text.Quoted(spec), err))
		}
		rules = append(rules, rule)
	}
	return rules, errors.Join(faults...)
}

func parseRule(spec string) (Rule, error) {
	r := Rule{Command: spec}
	names, command, ok := strings.Cut(spec, ":")
	isName := func(c rune) bool { return c >= 'a' && c <= 'z' || c == '-' || c == ',' }
	if ok && !strings.ContainsFunc(names, func(c rune) bool { return !isName(c) }) {
		r = Rule{strings.Split(names, ","), command}
		for _, name := range r.Events {
			if !slices.Contains(EventNames(), name) {
				return r, fmt.Errorf("%q is no event; there are %s", name, strings.Join(EventNames(), ", "))
			}
		}
	}
	switch {
	case strings.TrimSpace(r.Command) == "":
		return r, errors.New("the command is missing")
	case strings.Contains(r.Command, "\x00"):
		return r, errors.New("a command holds no NUL")
	}
	return r, nil
}

// Running is a command that was started for an event.
type Running interface {
	Pid() int
	Signal(os.Signal) error // KILL goes to its whole group
	Wait() int              // blocks until it has ended, and returns its raw wait status
}

// Call is a command with the line of the event that it is started for.
type Call struct{ Command, Event string }

// OnEvent starts commands for events, one after the other. Its first fields are set before
// its first use, and left alone then.
type OnEvent struct {
	Rules   []Rule
	Verbose bool           // as in Log
	Out     *output.Output // is told of what goes wrong
	// Start starts a command with the line of an event as its standard input. It may block,
	// for a moment.
	Start func(Call) (Running, error)

	queue output.Queue
	ended chan struct{} // closed when commands are not waited for any more

	mu      sync.Mutex
	waiting []Call
	dropped int
	holds   bool // nothing is started

	starting sync.Mutex // held while a command is started
	running  Running    // nil: no command runs
	since    time.Time
}

const (
	// maxCalls is how many calls may wait.
	maxCalls = 100
	// callTime is how long a command may run before it is killed.
	callTime = 30 * time.Second
)

// NewOnEvent returns an OnEvent that starts what the rules say.
func NewOnEvent(rules []Rule, out *output.Output, start func(Call) (Running, error)) *OnEvent {
	return &OnEvent{Rules: rules, Out: out, Start: start, ended: make(chan struct{})}
}

// Hear has the commands for an event started. It does not block: if too many calls wait the
// oldest is dropped.
func (o *OnEvent) Hear(e supervise.Event) {
	event := ClientEvent(e)
	if event.Event == "" {
		return
	}
	line := ""
	for _, rule := range o.Rules {
		if len(rule.Events) > 0 && !slices.Contains(rule.Events, event.Event) {
			continue
		}
		if line == "" {
			event.Text = Line(e, o.Verbose)
			line = string(event.Line(time.Now()))
		}
		o.add(Call{rule.Command, line})
	}
}

func (o *OnEvent) add(c Call) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = append(o.waiting, c)
	if len(o.waiting) > maxCalls {
		o.waiting[0] = Call{}
		o.waiting = o.waiting[1:]
		o.dropped++
		return // the turn of the one that was dropped is for this one
	}
	o.queue.Add(o.turn)
}

// take returns the call that has waited longest, and how many were dropped before it. ok is false
// if there is none, or nothing is started now.
func (o *OnEvent) take() (c Call, dropped int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holds || len(o.waiting) == 0 {
		return c, 0, false
	}
	c, dropped = o.waiting[0], o.dropped
	o.waiting[0] = Call{}
	o.waiting, o.dropped = o.waiting[1:], 0
	return c, dropped, true
}

// turn starts the command of one call and waits for it.
func (o *OnEvent) turn() {
	o.starting.Lock()
	c, dropped, ok := o.take()
	if !ok {
		o.starting.Unlock()
		return
	}
	p, err := o.Start(c)
	if err == nil {
		o.running, o.since = p, time.Now()
	}
	o.starting.Unlock()
	if dropped > 0 {
		o.Out.Printf("%s dropped, as the commands for events are too slow", text.Count(dropped, "event"))
	}
	if err != nil {
		o.Out.Printf("cannot start the command for an event: %s", text.Line(err.Error()))
		return
	}
	o.await(p, time.Now())
}

// await waits for a command, and kills it when its time is over.
func (o *OnEvent) await(p Running, since time.Time) {
	ended := make(chan int, 1)
	go func() { ended <- p.Wait() }()
	late := time.NewTimer(time.Until(since.Add(callTime)))
	defer late.Stop()
	killed, status := false, 0
	select {
	case status = <-ended:
	case <-late.C:
		o.Out.Printf("command %d for an event is still there after %s secs, sending KILL", p.Pid(), text.Seconds(callTime))
		killed = true
	case <-o.ended:
		o.Out.Printf("command %d for an event is still there at the end, sending KILL", p.Pid())
		killed = true
	}
	if killed {
		_ = p.Signal(os.Kill) // if it has ended that is no error
		<-ended
	} else if status != 0 {
		o.Out.Printf("command %d for an event has failed: %s", p.Pid(), text.Exit(status))
	}
	o.starting.Lock()
	o.running = nil
	o.starting.Unlock()
}

// End waits for the command that runs and the calls that wait, for output.FlushTime at most.
// Then it kills the command that runs, and drops the calls.
func (o *OnEvent) End() {
	o.queue.Flush()
	o.mu.Lock()
	o.holds = true
	dropped := o.dropped + len(o.waiting)
	o.mu.Unlock()
	if dropped > 0 {
		o.Out.Printf("%s dropped at the end, as the commands for events are too slow", text.Count(dropped, "event"))
	}
	close(o.ended)
	over := make(chan struct{})
	o.queue.Add(func() { close(over) })
	select {
	case <-over:
	case <-time.After(output.FlushTime): // KILL does not end a process that is stuck in the kernel
	}
}

// Handed is what an OnEvent hands over to the OnEvent of another image of this program.
type Handed struct {
	Running Running // nil: no command runs
	Since   time.Time
	Waiting []Call
	Dropped int // the log has not told of these yet
}

// HeldCommands is a Handed as the state of an image has it.
type HeldCommands struct {
	Running *proc.Handed // nil: no command runs
	Since   time.Time
	Waiting []Call
	Dropped int // the log has not told of these yet
}

// Hand starts no command any more, and returns what another image has to go on with. again
// has this image go on after all.
func (o *OnEvent) Hand() (h Handed, again func()) {
	o.starting.Lock()
	defer o.starting.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holds = true
	return Handed{o.running, o.since, slices.Clone(o.waiting), o.dropped}, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.holds = false
		for range o.waiting {
			o.queue.Add(o.turn)
		}
	}
}

// GoOn goes on with what another image has handed over.
func (o *OnEvent) GoOn(h Handed) {
	if h.Running != nil {
		o.starting.Lock()
		o.running, o.since = h.Running, h.Since
		o.starting.Unlock()
		o.queue.Add(func() { o.await(h.Running, h.Since) })
	}
	o.mu.Lock()
	o.dropped += h.Dropped
	o.mu.Unlock()
	for _, c := range h.Waiting {
		o.add(c)
	}
}
