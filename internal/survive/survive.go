// Package survive is what a superdaemon does after an earlier one was killed: it takes over the
// sockets that the service manager has kept, or that orphaned workers have, and tells those
// workers to go when a generation of its own serves.
package survive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Survivors are what is left of a superdaemon that was killed. They also keep what the next one
// needs if this one is killed. The fields are set before its first use, and not changed after that.
type Survivors struct {
	Out *output.Output
	// Set returns the sockets. It is called when they are bound, from any goroutine.
	Set func() *socket.Set
	// Keep tells that the service manager is to keep the sockets.
	Keep bool
	// Passed are the sockets that it has kept; none with Last: that image has had them.
	Passed []fdenv.Passed
	// Orphans is the status file that lists orphans to replace; "": they are not looked for.
	Orphans string
	// Signal tells orphans to go, after Delay. Delay is called when a generation serves.
	// Orphans that are still there a Timeout later are killed; 0: they are not.
	Signal  os.Signal
	Delay   func() time.Duration
	Timeout time.Duration
	// Last is what the last image of this program has handed over; nil: this is the first
	// one. With Last nothing is looked for: an earlier image has done that.
	Last *Held

	store   *report.Store    // nil: the service manager has kept nothing, and is to keep nothing
	orphans *runfile.Orphans // nil: there are none, and they were not looked for
	taken   []*socket.Held   // sockets of the superdaemon that was killed
	why     error            // why not all sockets of orphans could be taken over
}

// Held is what one image of this program hands over to the next.
type Held struct {
	Kept    []socket.Kept
	Orphans *runfile.HeldOrphans // nil: there are none
}

// last is what the last image has handed over: nothing, if there was none.
func (s *Survivors) last() Held {
	if s.Last == nil {
		return Held{}
	}
	return *s.Last
}

// Observers are those that hear of events. m is nil if there is no service manager.
func (s *Survivors) Observers(m *report.Manager) []supervise.Observer {
	var all []supervise.Observer
	if m != nil && (s.Keep || len(s.Passed) > 0 || len(s.last().Kept) > 0) {
		s.store = report.NewStore(m, s.Set, !s.Keep)
		s.store.Begin(s.last().Kept)
		all = append(all, s.store)
	}
	if s.Orphans != "" || s.last().Orphans != nil {
		all = append(all, &report.First{Is: isLive, Do: s.retire})
	}
	return all
}

// isLive tells that a generation serves.
func isLive(e supervise.Event) bool { _, is := e.(supervise.WentLive); return is }

// Find finds what is left, and returns the sockets that are taken over. It blocks while names
// are looked up, until ctx ends.
func (s *Survivors) Find(ctx context.Context, specs []socket.Spec) []*socket.Held {
	if s.Last != nil {
		if h := s.Last.Orphans; h != nil {
			s.orphans = runfile.AdoptOrphans(h, s.Out.Printf)
		}
		return nil
	}
	if len(s.Passed) > 0 {
		taken, kept := socket.Restore(specs, s.Passed)
		s.taken = taken
		s.store.Begin(kept)
	}
	if s.Orphans != "" {
		s.takeFromOrphans(ctx, specs)
	}
	return s.taken
}

func (s *Survivors) takeFromOrphans(ctx context.Context, specs []socket.Spec) {
	orphans, err := runfile.FindOrphans(s.Orphans)
	s.orphans = orphans
	orphans.Log = s.Out.Printf
	if err != nil {
		s.why = fmt.Errorf("replace-orphans: %w", err)
		return
	}
	var from []socket.Process
	for _, o := range orphans.All {
		from = append(from, socket.Process{Pid: o.Pid, Handle: o.Handle, Parent: o.Parent})
	}
	taken, err := socket.TakeFrom(ctx, specs, s.taken, from)
	if err != nil {
		s.why = fmt.Errorf("replace-orphans: %w", err)
	}
	if len(taken) > 0 {
		s.Out.Printf("%s taken over from workers of a superdaemon that was killed:%s", text.Count(len(taken), "socket"), orphans)
	}
	s.taken = append(s.taken, taken...)
}

// Bound is called when all sockets are bound. It gives up others that were taken over, and
// orphans that have none of our sockets.
func (s *Survivors) Bound() {
	set := s.Set()
	if s.Last != nil {
		set.KeepPaths(s.Keep || s.OrphansServe())
		return
	}
	if len(s.taken) > 0 {
		set.Resteer()
		set.Relinquish()
	}
	if s.orphans != nil {
		ours := set.Inodes()
		s.orphans.Keep(func(o *runfile.Orphan) bool { return socket.Has(o.Pid, ours) })
		if len(s.orphans.All) > 0 {
			set.KeepPaths(true) // they serve there as long as we do not
		}
	}
	s.store.Sync()
}

// Lost is called when not all sockets could be bound. It returns err with what is known of the
// reason. It does not give up what the last image has handed over: that image may go on.
func (s *Survivors) Lost(err error) error {
	socket.Drop(s.taken)
	if s.orphans != nil && s.Last == nil {
		s.orphans.Keep(func(*runfile.Orphan) bool { return false })
	}
	if used := (*socket.InUseError)(nil); s.why != nil && errors.As(err, &used) {
		return fmt.Errorf("%w; %w", err, s.why)
	}
	return err
}

// OpenStatus opens the status file. The last image's file, and one that may list orphans, stay
// until there is something to write.
func (s *Survivors) OpenStatus(path string, ofLast bool) (*runfile.StatusFile, error) {
	switch {
	case ofLast && !s.OrphansServe():
		return runfile.AdoptStatusFile(path)
	case s.orphans != nil:
		return runfile.KeepStatusFile(path)
	}
	return runfile.NewStatusFile(path)
}

// OrphansServe tells whether there are orphans that are not to go yet: no generation has been
// live.
func (s *Survivors) OrphansServe() bool { return s.orphans != nil && !s.orphans.Asked() }

// retire tells the orphans to go, because a generation serves.
func (s *Survivors) retire() {
	s.Set().KeepPaths(s.Keep)
	s.orphans.Retire(s.Signal, s.Delay(), s.Timeout)
}

// Hand is what is left, for another image to go on with. Nothing is done to orphans until
// again is called.
func (s *Survivors) Hand() (h Held, again func()) {
	orphans, again := s.orphans.Hand()
	return Held{s.store.State(), orphans}, again
}

// GoOn is called when this image goes on in the place of the last one. live tells that a
// generation serves.
func (s *Survivors) GoOn(live bool) {
	s.store.Sync()
	if s.orphans.GoOn(); live && s.OrphansServe() { // the last image had no time to retire them
		go s.retire()
	}
}

// LetGo gives up the sockets that only the last image had. It is called when no worker has them.
func (s *Survivors) LetGo() {
	s.Set().Relinquish()
	s.store.Sync()
}

// Close lets the orphans be, see runfile.Orphans.Close.
func (s *Survivors) Close() error {
	if s.orphans == nil {
		return nil
	}
	return s.orphans.Close()
}
