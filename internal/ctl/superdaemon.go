// Package ctl restarts, stops and shows a superdaemon for operators, by its control socket.
package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Superdaemon is a connection to a superdaemon, with its status at the time of Call. It is
// for one goroutine.
type Superdaemon struct {
	*control.Client
	Status *control.Status
	path   string
	since  []heard   // events that came before the status
	called time.Time // when the status came
}

// isThat reports whether the next connection is to the same superdaemon.
func (a *Superdaemon) isThat(next *Superdaemon) bool {
	return next.Status.SameAs(a.Status, next.called.Sub(a.called))
}

// heard is an event, and its line as it came.
type heard struct {
	control.Event
	line string
}

// handshakeTime bounds the wait for answers that a superdaemon gives at once.
const handshakeTime = 10 * time.Second

// Call connects to the control socket at path and asks for the status. It blocks for ten seconds
// at most. Errors call the superdaemon name. With watch it first subscribes to events, which
// Restart needs; events that come before the status are worked into the status. If the
// superdaemon hangs up, Call tries again: another image of it may go on. The error wraps
// control.ErrNobody if no superdaemon listens.
func Call(ctx context.Context, name, path string, watch bool) (*Superdaemon, error) {
	if end, bounded := ctx.Deadline(); !bounded || time.Until(end) > handshakeTime {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, handshakeTime, TimedOut(handshakeTime))
		defer cancel()
	}
	a, err := call(ctx, name, path, watch)
	for tries := 1; errors.Is(err, errHungUp) && tries < maxCalls; tries++ {
		again, fault := call(ctx, name, path, watch)
		if errors.Is(fault, control.ErrNobody) {
			break
		}
		a, err = again, fault
	}
	return a, err
}

// maxCalls is how often a superdaemon that hangs up is called.
const maxCalls = 3

var errHungUp = errors.New("it is ending")

func call(ctx context.Context, name, path string, watch bool) (*Superdaemon, error) {
	c, err := control.Dial(ctx, path)
	if errors.Is(err, control.ErrNobody) {
		return nil, &nobody{name, path}
	}
	if err != nil {
		return nil, err
	}
	var answer control.Answer
	if watch {
		_, err = c.Do(ctx, control.Request{Command: "subscribe"}, nil)
	}
	var since []heard // may be newer than the status
	if err == nil {
		answer, err = c.Do(ctx, control.Request{Command: "status"}, func(e control.Event) { since = append(since, heard{e, string(c.Line())}) })
	}
	if err == nil && answer.Status == nil {
		err = errors.New("the answer has no status")
	}
	if err == nil {
		bringUpToDate(answer.Status, since)
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s does not answer on control socket %q: %w", name, path, context.Cause(ctx))
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		err = fmt.Errorf("%s has hung up on control socket %q: %w", name, path, errHungUp)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	answer.Status.Name = text.Line(cmp.Or(answer.Status.Name, name))
	return &Superdaemon{c, answer.Status, path, since, time.Now()}, nil
}

// nobody is control.ErrNobody with the name of the missing superdaemon.
type nobody struct{ name, path string }

func (n *nobody) Error() string {
	return fmt.Sprintf("control socket %q: no %s listens there", n.path, n.name)
}

func (n *nobody) Unwrap() error { return control.ErrNobody }

// bringUpToDate works later events into a status: it removes workers that have ended since, and
// adds those that have started.
func bringUpToDate(s *control.Status, since []heard) {
	for _, h := range since {
		e := h.Event
		if e.Event == "missed" && e.Now != nil {
			*s = *e.Now
		}
		if e.Worker == nil || e.Event != "started" && e.Event != "exited" {
			continue
		}
		s.Workers = slices.DeleteFunc(s.Workers, func(w control.Worker) bool { return w.Pid == e.Worker.Pid })
		if e.Event == "started" {
			s.Workers = append(s.Workers, control.Worker{ID: *e.Worker, State: supervise.StateProving})
		}
	}
}

// Restart asks for a restart, and blocks until a new generation is live and, with drained, until
// no old worker is left. It shows on stdout how that goes.
func (a *Superdaemon) Restart(ctx context.Context, stdout io.Writer, drained bool) error {
	p := newProgress(stdout, a.Status)
	defer p.close()
	restart := control.Request{Command: "restart"}
	answer, err := a.Do(ctx, restart, p.event)
	for errors.Is(err, io.EOF) && a.follows(ctx, p) { // the last image did not read the request
		answer, err = a.Do(ctx, restart, p.event)
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("%w, and no newer generation serves alone yet; %s goes on; %s", context.Cause(ctx), a.Who(), a.serving())
	case errors.Is(err, io.EOF) && a.isThere(ctx):
		return fmt.Errorf("%s has disconnected us because we read too slowly; the restart goes on", a.Who())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s has ended instead of restarting", a.Who())
	case answer.Error != "":
		p.close()
		return a.failed(answer)
	default:
		return err
	}
	p.answered(answer.Generation)
	if !drained {
		return nil
	}
	if !p.drained() {
		drains := func(e control.Event) bool { p.event(e); return !p.drained() }
		for err = a.Watch(ctx, drains); errors.Is(err, io.EOF) && a.follows(ctx, p); {
			if err = nil; !p.drained() {
				err = a.Watch(ctx, drains)
			}
		}
		if back := p.isBack(); back > 0 {
			return fmt.Errorf("generation %d was rolled back: generation %d serves again", answer.Generation, back)
		}
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: generation %d serves, but %s left", context.Cause(ctx), answer.Generation, text.Count(p.left(), "old worker"))
		}
	}
	if err == nil { // the answer comes when the status file lists no old worker either
		_, err = a.Do(ctx, control.Request{Command: "status"}, nil)
	}
	return err
}

