// Package signals catches signals and acts on them, at a bounded rate.
package signals

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Request is what a signal asks for. The context ends when signals are no longer acted
// on. cause is for the log.
type Request func(ctx context.Context, cause string)

// Table is what each signal asks for.
type Table map[os.Signal]Request

// Caught are signals that are acted on.
type Caught struct {
	table  Table
	log    func(format string, args ...any)
	caught chan os.Signal
	pipes  chan os.Signal
	ends   chan os.Signal // those that ask for an end, since Forget
	done   context.CancelFunc
	left   chan []os.Signal // has those not acted on, when done was called
}

// waiting is how many signals may wait to be acted on.
const waiting = 256

// Catch acts on the signals of the table, from one goroutine, until Stop is called. PIPE is
// caught and nothing done: a terminal that is gone must not end us. Children start with its
// default action, as a shell would start them: an ignored signal they would inherit.
func (t Table) Catch(log func(format string, args ...any)) *Caught {
	c := &Caught{table: t, log: log, caught: make(chan os.Signal, waiting), pipes: make(chan os.Signal, 1), ends: make(chan os.Signal, 1)}
	signal.Notify(c.pipes, syscall.SIGPIPE)
	c.catch()
	return c
}

func (c *Caught) catch() {
	ctx, done := context.WithCancel(context.Background())
	left := make(chan []os.Signal, 1)
	c.done, c.left = done, left
	signal.Notify(c.ends, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	for sig := range c.table {
		signal.Notify(c.caught, sig)
	}
	go func() { left <- c.table.act(ctx, c.caught, c.log) }()
}

// Pause catches no more signals, which have their default action then, and returns those
// that have come and were not acted on. Requests under way have to return when their context
// ends: Pause blocks until they have.
func (c *Caught) Pause() []os.Signal {
	signal.Stop(c.caught)
	signal.Stop(c.ends)
	c.done()
	return <-c.left
}

// Again catches signals after Pause, and acts on those that Pause has returned, too.
func (c *Caught) Again(left []os.Signal) {
	c.catch()
	for _, sig := range left {
		c.Add(sig)
	}
}

// Add is for a signal of the table that somebody else has caught.
func (c *Caught) Add(sig os.Signal) {
	select {
	case c.caught <- sig:
	default: // as os/signal does
	}
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT:
		select {
		case c.ends <- sig:
		default:
		}
	}
}

// Forget has Ended tell only of what comes from now on.
func (c *Caught) Forget() {
	select {
	case <-c.ends:
	default:
	}
}

// Ended tells that TERM, INT or QUIT has come since Forget was called, whether or not it was
// acted on.
func (c *Caught) Ended() bool { return len(c.ends) > 0 }

// Stop has no signal acted on any more.
func (c *Caught) Stop() {
	c.Pause()
	close(c.caught)
	c.done()
}
