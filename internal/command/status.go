package command

import (
	"context"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

func (c *Commands) status(ctx context.Context, _ request) control.Answer {
	status, err := c.Status(ctx)
	if err != nil {
		return failed(err)
	}
	c.Written()
	a := done("%s is %s", c.self(), status.State)
	a.Status = &status
	return a
}

// Status tells how things stand. Before the supervisor runs it blocks, until ctx ends.
// After the supervisor has run, the error is supervise.ErrStopping.
func (c *Commands) Status(ctx context.Context) (control.Status, error) {
	now, err := c.Sup.Status(ctx)
	if err != nil {
		return control.Status{}, err
	}
	status := control.Status{
		Name: c.Name, Pid: os.Getpid(), State: now.Phase, Started: onClock(now.Began, now.Now), Uptime: now.Now.Sub(now.Began).Seconds(),
		Generation: now.Generation, Starting: now.Starting,
		WantedWorkers: now.Wanted, Restarts: now.Restarts,
		Workers: make([]control.Worker, 0, len(now.Workers)), Sockets: c.Sockets(),
	}
	status.Version = c.Version
	status.ImageSince, status.Upgrades = c.Image()
	if !now.StopAt.IsZero() {
		stopsAt := onClock(now.StopAt, now.Now)
		status.StopsAt = &stopsAt
	}
	for _, w := range now.Workers {
		status.Workers = append(status.Workers, worker(w, now.Now))
	}
	for _, s := range now.Shares {
		t := control.Traffic{Generation: s.Generation, Percent: supervise.PercentOf(s.Share), Waiting: c.Waiting(s.Side), Given: s.Given, CanRollBack: s.CanGoBack}
		if !s.Until.IsZero() {
			left := max(0, s.Until.Sub(now.Now)).Seconds()
			t.SecondsLeft = &left
		}
		status.Traffic = append(status.Traffic, t)
	}
	if f := now.Failure; f != nil {
		status.Failure = &control.Failure{
			Generation: f.Generation, Reason: f.Error(), At: onClock(f.At, now.Now), GivenUp: f.GivenUp,
			Log: c.Tail(f.Generation),
		}
	}
	return status, nil
}

// onClock is when something was, or will be, by the clock as it is set now: it may have been
// set since t was taken, and a client compares the result with its own clock.
func onClock(t, now time.Time) time.Time { return now.Add(t.Sub(now)) }

// Picture is Status without a ctx. It is nil after the supervisor has run.
func (c *Commands) Picture() *control.Status {
	now, err := c.Status(context.Background())
	if err != nil {
		return nil
	}
	return &now
}

func worker(w supervise.WorkerStatus, now time.Time) control.Worker {
	c := control.Worker{
		ID: control.ID(w.Worker), State: w.State, Restarts: max(0, w.Starts-1), Says: w.Said,
	}
	if w.State == supervise.StateMissing {
		next := max(0, w.Next.Sub(now)).Seconds()
		c.NextTry = &next
	} else {
		c.Age = now.Sub(w.Began).Seconds()
	}
	if w.After > 0 {
		after := w.After.Seconds()
		c.ReadyAfter = &after
	}
	if e := w.Ended; e != nil {
		c.LastExit = &control.Exit{
			Pid: e.Pid, Status: e.Status, Text: text.Exit(e.Status), At: onClock(e.At, now), Lived: e.Lived.Seconds(),
		}
	}
	return c
}