// Upgrade asks for an upgrade: another image of the superdaemon goes on in its process. It blocks
// until that image has restarted the workers, and prints the result.
func (a *Superdaemon) Upgrade(ctx context.Context, stdout io.Writer, r control.Request) error {
	p := newProgress(stdout, a.Status)
	defer p.close()
	r.Command = "self-upgrade"
	answer, err := a.Do(ctx, r, p.event)
	p.close()
	switch {
	case err == nil:
		fmt.Fprintln(stdout, text.Lines(answer.Message))
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%w; %s goes on with it", context.Cause(ctx), a.Who())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s has hung up: it has ended, or was asked to stop", a.Who())
	case strings.HasPrefix(answer.Error, "there is no command"):
		return fmt.Errorf("%s is of a version that cannot be replaced while it runs: stop it, and start the new one", a.Who())
	case len(answer.Log) > 0:
		return a.failed(answer)
	}
	return err
}

// failed says why a restart has failed, and which workers serve on.
func (a *Superdaemon) failed(answer control.Answer) error {
	why := "restart failed: " + answer.Error + "\n" + a.serving()
	if len(answer.Log) > 0 {
		why += "\nthe log since that attempt began:"
	}
	for _, line := range answer.Log {
		why += "\n  " + oneLine(line)
	}
	return errors.New(why)
}

// serving says which workers serve. It asks on a new connection: the first may still wait
// for the restart.
func (a *Superdaemon) serving() string {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	c, err := control.Dial(ctx, a.path)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	now, err := c.Do(ctx, control.Request{Command: "status"}, nil)
	if err == nil && now.Status == nil {
		err = errors.New("the answer has no status")
	}
	if err != nil {
		return err.Error()
	}
	var serving, draining []string
	for _, w := range now.Status.Workers {
		name := fmt.Sprintf("%d:%d", w.Generation, w.Pid)
		switch w.State {
		case supervise.StateLive, supervise.StateCanary, supervise.StateOld, supervise.StateStopping:
			serving = append(serving, name)
		case supervise.StateDraining:
			draining = append(draining, name)
		}
	}
	said := "nothing serves"
	if len(serving) > 0 {
		said = "still serving: " + strings.Join(serving, " ")
	}
	if len(draining) > 0 {
		said += "; told to go and still there: " + strings.Join(draining, " ")
	}
	return said
}

// Stop asks for command, stop or die, and blocks until the superdaemon has ended. stopping
// is called first.
func (a *Superdaemon) Stop(ctx context.Context, command string, stopping func(pid int)) error {
	stopping(a.Status.Pid)
	_, err := a.Do(ctx, control.Request{Command: command}, nil)
	for err == nil || errors.Is(err, io.EOF) && a.isThere(ctx) { // idle clients are disconnected
		err = a.Watch(ctx, func(control.Event) bool { return true })
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s is still there: %w", a.Who(), context.Cause(ctx))
	}
	return err
}

// Ask has a command carried out, blocks until that is done, and returns the answer's
// message.
func (a *Superdaemon) Ask(ctx context.Context, command string) (string, error) {
	answer, err := a.Do(ctx, control.Request{Command: command}, nil)
	switch {
	case err == nil:
		return text.Lines(answer.Message), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("%w; %s goes on with it", context.Cause(ctx), a.Who())
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("%s has ended, or disconnected us, before it was done", a.Who())
	}
	return "", err
}

// Options returns the command line in force.
func (a *Superdaemon) Options(ctx context.Context) ([]string, error) {
	answer, err := a.Do(ctx, control.Request{Command: "options"}, nil)
	switch {
	case err == nil:
		return answer.Args, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s does not answer: %w", a.Who(), context.Cause(ctx))
	case strings.HasPrefix(answer.Error, "there is no command"):
		return nil, fmt.Errorf("%s is of a version that does not tell its options", a.Who())
	}
	return nil, err
}

// Who is the superdaemon, by its own name.
func (a *Superdaemon) Who() string { return fmt.Sprintf("%s (pid:%d)", a.Status.Name, a.Status.Pid) }

// isThere reports whether the superdaemon still exists although it has hung up. If so it
// connects again.
func (a *Superdaemon) isThere(ctx context.Context) bool {
	c, err := control.Dial(ctx, a.path)
	if err != nil {
		return false
	}
	now, err := c.Do(ctx, control.Request{Command: "status"}, nil)
	if err != nil || now.Status == nil || !now.Status.SameAs(a.Status, time.Since(a.called)) {
		c.Close()
		return false
	}
	a.Client.Close()
	a.Client = c
	return true
}

// follows connects again if the superdaemon has hung up because another image of it goes on. It
// learns that from an event that p has heard, or Call.
func (a *Superdaemon) follows(ctx context.Context, p *progress) bool {
	heardBefore := slices.ContainsFunc(a.since, func(h heard) bool { return h.Event.Event == "handed-over" })
	if !heardBefore && !p.isHandedOver() {
		return false
	}
	next, err := Call(ctx, a.Status.Name, a.path, true)
	if err != nil {
		return false
	}
	if !a.isThat(next) {
		next.Close()
		return false
	}
	a.Client.Close()
	a.Client, a.Status, a.since, a.called = next.Client, next.Status, next.since, next.called
	p.goesOn(a.Status)
	return true
}

// TimedOut is the cause of a context that has timed out.
func TimedOut(after time.Duration) error {
	return errors.New("timed out after " + after.String())
}
