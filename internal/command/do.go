package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

func (c *Commands) restart(ctx context.Context, r request) control.Answer {
	return c.RestartFor(ctx, r.cause)
}

// selfUpgrade is answered by the image that goes on.
func (c *Commands) selfUpgrade(_ context.Context, r request) control.Answer {
	if r.Executable == "" {
		return failed(errors.New(`"executable" is missing: the path of the new one`))
	}
	return c.Upgrade(r.Request, r.cause)
}

// RestartFor restarts for a cause, and answers how that went.
func (c *Commands) RestartFor(ctx context.Context, cause string) control.Answer {
	how := <-c.Sup.Restart(ctx, cause)
	c.Written()
	if how.Err != nil {
		a := failed(how.Err)
		if failure := (*supervise.Failure)(nil); errors.As(how.Err, &failure) {
			a.Log = c.Tail(failure.Generation)
		}
		return a
	}
	a := done("generation %d is live", how.Generation)
	a.Generation = how.Generation
	return a
}

// rollback answers when all connections go to the old generation.
func (c *Commands) rollback(ctx context.Context, r request) control.Answer {
	return c.now(c.Sup.Rollback(ctx, r.cause), "gets all connections")
}

// promote answers when the new generation is live, or has failed.
func (c *Commands) promote(ctx context.Context, r request) control.Answer {
	return c.now(c.Sup.Promote(ctx, r.cause), "is live")
}

// now answers which generation does that now, or why that failed.
func (c *Commands) now(how supervise.Outcome, does string) control.Answer {
	if how.Err != nil {
		return failed(how.Err)
	}
	c.Written()
	a := done("generation %d %s", how.Generation, does)
	a.Generation = how.Generation
	return a
}

// reopen answers when all that was printed before is in the old file.
func (c *Commands) reopen(ctx context.Context, r request) control.Answer {
	said, err := c.Reopen(ctx, r.cause)
	if err != nil {
		return failed(err)
	}
	return done("%s", said)
}

func (c *Commands) stop(ctx context.Context, r request) control.Answer {
	if err := c.Sup.Stop(ctx, r.cause, c.StopSignal, c.StopDelay); err != nil {
		return failed(err)
	}
	return control.Answer{OK: true}
}

// die stops all workers as einhorn does: by the signal that old workers get, or by the
// one that the request names.
func (c *Commands) die(ctx context.Context, r request) control.Answer {
	sig, err := r.named(c.RetireSignal)
	if err != nil {
		return failed(err)
	}
	if err := c.Sup.Stop(ctx, r.cause, sig, c.StopDelay); err != nil {
		return failed(err)
	}
	return done("%s is going down", c.self())
}

// named is the signal that a request names, or other if it names none.
func (r request) named(other os.Signal) (os.Signal, error) {
	name, err := r.SignalName()
	if err != nil || name == "" && other != nil {
		return other, err
	}
	return text.ParseSignal(name)
}

func (c *Commands) inc(ctx context.Context, r request) control.Answer {
	return c.step(ctx, r, 1, "has proved itself")
}

func (c *Commands) dec(ctx context.Context, r request) control.Answer {
	return c.step(ctx, r, -1, "is gone")
}

// step changes the number of workers, and answers when the new one has proved itself, or
// has failed, or the old one is gone.
func (c *Commands) step(ctx context.Context, r request, by int, became string) control.Answer {
	changed, err := c.resize(ctx, r, supervise.Size{Change: by})
	if err != nil {
		return failed(err)
	}
	how := <-changed
	c.Written()
	var failure *supervise.Failure
	switch {
	case errors.As(how.Err, &failure):
		return failed(fmt.Errorf("%w; %s %s wanted, and it is tried again", how.Err, text.Count(how.Workers, "worker"), text.Verb(how.Workers, "is", "are")))
	case how.Err != nil:
		return failed(how.Err)
	}
	a := done("now there %s %s", text.Verb(how.Workers, "is", "are"), text.Count(how.Workers, "worker"))
	if how.Worker.Pid != 0 {
		a.Pids = []int{how.Worker.Pid}
		a.Message += fmt.Sprintf(": worker %d %s", how.Worker.Pid, became)
	}
	return a
}

// workers answers as soon as the number is wanted.
func (c *Commands) workers(ctx context.Context, r request) control.Answer {
	if c.Resizable && (r.Workers < 1 || r.Workers > supervise.MaxWorkers) {
		return failed(fmt.Errorf(`"workers" is %d, which is not from 1 to %d`, r.Workers, supervise.MaxWorkers))
	}
	if _, err := c.resize(ctx, r, supervise.Size{Number: r.Workers}); err != nil {
		return failed(err)
	}
	return control.Answer{OK: true}
}

func (c *Commands) resize(ctx context.Context, r request, size supervise.Size) (<-chan supervise.Resizing, error) {
	if !c.Resizable {
		return nil, errors.New("the number of workers can be changed only if it was given at the start")
	}
	return c.Sup.Resize(ctx, r.cause, size)
}

func (c *Commands) signal(ctx context.Context, r request) control.Answer {
	sig, err := r.named(nil)
	if err != nil {
		return failed(err)
	}
	slot := -1
	if r.Slot != nil {
		slot = *r.Slot
	}
	workers, err := c.Sup.Signal(ctx, r.cause, sig, slot)
	switch {
	case err != nil:
		return failed(err)
	case len(workers) == 0 && r.Slot != nil:
		return failed(fmt.Errorf("there is no worker in slot %d", slot))
	case len(workers) == 0:
		return failed(errors.New("there is no worker"))
	}
	a := control.Answer{OK: true}
	for _, w := range workers {
		a.Pids = append(a.Pids, w.Pid)
	}
	return a
}

// acknowledge takes einhorn's way to say that a worker is ready. The process that
// connects decides which worker is ready. The pid in the message is ignored.
func (c *Commands) acknowledge(ctx context.Context, r request) control.Answer {
	if !c.Acknowledged {
		return control.Answer{OK: true} // workers need not say that they are ready
	}
	counts, err := c.Sup.Acknowledge(ctx, r.peer.Ancestors)
	switch {
	case err != nil:
		return failed(err)
	case !counts:
		return failed(fmt.Errorf("process %d belongs to no worker", r.peer.Pid))
	}
	return control.Answer{OK: true}
}
