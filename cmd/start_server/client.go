package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// handshakeTime is how long a superdaemon may take for what it answers at once.
const handshakeTime = 10 * time.Second

// client carries out --restart, --stop or --status, by the control socket if
// there is one, and otherwise by the files.
func (o *options) client(stdout, stderr io.Writer) int {
	ctx := context.Background()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, timedOut(o.timeout))
		defer cancel()
	}
	stopping := func(pid int) {
		fmt.Fprintf(stderr, "stop_server (pid:%d) stopping now (pid:%d)...\n", os.Getpid(), pid)
	}
	err := o.byControl(ctx, stdout, stopping)
	if errors.Is(err, control.ErrNobody) {
		err = o.byFiles(ctx, stopping, err)
	}
	if err != nil {
		return fail(stderr, exitError, err)
	}
	return exitOK
}

// byFiles is for when there is no control socket, by nobody's fault if none
// was asked for.
func (o *options) byFiles(ctx context.Context, stopping func(pid int), nobody error) error {
	switch {
	case o.Restart && o.PidFile != "" && o.StatusFile != "":
		return runfile.Restart(ctx, o.PidFile, o.StatusFile)
	case o.Stop && o.PidFile != "":
		return runfile.Stop(ctx, o.PidFile, stopping)
	}
	return nobody
}

// byControl fails with control.ErrNobody if no superdaemon listens.
func (o *options) byControl(ctx context.Context, stdout io.Writer, stopping func(pid int)) error {
	if o.Control == "" {
		return control.ErrNobody
	}
	a, err := o.call(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	switch {
	case o.Restart:
		return a.restart(ctx, stdout, o.Drained)
	case o.Stop:
		return a.stop(ctx, stopping)
	case o.JSON:
		fmt.Fprintf(stdout, "%s\n", a.status.JSON())
		return nil
	}
	writeStatus(stdout, a.status)
	return nil
}

// superdaemon is one that listens, and how things stood when it was called.
type superdaemon struct {
	*control.Client
	status *control.Status
	path   string
}

// call connects and asks how things stand, which is answered at once by one
// that is well. For a restart it subscribes to events first: those that come
// before the answer are in it.
func (o *options) call(ctx context.Context) (*superdaemon, error) {
	if o.timeout == 0 || o.timeout > handshakeTime {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, handshakeTime, timedOut(handshakeTime))
		defer cancel()
	}
	c, err := control.Dial(ctx, o.Control)
	if err != nil {
		return nil, err
	}
	var answer control.Answer
	if o.Restart {
		_, err = c.Do(ctx, control.Request{Command: "subscribe"}, nil)
	}
	var since []control.Event // some of which may have come to pass after the picture was taken
	if err == nil {
		answer, err = c.Do(ctx, control.Request{Command: "status"}, func(e control.Event) { since = append(since, e) })
	}
	if err == nil && answer.Status == nil {
		err = errors.New("the answer has no status")
	}
	if err == nil {
		bringUpToDate(answer.Status, since)
	}
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("start_server does not answer on control socket %q: %w", o.Control, context.Cause(ctx))
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("start_server has hung up on control socket %q: it is ending", o.Control)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return &superdaemon{c, answer.Status, o.Control}, nil
}

// bringUpToDate takes the workers out of a status that have ended since, and puts
// those in that have come.
func bringUpToDate(s *control.Status, since []control.Event) {
	for _, e := range since {
		if e.Worker == nil || e.Event != "started" && e.Event != "exited" {
			continue
		}
		s.Workers = slices.DeleteFunc(s.Workers, func(w control.Worker) bool { return w.Pid == e.Worker.Pid })
		if e.Event == "started" {
			s.Workers = append(s.Workers, control.Worker{ID: *e.Worker, State: "proving"})
		}
	}
}

// restart blocks until a new generation is live, and with drained until it is
// all there is.
func (a *superdaemon) restart(ctx context.Context, stdout io.Writer, drained bool) error {
	p := newProgress(stdout, a.status)
	defer p.close()
	answer, err := a.Do(ctx, control.Request{Command: "restart"}, p.event)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return fmt.Errorf("%w, and no newer generation serves alone yet; start_server (pid:%d) goes on; %s", context.Cause(ctx), a.status.Pid, a.serving())
	case errors.Is(err, io.EOF) && a.isThere(ctx):
		return fmt.Errorf("start_server (pid:%d) has disconnected us, as we have not read what it says; the restart goes on", a.status.Pid)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("start_server (pid:%d) has ended instead of restarting", a.status.Pid)
	case answer.Error != "":
		p.close()
		return a.failed(answer)
	default:
		return err
	}
	if drained && p.left() > 0 {
		err = a.Watch(ctx, func(e control.Event) bool { p.event(e); return p.left() > 0 })
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: generation %d serves, but %s left", context.Cause(ctx), answer.Generation, count(p.left(), "old worker"))
		}
	}
	return err
}

// failed says why a restart has failed, and who serves on.
func (a *superdaemon) failed(answer control.Answer) error {
	text := "restart failed: " + answer.Error + "\n" + a.serving()
	if len(answer.Log) > 0 {
		text += "\nthe log since that attempt began:"
	}
	for _, line := range answer.Log {
		text += "\n  " + printableLine(line)
	}
	return errors.New(text)
}

// serving says who serves. It asks by a connection of its own: on the first one
// the restart may be waited for yet.
func (a *superdaemon) serving() string {
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
		case "live", "old", "stopping":
			serving = append(serving, name)
		case "draining":
			draining = append(draining, name)
		}
	}
	text := "nothing serves"
	if len(serving) > 0 {
		text = "still serving: " + strings.Join(serving, " ")
	}
	if len(draining) > 0 {
		text += "; told to go and still there: " + strings.Join(draining, " ")
	}
	return text
}

// stop blocks until the superdaemon has ended.
func (a *superdaemon) stop(ctx context.Context, stopping func(pid int)) error {
	stopping(a.status.Pid)
	_, err := a.Do(ctx, control.Request{Command: "stop"}, nil)
	for err == nil || errors.Is(err, io.EOF) && a.isThere(ctx) { // whom it disconnects for being idle
		err = a.Watch(ctx, func(control.Event) bool { return true })
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("start_server (pid:%d) is still there: %w", a.status.Pid, context.Cause(ctx))
	}
	return err
}

// isThere tells whether the superdaemon is there although it has hung up, and if
// so calls again.
func (a *superdaemon) isThere(ctx context.Context) bool {
	c, err := control.Dial(ctx, a.path)
	if err != nil {
		return false
	}
	now, err := c.Do(ctx, control.Request{Command: "status"}, nil)
	if err != nil || now.Status == nil || now.Status.Pid != a.status.Pid {
		c.Close()
		return false
	}
	a.Client.Close()
	a.Client = c
	return true
}

func timedOut(after time.Duration) error {
	return errors.New("timed out after " + after.String())
}
