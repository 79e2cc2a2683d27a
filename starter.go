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
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Version is that of this module.
const Version = "1.0.0"

// Failure is why a worker, or the attempt to start one, has failed. Find it in an
// error with [errors.As].
type Failure = supervise.Failure

// ErrStopping is what Restart returns once the Starter has been told to stop.
var ErrStopping = supervise.ErrStopping

// Starter is a superdaemon. Its methods may be called from any goroutine.
type Starter struct {
	config Config
	plan
	sup *supervise.Supervisor

	started sync.Once // tells config.Started
	out     *output.Output

	mu       sync.Mutex // guards what follows, which Listen makes and Run closes
	sockets  *socket.Set
	pid      *runfile.PidFile
	status   *runfile.StatusFile
	notices  *notify.Listener // nil: workers are not asked to say that they are ready
	control  *control.Server  // nil: there is none
	unadopt  func()           // leaves orphans alone; nil: they are
	unhandle func()           // leaves signals alone again; nil: they are
	writes   output.Queue     // to the status file
	manager  *manager         // nil: there is none to be told

	slots     sync.Mutex // what is done to sockets while workers run
	steerless sync.Once  // it was said that the system cannot steer

	lost map[string]bool // paths of which it was said that they are gone; touched in the output's queue only
}

// New checks the configuration and touches nothing. The error names every
// fault that was found, a line each.
func New(c Config) (*Starter, error) {
	c.complete()
	plan, err := c.check()
	if err != nil {
		return nil, err
	}
	if c.EnvDir == "" {
		c.EnvDir = plan.env.get(envDir)
	}
	s := &Starter{config: c, plan: plan, out: output.New(c.Log, c.Name), lost: map[string]bool{}}
	life := supervise.Config{
		Spawner:      spawner{s},
		Observe:      s.observe,
		Workers:      c.Workers,
		Interval:     c.Interval,
		Attempts:     c.Attempts,
		RetireSignal: c.SignalOnHUP,
		AbortSignal:  syscall.SIGTERM,
		LeaveSignal:  c.SignalOnHUP,
		KillTimeout:  c.KillTimeout,
		NoRefill:     c.NoRefill,
		FirstServes:  c.FirstServes,
	}
	if c.KeepOld {
		life.RetireSignal = nil
	}
	if slices.ContainsFunc(plan.specs, func(spec socket.Spec) bool { return spec.Reuseport }) && c.Workers > 0 {
		life.Steer = s.steer
	}
	if c.Rolling {
		life.Surge = max(c.Surge, 1)
	}
	if c.Ready == ReadyNotify {
		life.ReadyTimeout = c.ReadyTimeout
	}
	if c.managed() {
		s.manager = newManager(life, s.out.Printf, func() { _, _ = s.sup.Status(context.Background()) })
		life.Settled = s.manager.settled
	}
	s.sup = supervise.New(life)
	return s, nil
}

// Listen takes the pid file, binds the sockets and opens the log: all that may
// fail before there is a worker. On an error nothing is left behind. Run calls
// it unless that has been done. It may block on name resolution, which with
// HandleSignals a signal to stop ends.
func (s *Starter) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets != nil {
		return nil
	}
	if err := s.checkControl(); err != nil {
		return err
	}
	s.out.Now("%s (pid:%d) starting now...", s.config.Name, os.Getpid())
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if s.config.HandleSignals {
		s.unhandle = s.handleSignals(cancel) // from now on there is something to clean up
	}
	err := s.open(ctx)
	if err != nil {
		s.release()
		s.out.Flush()
	}
	return err
}

func (s *Starter) open(ctx context.Context) (err error) {
	if err = proc.SealInherited(); err != nil {
		return fmt.Errorf("cannot keep inherited descriptors from the workers: %w", err)
	}
	if s.inInitsPlace() {
		if s.unadopt, err = s.adoptOrphans(); err != nil {
			return err
		}
	}
	// The pid file comes first: who holds it also holds the socket paths.
	if s.config.PidFile != "" {
		if s.pid, err = runfile.Hold(s.config.PidFile); err != nil {
			return err
		}
	}
	env, err := s.workerEnv()
	if err != nil {
		return err
	}
	if err := s.config.command(s.plan, s.config.Command, env, nil).Check(); err != nil {
		return err
	}
	sockets, err := socket.Bind(ctx, s.specs, socket.Options{
		Backlog:  s.config.Backlog,
		Slots:    s.config.Workers,
		Removing: func(path string) { s.out.Printf("removing existing socket file:%s", path) },
	})
	if err != nil {
		return err
	}
	s.sockets = sockets
	s.warn()
	if err := s.out.Open(s.config.LogFile, output.Config{Redirect: s.config.RedirectOutput, Run: s.runLogger}); err != nil {
		return err
	}
	// Not before the ports are ours: the one that is there may be that of
	// whoever has them.
	if s.config.StatusFile != "" {
		if s.status, err = runfile.NewStatusFile(s.config.StatusFile); err != nil {
			return err
		}
	}
	if s.config.Ready == ReadyNotify {
		if s.notices, err = notify.Listen(s.runAs != nil, s.onNotice); err != nil {
			return err
		}
	}
	if s.config.Control != "" { // last: whoever connects can be answered
		if err := s.openControl(); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (s *Starter) onNotice(m notify.Message) {
	s.sup.Notify(context.Background(), supervise.Notice{Pids: m.Pids, Ready: m.Ready, Stopping: m.Stopping, Status: m.Status})
}

// runLogger starts a log command. It gets a process group of its own: Ctrl-C in a
// terminal must not end the log before the workers have.
func (s *Starter) runLogger(args []string, files []int) (output.Process, error) {
	env := environment(os.Environ()).without(s.config.forManaged)
	return proc.Start(proc.Command{Args: args, Env: env, Files: files, Group: true})
}

// Addrs are the addresses of the bound sockets, ports first, then paths, each
// in the order given. It is nil before Listen and after Run.
func (s *Starter) Addrs() []net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets == nil {
		return nil
	}
	var addrs []net.Addr
	for _, socket := range s.sockets.Sockets {
		addrs = append(addrs, socket.Addr)
	}
	return addrs
}

// Run runs the server program until ctx ends or, with HandleSignals, a signal
// says so, and returns when the last worker is gone: nil then, and otherwise
// why there is none. It must be called once.
func (s *Starter) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		s.sup.Close()
		s.manager.end(err)
		return err
	}
	err := s.sup.Run(ctx, s.config.SignalOnTERM)
	s.out.Wait()
	s.manager.end(err)
	s.writes.Flush()
	if why := (*Failure)(nil); err != nil && !(errors.As(err, &why) && why.Last) { // which was told when it ended
		s.out.Printf("giving up: %v", err)
	}
	s.out.Printf("exiting")
	if err != nil {
		err = s.explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = errors.Join(err, s.release())
	s.out.Flush() // what was printed after the log was closed
	return err
}

