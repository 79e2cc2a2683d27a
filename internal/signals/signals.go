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
	caught chan os.Signal
	pipes  chan os.Signal
	ends   chan os.Signal // those that ask for an end, since Forget
	done   context.CancelFunc
}

// Catch acts on the signals of the table, from one goroutine, until Stop is called. PIPE is
// caught and nothing done: a terminal that is gone must not end us. Children start with its
// default action, as a shell would start them: an ignored signal they would inherit.
func (t Table) Catch(log func(format string, args ...any)) *Caught {
	c := &Caught{table: t, caught: make(chan os.Signal, 256), pipes: make(chan os.Signal, 1), ends: make(chan os.Signal, 1)}
	c.Again()
	ctx, done := context.WithCancel(context.Background())
	c.done = done
	go t.act(ctx, c.caught, log)
	return c
}

// Again has the signals caught that were ignored meanwhile.
func (c *Caught) Again() {
	signal.Notify(c.pipes, syscall.SIGPIPE)
	signal.Notify(c.ends, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	for sig := range c.table {
		signal.Notify(c.caught, sig)
	}
}

// Add is for a signal of the table that somebody else has caught.
func (c *Caught) Add(sig os.Signal) {
	c.caught <- sig
	select {
	case c.ends <- sig:
	default:
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

// Pause has no signal caught until Again is called: those that are not ignored do what they
// do by default. When it returns Ended knows of all that were caught.
func (c *Caught) Pause() {
	for _, to := range []chan os.Signal{c.caught, c.pipes, c.ends} {
		signal.Stop(to)
	}
}

// Stop has no signal acted on any more.
func (c *Caught) Stop() {
	c.Pause()
	close(c.caught)
	c.done()
}
