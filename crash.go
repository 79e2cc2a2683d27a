package starter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// This file is what a superdaemon does that comes after one which was killed: it takes over
// the sockets that the service manager has kept, or that orphaned workers have.

func (c *Config) checkCrash() error {
	var faults []error
	if c.FDStore && runtime.GOOS != "linux" || c.ReplaceOrphans && runtime.GOOS != "linux" {
		return errors.New("only Linux can keep sockets over a crash: fdstore and replace-orphans are not for this system")
	}
	if c.FDStore && !c.managed() {
		faults = append(faults, errors.New("fdstore: there is no service manager to keep the sockets, as NOTIFY_SOCKET is not set"))
	}
	if c.ReplaceOrphans && c.StatusFile == "" {
		faults = append(faults, errors.New("replace-orphans needs the status file that lists them"))
	}
	return errors.Join(faults...)
}

// survivors is what is left of a superdaemon that was killed.
type survivors struct {
	held []*socket.Held // its sockets
	why  error          // not all that they have could be taken over
}

// keptAbove are the sockets that the service manager has kept. After an upgrade the last
// image has handed them over.
func (s *Starter) keptAbove() []fdenv.Passed {
	if s.handed != nil {
		return nil
	}
	return fdenv.Kept(os.Getenv, os.Getpid())
}

// storeFor is the manager's store; nil: there is nothing to do with it.
func (s *Starter) storeFor(m *report.Manager) *report.Store {
	if !s.config.FDStore && len(s.keptAbove()) == 0 && len(s.held().Kept) == 0 {
		return nil
	}
	store := report.NewStore(m, func() *socket.Set { return s.launcher.Sockets }, !s.config.FDStore)
	store.Begin(s.held().Kept)
	return store
}

// survive finds what is left of a superdaemon that was killed.
func (s *Starter) survive(ctx context.Context) *survivors {
	found := &survivors{}
	if s.handed != nil {
		if h := s.handed.Orphans; h != nil {
			s.orphans = runfile.AdoptOrphans(h, s.out.Printf)
		}
		return found
	}
	if passed := s.keptAbove(); len(passed) > 0 {
		held, kept := socket.Restore(s.plan.specs, passed)
		found.held = held
		if s.reports.store != nil {
			s.reports.store.Begin(kept)
		}
	}
	if s.config.ReplaceOrphans {
		found.takeFrom(ctx, s)
	}
	return found
}

func (f *survivors) takeFrom(ctx context.Context, s *Starter) {
	orphans, err := runfile.FindOrphans(s.config.StatusFile)
	s.orphans = orphans
	orphans.Log = s.out.Printf
	if err != nil {
		f.why = fmt.Errorf("replace-orphans: %w", err)
		return
	}
	var from []socket.Process
	for _, o := range orphans.All {
		from = append(from, socket.Process{Pid: o.Pid, Handle: o.Handle, Parent: o.Parent})
	}
	taken, err := socket.TakeFrom(ctx, s.plan.specs, f.held, from)
	if err != nil {
		f.why = fmt.Errorf("replace-orphans: %w", err)
	}
	if len(taken) > 0 {
		s.out.Printf("%s taken over from workers of a superdaemon that was killed:%s", text.Count(len(taken), "socket"), orphans)
	}
	f.held = append(f.held, taken...)
}

// bound is called when all is bound: what is left is given up or, the orphans, told to go
// when that is safe.
func (s *Starter) bound(f *survivors) {
	if s.handed != nil {
		s.launcher.Sockets.KeepPaths(s.config.FDStore || s.orphansServe())
		return
	}
	if len(f.held) > 0 {
		s.launcher.Sockets.Resteer()
		s.launcher.Sockets.Relinquish()
	}
	if s.orphans != nil {
		ours := s.launcher.Sockets.Inodes()
		s.orphans.Keep(func(o *runfile.Orphan) bool { return socket.Has(o.Pid, ours) })
		if len(s.orphans.All) > 0 {
			s.launcher.Sockets.KeepPaths(true) // they serve there as long as we do not
		}
	}
	s.reports.store.Sync()
}

// lost is called when not all could be bound. It returns err with what is known of the reason. What
// the last image has handed over is not given up: that one may go on.
func (f *survivors) lost(s *Starter, err error) error {
	socket.Drop(f.held)
	if s.orphans != nil && s.handed == nil {
		s.orphans.Keep(func(*runfile.Orphan) bool { return false })
	}
	if used := (*socket.InUseError)(nil); f.why != nil && errors.As(err, &used) {
		return fmt.Errorf("%w; %w", err, f.why)
	}
	return err
}

// orphansServe tells that there are orphans that the last image has found, and that no generation
// has been live yet.
func (s *Starter) orphansServe() bool { return s.orphans != nil && !s.orphans.Asked() }

// isLive tells that a generation serves.
func isLive(e supervise.Event) bool { _, is := e.(supervise.WentLive); return is }

// retireOrphans tells them to go, as a generation serves.
func (s *Starter) retireOrphans() {
	s.launcher.Sockets.KeepPaths(s.config.FDStore)
	env, err := s.workerEnv()
	if err != nil {
		env = s.plan.env
	}
	set, _ := settings(env) // where one is wrong it is the default
	s.orphans.Retire(s.config.SignalOnHUP, set.KillOldDelay, s.config.KillTimeout)
}