// release undoes open, in reverse.
func (s *Starter) release() error {
	var faults []error
	if s.control != nil { // before the pid file: whoever has waited for that can begin
		faults = append(faults, s.control.StopListening())
	}
	if s.notices != nil {
		faults = append(faults, s.notices.Close())
	}
	if s.status != nil {
		if err := s.status.Remove(); err != nil {
			s.out.Printf("%v", err) // never fatal
		}
	}
	faults = append(faults, s.out.Close())
	if s.sockets != nil {
		s.slots.Lock() // steer may be at it yet
		faults = append(faults, s.sockets.Close())
		s.sockets = nil
		s.slots.Unlock()
	}
	if s.pid != nil {
		faults = append(faults, s.pid.Release())
	}
	if s.control != nil { // after all else: a client that waits for our end learns of it by this
		faults = append(faults, s.control.Close())
	}
	if s.unadopt != nil {
		s.unadopt()
	}
	if s.unhandle != nil {
		s.unhandle() // last: a signal that comes now must leave nothing behind
	}
	s.unhandle, s.unadopt, s.notices, s.status, s.pid, s.control = nil, nil, nil, nil, nil, nil
	return errors.Join(faults...)
}

// Restart replaces the running generation by a new one, as HUP does, and
// blocks until that is live, the attempt has failed, or ctx ends, which does
// not take the request back. The error then says how the worker ended, and
// has the last lines of the log file since the attempt began. A request that comes while a generation is
// starting is for the one after it. While Run is not running it blocks.
func (s *Starter) Restart(ctx context.Context) error {
	select {
	case how := <-s.sup.Restart(ctx, "restart requested"):
		return s.explain(how.Err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// spawner starts workers for the supervisor.
type spawner struct{ *Starter }

func (s spawner) Spawn(generation, slot int) (supervise.Process, supervise.Settings, error) {
	s.out.Mark(generation)
	env, err := s.workerEnv()
	if err != nil {
		return nil, supervise.Settings{}, err
	}
	settings, err := env.settings()
	if err != nil {
		s.out.Printf("envdir %s: %v: the default is used", s.config.EnvDir, err)
	}
	args, err := s.args()
	if err != nil {
		return nil, supervise.Settings{}, err
	}
	files, err := s.files(slot)
	if err != nil {
		return nil, supervise.Settings{}, err
	}
	p, err := s.start(s.config.command(s.plan, args, env.with(s.told(generation, slot)...), files))
	if err != nil {
		return nil, supervise.Settings{}, err
	}
	// Go has raised our own limit; what a worker has can be seen of one only.
	if err := s.sockets.Fit(p.MaxFiles()); err != nil && generation == 1 {
		_ = p.Signal(os.Kill)
		p.Wait()
		return nil, supervise.Settings{}, err
	}
	return p, settings, nil
}

// start starts a worker.
func (s *Starter) start(c proc.Command) (*proc.Process, error) {
	if !s.config.PrefixOutput {
		return proc.Start(c)
	}
	relay, err := s.out.Relay()
	if err != nil {
		return nil, err
	}
	stdout, stderr := s.out.Descriptors()
	for fd, ours := range map[int]int{1: stdout, 2: stderr} {
		if c.Files[fd] == ours { // no socket is pinned there
			c.Files[fd] = relay.Descriptor()
		}
	}
	p, err := proc.Start(c)
	if err != nil {
		relay.Cancel()
		return nil, err
	}
	relay.Begin(p.Pid())
	return p, nil
}

// command is how a worker is started.
func (c *Config) command(p plan, args, env []string, files []int) proc.Command {
	worker := proc.Command{
		Args:          args,
		Env:           env,
		Dir:           c.Dir,
		Files:         files,
		Group:         c.KillGroup,
		Umask:         c.Umask,
		Nice:          c.Nice,
		Credential:    p.runAs,
		DieWithParent: c.DieWithParent,
	}
	for _, e := range p.exports {
		worker.PidVariable = cmp.Or(worker.PidVariable, e.OwnPID)
	}
	return worker
}

// workerEnv is the base environment with what the envdir holds now.
func (s *Starter) workerEnv() (environment, error) {
	if s.config.EnvDir == "" {
		return s.env, nil
	}
	pairs, err := readEnvDir(s.config.EnvDir)
	return s.env.with(pairs...), err
}
