// Package starter is a superdaemon as a library: it binds sockets once, runs a
// server program on them, and replaces it by a newer generation without
// refusing or dropping a connection. The command start_server is this package
// with a command line.
//
// A [Starter] keeps no global state, changes no environment variable, never
// exits the process, and catches signals only if asked, so a program may run
// several. Two things it cannot keep to itself: descriptors that the process
// inherited are marked close-on-exec, so that workers do not get them, and the
// working directory, when Listen is called, is the one that relative paths
// start from.
package starter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/command"
	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/signals"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/survive"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Version is the version of this module.
const Version = "1.0.0"

// ErrStopping is what Restart returns once the Starter has been told to stop.
var ErrStopping = supervise.ErrStopping

// Starter is a superdaemon. Its methods may be called from any goroutine.
type Starter struct {
	config Config
	plan   plan
	rooms
	opened
}

// rooms are what New makes.
type rooms struct {
	out      *output.Output
	sup      *supervise.Supervisor
	launcher *launch.Spawner
	commands *command.Commands
	reports  reports
	asker    *probe.Asker // nil: workers are not asked whether they serve
	left     *survive.Survivors
	images   *handover.Images
}

// opened is what Listen opens, and how that is undone.
type opened struct {
	mu   sync.Mutex
	open undo // nil: nothing is open

	caught  *signals.Caught  // nil: no signal is caught
	adopted *proc.Orphans    // nil: orphans do not come to us
	notices *notify.Listener // nil: workers are not asked to say that they are ready
}

// undo takes back what was done, the last thing first.
type undo []func() error

func (u *undo) add(do func() error) { *u = append(*u, do) }

func (u undo) run() error {
	var faults []error
	for _, do := range slices.Backward(u) {
		faults = append(faults, do())
	}
	return errors.Join(faults...)
}

// New checks the configuration and touches nothing. The error names every
// fault that was found, a line each.
func New(c Config) (*Starter, error) {
	c.complete()
	plan, err := c.check()
	if err != nil {
		return nil, handover.Back(err, nil)
	}
	if c.EnvDir == "" {
		c.EnvDir = plan.env.Get(envDir)
	}
	s := &Starter{config: c, plan: plan}
	s.out = output.New(c.Log, c.Name)
	if s.images, err = handover.NewImages(c.Name); err != nil {
		return nil, handover.Back(err, nil)
	}
	s.out.SetForm(output.Form{Format: output.Format(c.LogFormat), Workers: c.LogWorkers}, os.Getenv("JOURNAL_STREAM"))
	s.launcher = &launch.Spawner{Program: plan.program, Env: s.envAndSettings, Out: s.out, Relay: c.relays(), Watchdog: c.Watchdog}
	life := c.life()
	life.Spawner = s.launcher
	life.Hurry = s.launcher.Hurry
	if c.KillGroup {
		life.Leftovers = s.launcher.Leftovers
	}
	if c.SignalGroup {
		life.SignalGroup = s.launcher.SignalGroup
	}
	life.CatchUp = func() { s.notices.CatchUp() } // notices is set wherever CatchUp is called
	if c.Workers > 0 && slices.ContainsFunc(plan.specs, func(spec socket.Spec) bool { return spec.Reuseport }) {
		life.Steer = s.launcher.Steer
	}
	if c.BlueGreen {
		life.Traffic = s.launcher
	}
	if s.asker = s.newAsker(); s.asker != nil {
		life.Probe = s.asker.Ask
	}
	life.Observers = s.observers()
	s.sup = supervise.New(life)
	s.commands = &command.Commands{
		Sup: s.sup, Name: c.Name, Version: c.Release,
		StopSignal: c.SignalOnTERM, RetireSignal: c.SignalOnHUP, StopDelay: c.StopDelay,
		InForce: c.inForce, Resizable: c.Workers > 0, Acknowledged: c.Proof.how.Notified(),
		Waiting: func(side int) int { n, _ := s.launcher.Sockets.Waiting(side); return n },
		Sockets: s.reports.sockets.Status, Tail: s.out.Tail, Written: s.reports.status.Flush,
		Reopen: s.out.ReopenFor, Upgrade: s.byClient, Image: func() (time.Time, int) { return s.images.Since, s.images.Upgrades },
	}
	return s, nil
}

