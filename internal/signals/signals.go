// Package signals catches signals and acts on them, at a bounded rate.
package signals

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Request is what a signal asks for. The context ends when signals are no longer acted
// on. cause is for the log.
type Request func(ctx context.Context, cause string)

// Table is what each signal asks for.
type Table map[os.Signal]Request

// Caught are signals that are acted on.
type Caught struct {
	table   Table
	log     func(format string, args ...any)
	ending  func(cause string)
	raw     chan os.Signal // signals as they come; nil asks for reached
	reached chan struct{}  // the answer to a nil: what came before it is in caught
	caught  chan os.Signal
	pipes   chan os.Signal
	ended   atomic.Bool // see Ended
	done    context.CancelFunc
	left    chan []os.Signal // gets those that were not acted on, after done was called
}

// Catch acts on the signals of the table, from one goroutine, until Stop is called. ending is
// called with the cause as soon as TERM, INT or QUIT has come, even if the request of an earlier
// signal blocks. PIPE is caught, and nothing is done: a terminal that is gone must not end us. It
// is not ignored, because children would inherit that: they start with its default action, as
// from a shell.
func (t Table) Catch(log func(format string, args ...any), ending func(cause string)) *Caught {
	c := &Caught{
		table: t, log: log, ending: ending, raw: make(chan os.Signal, atOnce), reached: make(chan struct{}),
		caught: make(chan os.Signal, atOnce), pipes: make(chan os.Signal, 1),
	}
	signal.Notify(c.pipes, syscall.SIGPIPE)
	go c.pass()
	c.catch()
	return c
}

// How many signals may wait.
const (
	atOnce   = 256
	forStops = 16 // of these places are only for signals that end everything
)

func ends(sig os.Signal) bool {
	return sig == syscall.SIGTERM || sig == syscall.SIGINT || sig == syscall.SIGQUIT
}

// pass passes signals on, and never waits until one is acted on.
func (c *Caught) pass() {
	for sig := range c.raw {
		if sig == nil {
			c.reached <- struct{}{}
			continue
		}
		c.Add(sig)
	}
	close(c.caught)
}

func (c *Caught) catch() {
	ctx, done := context.WithCancel(context.Background())
	left := make(chan []os.Signal, 1)
	c.done, c.left = done, left
	for sig := range c.table {
		signal.Notify(c.raw, sig)
	}
	go func() { left <- c.table.act(ctx, c.caught, c.log) }()
}

// Pause stops catching signals: they then have their default action, unless they are ignored. It
// returns those that have come and were not acted on; Ended knows of them. Requests under way
// have to return when their context ends: Pause blocks until they have. Call Again or Stop
// afterwards.
func (c *Caught) Pause() []os.Signal {
	signal.Stop(c.raw) // what was caught is in there when it returns
	c.raw <- nil
	<-c.reached
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

// Add is for a signal that was caught elsewhere. One that is not in the table is dropped.
func (c *Caught) Add(sig os.Signal) {
	if c.table[sig] == nil {
		return
	}
	if ends(sig) {
		c.ended.Store(true)
		c.ending(cause(sig))
	} else if len(c.caught) >= atOnce-forStops {
		return
	}
	select {
	case c.caught <- sig:
	default: // enough of them wait to be acted on
	}
}

// Forget has Ended tell only of what comes from now on.
func (c *Caught) Forget() { c.ended.Store(false) }

// Ended tells whether TERM, INT or QUIT has come since Forget was called, whether or not it was
// acted on.
func (c *Caught) Ended() bool { return c.ended.Load() }

// Stop stops acting on signals.
func (c *Caught) Stop() {
	signal.Stop(c.raw)
	signal.Stop(c.pipes)
	close(c.raw)
	c.done()
}
