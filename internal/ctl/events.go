package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Events prints each event of the superdaemon at the control socket path, a line each; with json,
// the line as it came. It blocks until ctx ends or the superdaemon has ended, and then returns
// nil; the end of the superdaemon is written to notes. If the superdaemon hangs up but is still
// there, Events connects again, and prints an event "missed". The error wraps control.ErrNobody
// if no superdaemon listens in the beginning.
func Events(ctx context.Context, name, path string, out, notes io.Writer, json bool) error {
	who, err := events(ctx, name, path, &printer{out: out, json: json})
	switch {
	case ctx.Err() != nil: // whatever err is then
		return nil
	case errors.Is(err, errEnded):
		_, err = fmt.Fprintf(notes, "%s has ended\n", who)
	}
	return err
}

// errEnded says that the superdaemon that was followed has ended.
var errEnded = errors.New("it has ended")

// events returns the name of the superdaemon, and why it follows it no longer.
func events(ctx context.Context, name, path string, p *printer) (who string, err error) {
	a, err := Call(ctx, name, path, true)
	if err != nil {
		return "", err
	}
	defer func() { a.Close() }()
	for {
		began := time.Now()
		p.printAll(a.since)
		if p.failed == nil {
			err = a.Watch(ctx, func(e control.Event) bool { return p.print(heard{e, string(a.Line())}) })
		}
		switch {
		case p.failed != nil:
			return a.Who(), p.failed
		case !errors.Is(err, io.EOF):
			return a.Who(), err
		}
		next, err := a.again(ctx)
		if err != nil {
			return a.Who(), err
		}
		a.Close()
		a = next
		p.missed(a.Status)
		if !p.handedOver { // so that one which always hangs up is not called without a pause
			wait(ctx, callPause-time.Since(began))
		}
		p.handedOver = false
	}
}

// callPause is the least time between two calls of a superdaemon that hangs up without a reason.
const callPause = time.Second

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// again calls a superdaemon that has hung up. The error is errEnded if no superdaemon is there,
// or another one.
func (a *Superdaemon) again(ctx context.Context) (*Superdaemon, error) {
	next, err := Call(ctx, a.Status.Name, a.path, true)
	switch {
	case errors.Is(err, control.ErrNobody), errors.Is(err, errHungUp):
		return nil, errEnded
	case err != nil:
		return nil, err
	case !a.isThat(next):
		next.Close()
		return nil, errEnded
	}
	return next, nil
}

// printer prints events.
type printer struct {
	out        io.Writer
	json       bool
	failed     error // to print
	handedOver bool  // the last event said so: call the superdaemon again
}

func (p *printer) printAll(events []heard) {
	for _, e := range events {
		p.print(e)
	}
}

// missed prints that some events were missed, as a superdaemon would.
func (p *printer) missed(now *control.Status) {
	e := control.Event{Event: "missed", Time: time.Now(), Now: now}
	p.write(heard{e, string(e.Line(e.Time))})
}

// print reports whether printing can go on.
func (p *printer) print(e heard) bool {
	p.handedOver = e.Event.Event == "handed-over"
	return p.write(e)
}

func (p *printer) write(e heard) bool {
	if p.failed != nil {
		return false
	}
	line := e.Time.Format(text.Stamp) + " " + told(e.Event)
	if p.json {
		line = text.Line(strings.TrimSuffix(e.line, "\n"))
	}
	p.failed = fd.WriteAll(p.out, line+"\n")
	return p.failed == nil
}

// told returns an event in one line: its text in the log, or its name and its facts.
func told(e control.Event) string {
	if e.Event == "handed-over" { // its text tells clients to connect again, which we do
		return "another image goes on"
	}
	if e.Text != "" {
		return oneLine(strings.ReplaceAll(strings.TrimSuffix(e.Text, "\n"), "\n", "; "))
	}
	return oneLine(strings.Join(append([]string{e.Event}, facts(e)...), ": "))
}

// facts returns the fields that an event has, joined to one text, or none.
func facts(e control.Event) []string {
	var all []string
	add := func(there bool, format string, args ...any) {
		if there {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	if w := e.Worker; w != nil {
		add(w.Pid != 0, "worker %d of generation %d in slot %d", w.Pid, w.Generation, w.Slot)
		add(w.Pid == 0, "a worker of generation %d in slot %d", w.Generation, w.Slot)
	}
	add(e.Generation != 0 && (e.Worker == nil || e.Worker.Generation != e.Generation), "generation %d", e.Generation)
	if len(e.Workers) > 0 {
		add(true, "workers:%s", pids(e.Workers))
	}
	add(e.Wanted != 0, "%s wanted", text.Count(e.Wanted, "worker"))
	if e.Percent != nil {
		add(true, "%s %% of the connections", strconv.FormatFloat(*e.Percent, 'f', -1, 64))
	}
	add(e.Seconds != 0 && e.Event == "proven", "after %s", age(e.Seconds))
	add(e.Seconds != 0 && e.Event != "proven", "%s", age(e.Seconds))
	add(e.Signal != "", "%s", e.Signal)
	if e.Status != nil && e.Reason == "" {
		add(true, "%s", text.ExitStatus(*e.Status))
	}
	add(e.Reason != "", "%s", e.Reason)
	add(e.Says != "", "%q", e.Says)
	if s := e.Now; s != nil {
		add(true, "some events may be missing here; %s (pid:%d) is %s now, generation %d, %s",
			cmp.Or(s.Name, "start_server"), s.Pid, s.State, s.Generation, inStates(s.Workers))
	}
	if len(all) == 0 {
		return nil
	}
	return []string{strings.Join(all, ", ")}
}

// pids joins the pids of workers.
func pids(workers []control.ID) string {
	var words []string
	for _, w := range workers {
		words = append(words, strconv.Itoa(w.Pid))
	}
	return strings.Join(words, ",")
}
