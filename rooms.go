package starter

import (
	"context"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/survive"
)

// This file makes those rooms that need more than a line.

// reports are the observers of the supervisor that are needed after New.
type reports struct {
	status  *report.StatusFile
	clients *report.Clients
	sockets *report.Sockets
	manager *report.Manager // nil: there is no service manager to be told
	gone    report.Gone
	onEvent *report.OnEvent

	control atomic.Pointer[control.Server] // clients.Server, for other goroutines
}

// newAsker is what asks workers; nil: they are not asked.
func (s *Starter) newAsker() *probe.Asker {
	if len(s.plan.probes) == 0 {
		return nil
	}
	return &probe.Asker{
		New: func() *probe.Checker {
			return &probe.Checker{
				Probes: s.plan.probes, Timeout: s.config.ProbeTimeout,
				Command: s.config.ProbeCommand, Credential: s.plan.program.Start.Credential, Dir: s.config.Dir,
				Env:    func() ([]string, error) { return s.workerEnv() },
				Stderr: func() int { _, stderr := s.out.Descriptors(); return stderr },
			}
		},
		Sockets: func() []fdenv.Socket { return launch.Names(s.launcher.Sockets.Sockets) },
		Connect: func(ctx context.Context, place, slot, side int) (int, error) {
			return s.launcher.Sockets.Connect(ctx, place, slot, side)
		},
		Rivals: func(ctx context.Context, w supervise.Worker) []int { return s.sup.Rivals(ctx, w) },
	}
}

// survivors are what is left of a superdaemon that was killed.
func (s *Starter) survivors() *survive.Survivors {
	left := &survive.Survivors{
		Out: s.out, Set: func() *socket.Set { return s.launcher.Sockets }, Keep: s.config.FDStore,
		Signal: s.config.SignalOnHUP, Delay: s.killOldDelay, Timeout: s.config.KillTimeout,
	}
	if s.config.ReplaceOrphans {
		left.Orphans = s.config.StatusFile
	}
	if s.images.Last != nil {
		left.Last = &survive.Held{Kept: s.images.Last.Kept, Orphans: s.images.Last.Orphans}
	} else {
		left.Passed = fdenv.Kept(os.Getenv, os.Getpid())
	}
	return left
}

// observers are those that hear of events, in the order in which they do.
func (s *Starter) observers() []supervise.Observer {
	c := &s.config
	s.reports.status = &report.StatusFile{Out: s.out}
	s.reports.clients = &report.Clients{Verbose: c.Verbose}
	s.reports.sockets = &report.Sockets{Out: s.out, Set: func() *socket.Set { return s.launcher.Sockets }, Tail: s.out.Tail}
	serving := func() {
		s.reports.status.Flush() // the file may be read as soon as Serving is called
		c.Serving()
	}
	all := []supervise.Observer{
		&report.First{Is: report.IsStart, Do: c.Started}, &report.Memory{Give: debug.FreeOSMemory},
		s.reports.status, &s.reports.gone, &report.First{Is: report.IsServing, Do: serving},
	}
	if c.managed() {
		s.reports.manager = report.NewManager(s.out.Printf, func() { s.sup.Wake(context.Background()) })
		all = append(all, s.reports.manager)
	}
	s.left = s.survivors()
	all = append(all, s.left.Observers(s.reports.manager)...)
	all = append(all, s.reports.clients, &report.Log{Out: s.out, Verbose: c.Verbose}, &report.Paths{
		Out: s.out, Name: c.Name,
		Lost:  func() []string { return s.launcher.Sockets.Lost() },
		Renew: func() (bool, error) { return s.reports.control.Load().Renew() },
	})
	if len(s.plan.specs) > 0 {
		all = append(all, s.reports.sockets)
	}
	s.reports.onEvent = report.NewOnEvent(s.plan.rules, s.out, report.Caller(s.out, s.config.ownEnv))
	if s.reports.onEvent.Verbose = c.Verbose; len(s.plan.rules) > 0 {
		all = append(all, s.reports.onEvent)
	}
	return all
}