// Listen takes the pid file, binds the sockets and opens the log: all that may
// fail before there is a worker. On an error nothing is left behind. Run calls
// Listen if the program has not. It may block on name resolution; with HandleSignals
// a signal to stop ends that.
func (s *Starter) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open != nil {
		return nil
	}
	switch asked, err := handover.Rehearsal(s.config.Name); {
	case err != nil:
		return err
	case asked != nil:
		return s.rehearse(asked)
	}
	if err := s.claimControl(); err != nil {
		return s.images.Back(err, s.pause)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	open, err := s.openAll(ctx, cancel)
	if err == nil {
		if s.open = open; s.images.Last != nil {
			s.succeed()
		}
		return nil
	}
	if s.images.Last != nil {
		err = s.images.Back(err, s.pause)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = &stoppedError{cause}
		s.out.Printf("%v\nexiting", err)
	}
	_ = open.run()
	s.out.Flush()
	return err
}

// claimControl fails, before anything is done, if another superdaemon listens at our control socket.
func (s *Starter) claimControl() (err error) {
	switch last := s.images.State().Control; {
	case s.config.Control == "":
	case last != nil && handover.SamePath(s.config.Control, last.Path):
		s.launcher.Control = last.Path
	default:
		s.launcher.Control, err = control.Claim(s.config.Control)
	}
	return err
}

// stoppedError is what Listen returns if a signal asked for a stop meanwhile.
type stoppedError struct{ cause error }

func (e *stoppedError) Error() string { return e.cause.Error() + " before a worker was started" }

// openAll opens the rooms. What it returns undoes that, also after an error.
func (s *Starter) openAll(ctx context.Context, cancel context.CancelCauseFunc) (open undo, err error) {
	if s.config.HandleSignals { // opened first, closed last: a signal that comes at the end must leave nothing behind
		go proc.SpareThreads() // on a busy machine it takes as long as all the rest of a start
		stopping := func(cause string) { cancel(errors.New(cause)) }
		if s.images.Last != nil {
			stopping = func(string) {} // there are workers: the loop stops them
		}
		s.caught = s.signals().Catch(s.out.Printf, stopping)
		open.add(func() error { s.caught.Stop(); return nil })
		handover.Early(s.caught.Add)
	} else {
		handover.Early(raiseAgain)
	}
	if s.images.Last != nil {
		s.images.Adopt(s.out)
	} else {
		s.out.Now("%s (pid:%d) starting now...", s.config.Name, os.Getpid()) // from then on we may be signalled
	}
	if err := proc.SealInherited(); err != nil {
		return open, fmt.Errorf("cannot keep inherited descriptors from the workers: %w", err)
	}
	if s.config.inInitsPlace() {
		strangers := s.images.State().Strangers
		if s.images.Last == nil {
			strangers = proc.Strangers()
		}
		if s.adopted, err = proc.AdoptOrphans(s.config.Subreaper, strangers); err != nil {
			return open, err
		}
		open.add(s.adopted.Stop)
	}
	// A client that waits for our end sees it by this.
	open.add(func() error {
		server := s.reports.clients.Server
		s.reports.clients.Server = nil
		return server.Close()
	})
	// The pid file comes before the sockets: its holder also holds their paths.
	if s.config.PidFile != "" {
		pid, err := s.images.HoldPid(s.config.PidFile)
		if err != nil {
			return open, err
		}
		open.add(pid.Release)
	}
	for _, room := range []func(context.Context, *undo) error{s.bind, s.openFiles, s.openSockets} {
		if err := room(ctx, &open); err != nil {
			return open, err
		}
	}
	return open, context.Cause(ctx)
}

