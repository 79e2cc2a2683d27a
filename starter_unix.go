//go:build unix

package starter

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// handleSignals acts on signals until the function it returns is called. A
// signal to stop also cancels what Listen is doing.
func (s *Starter) handleSignals(cancel context.CancelCauseFunc) (stop func()) {
	// Ignored, and so in the workers, as the original has it. A terminal that
	// is gone must not end us by PIPE while workers serve.
	signal.Ignore(syscall.SIGPIPE)
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	if s.config.Workers > 0 {
		signal.Notify(caught, syscall.SIGTTIN, syscall.SIGTTOU)
	}
	ctx, done := context.WithCancel(context.Background())
	go func() {
		for sig := range caught {
			s.onSignal(ctx, sig, cancel)
		}
	}()
	return func() {
		signal.Stop(caught)
		signal.Reset(syscall.SIGPIPE)
		close(caught)
		done()
	}
}

// inInitsPlace tells that orphans come to us, and that who wants to reach the
// workers has nobody but us to send a signal to.
func (s *Starter) inInitsPlace() bool {
	return s.config.Subreaper || s.config.HandleSignals && os.Getpid() == 1
}

// adoptOrphans has them waited for until the function it returns is called.
func (s *Starter) adoptOrphans() (stop func(), err error) {
	undo := func() {}
	if s.config.Subreaper {
		if undo, err = proc.BecomeSubreaper(); err != nil {
			return nil, err
		}
	}
	reaped := proc.ReapOrphans()
	return func() { undo(); reaped() }, nil
}

func (s *Starter) onSignal(ctx context.Context, sig os.Signal, cancel context.CancelCauseFunc) {
	cause := "received " + signalName(sig)
	stop := func(with os.Signal, delay time.Duration) {
		cancel(errors.New(cause))
		if s.config.PassSignals {
			s.sup.Pass(ctx, cause, sig)
			return
		}
		s.sup.Stop(ctx, cause, with, delay)
	}
	switch sig {
	case syscall.SIGHUP:
		s.sup.Restart(ctx, cause)
	case syscall.SIGTERM:
		stop(s.config.SignalOnTERM, s.config.StopDelay)
	case syscall.SIGINT:
		stop(syscall.SIGTERM, 0)
	case syscall.SIGQUIT:
		stop(syscall.SIGQUIT, 0)
	case syscall.SIGTTIN:
		s.sup.Resize(ctx, cause, 1)
	case syscall.SIGTTOU:
		s.sup.Resize(ctx, cause, -1)
	case syscall.SIGUSR1, syscall.SIGUSR2:
		if s.inInitsPlace() && !s.config.PassSignals {
			_, _ = s.sup.Signal(ctx, cause, sig, -1) // after the end there are no workers
			return
		}
		s.out.Printf("%s, which means nothing to %s: ignored", cause, s.config.Name)
	}
}
