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

// Catch acts on the signals of the table, from one goroutine, until the function that it
// returns is called. PIPE is caught and nothing done: a terminal that is gone must not end
// us. Children start with its default action, as a shell would start them: an ignored
// signal they would inherit.
func (t Table) Catch(log func(format string, args ...any)) (stop func()) {
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	caught := make(chan os.Signal, 256)
	for sig := range t {
		signal.Notify(caught, sig)
	}
	ctx, done := context.WithCancel(context.Background())
	go t.act(ctx, caught, log)
	return func() {
		signal.Stop(caught)
		signal.Stop(pipes)
		close(caught)
		done()
	}
}