// bind binds the sockets if the program can be run.
func (s *Starter) bind(ctx context.Context, open *undo) error {
	if err := s.findProgram(); err != nil {
		return err
	}
	if passed := s.plan.untaken(); len(passed) > 0 { // before one of their ports is found to be in use
		s.out.Warnf("%s passed by LISTEN_FDS and not taken: %s; to take them use --inherit or Config.Inherit", text.Count(len(passed), "socket"), fdenv.Describe(passed))
	}
	left := s.left.Find(ctx, s.plan.specs)
	open.add(s.left.Close)
	sockets, err := socket.Bind(ctx, s.plan.specs, socket.Options{
		Backlog:  s.config.Backlog,
		Slots:    s.config.Workers,
		Removing: func(path string) { s.out.Printf("removing existing socket file:%s", path) },
		Held:     append(left, s.images.State().Sockets...),
		Again:    s.images.Last != nil,
		Stays:    func(what string) { s.out.Printf("%s", text.Line(what)) },

		KeepPaths: s.config.FDStore,
	})
	if err != nil {
		if used := (*socket.InUseError)(nil); s.config.StatusFile != "" && errors.As(err, &used) {
			err = runfile.LeftBehind(err, used.Pids, s.config.StatusFile, s.config.Name)
		}
		return s.left.Lost(err)
	}
	s.launcher.Sockets = sockets
	open.add(sockets.Close)
	s.images.Made(sockets.Abandon)
	s.left.Bound()
	s.launcher.Warn()
	if s.config.BlueGreen {
		go s.reports.sockets.Watch()
	}
	open.add(s.asker.Close)
	return s.asker.Open()
}

// openFiles opens the log and then the status file. The ports have to be ours by then: if
// another superdaemon had them, the status file that is there might be in use by it.
func (s *Starter) openFiles(_ context.Context, open *undo) error {
	if err := s.out.Open(s.config.LogFile, output.Config{Redirect: s.config.RedirectOutput, Run: s.runLogger, Held: s.images.State().Output, Relayed: s.config.relays()}); err != nil {
		return err
	}
	open.add(s.out.Close)
	s.images.Made(s.out.Abandon)
	if s.config.StatusFile == "" {
		return nil
	}
	status, err := s.left.OpenStatus(s.config.StatusFile, handover.SamePath(s.config.StatusFile, s.images.State().StatusFile))
	if err != nil {
		return err
	}
	open.add(func() error {
		s.reports.status.File = nil
		if err := status.Remove(); err != nil {
			s.out.Warnf("%v", err) // never fatal
		}
		return nil
	})
	s.reports.status.File = status
	return nil
}

// openSockets opens the notify socket, and then the control socket: from then on clients can
// be answered.
func (s *Starter) openSockets(_ context.Context, open *undo) error {
	runAs := s.plan.program.Start.Credential
	notices, err := s.adoptNotices()
	if err == nil && notices == nil && s.config.listens() {
		notices, err = notify.Listen(runAs != nil, s.sup.Notify)
	}
	if err != nil {
		return err
	}
	if notices != nil {
		open.add(notices.Close)
		if s.images.State().Notify == nil {
			s.images.Made(notices.Close)
		}
		s.notices = notices
	}
	if s.config.listens() {
		s.launcher.Notify = notices.Addr()
	}
	if s.launcher.Control == "" {
		return nil
	}
	c := control.Config{Name: s.config.Name, Do: s.commands.Do, Picture: s.commands.Picture, Refused: report.Refused(s.out), Held: s.images.State().Control}
	if runAs != nil {
		c.Worker = runAs.UID
	}
	if s.config.Proof.how.Notified() {
		c.Ancestors = notify.Ancestors
	}
	server, err := control.Listen(s.launcher.Control, c)
	if err != nil {
		return err
	}
	// This is undone before the pid file is let go: a superdaemon that waits for that begins then.
	open.add(server.StopListening)
	s.images.Made(server.Abandon)
	s.reports.clients.Server = server
	s.reports.control.Store(server)
	return nil
}

