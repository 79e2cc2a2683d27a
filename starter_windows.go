package starter

import (
	"context"
	"errors"
	"os"
	"os/signal"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// handleSignals stops at Ctrl-C, which is all that Windows knows.
func (s *Starter) handleSignals(cancel context.CancelCauseFunc) (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt)
	ctx, done := context.WithCancel(context.Background())
	go func() {
		for range caught {
			cancel(errors.New("received INT"))
			s.sup.Stop(ctx, "received INT", s.config.SignalOnTERM, 0)
		}
	}()
	return func() {
		signal.Stop(caught)
		close(caught)
		done()
	}
}

func (s *Starter) inInitsPlace() bool { return s.config.Subreaper }

func (s *Starter) adoptOrphans() (stop func(), err error) { return proc.BecomeSubreaper() }
