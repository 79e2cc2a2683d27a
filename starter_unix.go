//go:build unix

package starter

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/signals"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// signals is what each signal asks for.
func (s *Starter) signals() signals.Table {
	stop := func(with os.Signal, delay time.Duration) signals.Request {
		return func(ctx context.Context, cause string) { s.sup.Stop(ctx, cause, with, delay) }
	}
	pass := func(sig os.Signal) signals.Request {
		return func(ctx context.Context, cause string) { s.sup.Pass(ctx, cause, sig) }
	}
	resize := func(by int) signals.Request {
		return func(ctx context.Context, cause string) {
			if _, err := s.sup.Resize(ctx, cause, supervise.Size{Change: by}); err != nil && !errors.Is(err, ErrStopping) && ctx.Err() == nil {
				s.out.Warnf("%s: ignored, as %v", cause, err)
			}
		}
	}
	signalWorkers := func(sig os.Signal) signals.Request {
		return func(ctx context.Context, cause string) {
			_, _ = s.sup.Signal(ctx, cause, sig, -1) // after the end there are no workers
		}
	}
	ignored := func(_ context.Context, cause string) {
		s.out.Printf("%s, which means nothing to %s: ignored", cause, s.config.Name)
	}
	table := signals.Table{
		syscall.SIGHUP:  s.sup.AskRestart,
		syscall.SIGTERM: stop(s.config.SignalOnTERM, s.config.StopDelay),
		syscall.SIGINT:  interrupt(stop(syscall.SIGTERM, 0), stop(os.Kill, 0), proc.InForeground),
		syscall.SIGQUIT: stop(syscall.SIGQUIT, 0),
		syscall.SIGUSR1: ignored,
		syscall.SIGUSR2: ignored,
	}
	if s.config.Workers > 0 {
		table[syscall.SIGTTIN], table[syscall.SIGTTOU] = resize(1), resize(-1)
	}
	switch {
	case s.config.Follow:
		for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
			table[sig] = pass(sig)
		}
	case s.config.inInitsPlace():
		for _, sig := range []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
			table[sig] = signalWorkers(sig)
		}
	}
	if s.config.LogFile != "" {
		table[syscall.SIGUSR1] = s.reopening(table[syscall.SIGUSR1])
	}
	if s.config.UpgradeOnUSR1 {
		table[syscall.SIGUSR1] = func(_ context.Context, cause string) { go s.upgradeOn(cause) }
	}
	return table
}

// reopening has the log file reopened. If USR1 is also for the workers, it does otherwise,
// too, which is what USR1 means without a log file.
func (s *Starter) reopening(otherwise signals.Request) signals.Request {
	forWorkers := s.config.inInitsPlace() && !s.config.Follow
	return func(ctx context.Context, cause string) {
		s.out.ReopenOn(cause, forWorkers)
		if forWorkers {
			otherwise(ctx, cause)
		}
	}
}

// upgradeOn upgrades to the file at the path of our own executable, with the same command line.
// It blocks as long as a rehearsal does.
func (s *Starter) upgradeOn(cause string) {
	if err := s.upgrade(context.Background(), cause, Image{}, nil); errors.Is(err, supervise.ErrFreezing) {
		s.out.Warnf("%s: ignored, as %v", cause, err)
	}
}

// insistence is the time after an INT in which another one kills what is left.
const insistence = 5 * time.Second

// interrupt is what INT asks for: a stop. If it is Ctrl-C on a terminal, which the workers
// have got, too, a second one kills what is left. Requests come from one goroutine.
func interrupt(stop, kill signals.Request, onTerminal func() bool) signals.Request {
	var last time.Time
	return func(ctx context.Context, cause string) {
		now, request := time.Now(), stop
		if !last.IsZero() && now.Sub(last) <= insistence && onTerminal() {
			request = kill
		}
		request(ctx, cause)
		if ctx.Err() == nil { // otherwise an upgrade has come in between, and this one comes once more
			last = now
		}
	}
}