// pause catches no signals any more. err is ErrStopping if a signal to stop has come since the
// upgrade was asked for: no image must be executed then.
func (s *Starter) pause() (left []os.Signal, again func(), err error) {
	if s.caught == nil {
		return nil, func() {}, nil
	}
	left = s.caught.Pause()
	if s.caught.Ended() {
		err = ErrStopping
	}
	return left, func() { s.caught.Again(left) }, err
}

// Addrs are the addresses of the bound sockets, ports first, then paths, each
// in the order given. They are nil before Listen and after Run.
func (s *Starter) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return nil
	}
	return s.launcher.Sockets.Addrs()
}

// Run runs the server program until ctx ends or, with HandleSignals, a signal
// asks for a stop. It returns when the last worker is gone: nil after a stop, and
// otherwise an error that says why no worker is left. It must be called once.
func (s *Starter) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		if stopped := (*stoppedError)(nil); errors.As(err, &stopped) {
			err = nil // the stop was asked for
		}
		s.sup.Close()
		if !errors.Is(err, ErrRehearsal) { // the service manager is another process's
			s.reports.manager.End(err)
		}
		return err
	}
	run := func(ctx context.Context) error { return s.sup.Run(ctx, s.config.SignalOnTERM) }
	if s.images.Last != nil {
		run = s.goOn
	}
	err := run(ctx)
	s.reports.onEvent.End()
	limit := cmp.Or(s.config.KillTimeout, orphanTime)
	s.adopted.End(limit, report.Orphans(s.out, limit))
	s.out.Wait()
	s.reports.manager.End(err)
	s.reports.status.End()
	if why := (*supervise.Failure)(nil); err != nil && !(errors.As(err, &why) && why.Last) { // the end of the last one was told when it ended
		s.out.Log(output.Entry{Level: output.Error, Text: fmt.Sprintf("giving up: %v", err)})
	}
	s.out.Printf("exiting")
	err = report.Explain(err, s.out)
	s.mu.Lock()
	defer s.mu.Unlock()
	err = errors.Join(err, s.open.run())
	s.open = nil
	s.out.Flush() // what was printed after the log was closed
	return withFailure(err)
}

// orphanTime is the KillTimeout of orphans if none is set.
const orphanTime = 10 * time.Second

// Restart replaces the running generation by a new one, as HUP does. It blocks until
// the new one is live, the attempt has failed, or ctx ends, which does not take the
// request back. Before Run is called the request waits for that. A request that comes
// while a generation is starting is for the one after it. The error says how the worker
// ended, and has the last lines of the log file since the attempt began.
func (s *Starter) Restart(ctx context.Context) error {
	select {
	case how := <-s.sup.Restart(ctx, "restart requested"):
		s.reports.status.Flush()
		return withFailure(report.Explain(how.Err, s.out))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Reopen opens the log file anew by its path, if there is another file by now, or none. said
// says what was done, or why there was nothing to do. Reopen returns when all that was printed
// before is in the old file, and said is in the new one. From then on this package writes to
// the new file, and so do workers that are started later. Workers that run already do so only
// with LogWorkers or PrefixOutput. The error says why the old file stays in use, or that ctx
// has ended before it could be done.
func (s *Starter) Reopen(ctx context.Context) (said string, err error) {
	return s.out.Reopen(ctx, "reopening requested")
}

// Rollback gives the old generation, which stands by for KeepOld, all connections again, or
// ends a canary. It does not wait for the workers that it tells to go. The error says why
// there is no way back. Before Run is called it blocks, until ctx ends.
func (s *Starter) Rollback(ctx context.Context) error {
	return s.sup.Rollback(ctx, "rollback requested").Err
}

// Promote gives a canary all connections now, or tells an old generation that stands by to
// go. It returns when the new generation is live. Before Run is called it blocks, until ctx
// ends.
func (s *Starter) Promote(ctx context.Context) error {
	return s.sup.Promote(ctx, "promotion requested").Err
}
