package launch

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Spawner starts the workers. Its fields are set before the first generation begins,
// and not changed after that.
type Spawner struct {
	Program Program
	// Env returns the environment of a worker, without the variables that tell of the sockets,
	// and the settings in it. It is called for every worker.
	Env     func() (Environ, supervise.Settings, error)
	Sockets *socket.Set
	Out     *output.Output
	Relay   bool   // what workers write goes by way of Out, a line at a time
	Notify  string // the address of the notify socket; "": there is none
	// Watchdog is how long workers are told that they may be silent (sd_watchdog_enabled(3)).
	// 0: they are not asked to say that they are alive. It needs Notify.
	Watchdog time.Duration
	Control  string // the path of the control socket; "": there is none

	unsteered sync.Once // the log tells once that the system cannot steer
	bounds    bounds
}

// Begin makes the generation write to the file that is now at the path of the log, and notes
// where its log begins. If the log's file system hangs the generation begins without that, after
// three seconds at most, or when Hurry is called.
func (s *Spawner) Begin(generation int) error {
	s.bounds.look(func() {
		s.Out.Renew()
		s.Out.Mark(generation)
	})
	return nil
}

// Spawn starts a worker. It blocks until it is its turn, and then until the program is
// executed, for 11 seconds at most. If all turns are held by spawns that hang it fails at once.
// After Hurry it blocks for two seconds at most.
func (s *Spawner) Spawn(generation, slot, side int) (supervise.Process, supervise.Settings, error) {
	r := s.bounds.run(func(ctx context.Context) spawned {
		p, settings, err := s.spawn(ctx, generation, slot, side)
		return spawned{p, settings, err}
	})
	if r.err != nil {
		return nil, supervise.Settings{}, r.err // r.process would be an interface that holds a nil
	}
	return r.process, r.settings, nil
}

func (s *Spawner) spawn(ctx context.Context, generation, slot, side int) (*proc.Process, supervise.Settings, error) {
	env, settings, err := s.Env()
	if err != nil {
		return nil, settings, err
	}
	sockets := Names(s.Sockets.Sockets)
	args, err := s.Program.args(sockets)
	if err != nil {
		return nil, settings, err
	}
	if err := s.Sockets.Grow(slot + 1); err != nil { // where slots have sockets of their own
		return nil, settings, err
	}
	stdout, stderr := s.Out.Descriptors()
	files := s.Sockets.Table(slot, side, 0, stdout, stderr)
	worker := output.Worker{Generation: generation, Slot: slot}
	p, err := s.start(ctx, s.command(args, env.With(s.told(sockets, generation, slot)...), files), worker, stdout, stderr)
	if err != nil {
		return nil, settings, err
	}
	// Go has raised our own limit, so only a worker shows how many files workers may have.
	if err := s.Sockets.Fit(p.MaxFiles()); err != nil && generation == 1 {
		_ = p.Signal(os.Kill)
		p.Wait()
		return nil, settings, err
	}
	return p, settings, nil
}

// command is how a worker is started.
func (s *Spawner) command(args, env []string, files []int) proc.Command {
	c := s.Program.start(args, env, files)
	if s.Watchdog > 0 {
		c.PidVariables = append(c.PidVariables, "WATCHDOG_PID")
	}
	return c
}

// start starts a worker. With Relay its output goes by way of us, so that each line begins
// with which worker wrote it.
func (s *Spawner) start(ctx context.Context, c proc.Command, w output.Worker, stdout, stderr int) (*proc.Process, error) {
	if !s.Relay {
		return proc.StartContext(ctx, c)
	}
	relay, err := s.Out.Relay()
	if err != nil {
		return nil, err
	}
	pipe, errPipe := relay.Descriptors()
	if c.Files[1] == stdout { // no socket is pinned there
		c.Files[1] = pipe
	}
	if c.Files[2] == stderr {
		c.Files[2] = errPipe
	}
	p, err := proc.StartContext(ctx, c)
	if err != nil {
		relay.Cancel()
		return nil, err
	}
	w.Pid = p.Pid()
	relay.Begin(w)
	p.Then(relay.Settle) // its last lines come before the news of its end, and may say why it ended
	return p, nil
}

// told are the variables by which a worker is told of its sockets, and of us.
func (s *Spawner) told(sockets []fdenv.Socket, generation, slot int) Environ {
	told := fdenv.ServerStarter(sockets, generation)
	for _, e := range s.Program.Exports {
		told = append(told, e.Environ(sockets, fdenv.Worker{Master: os.Getpid(), Control: s.Control, Slot: slot})...)
	}
	if s.Program.Numbered {
		told = append(told, fdenv.Slot(slot)...)
	}
	if s.Notify != "" {
		told = append(told, "NOTIFY_SOCKET="+s.Notify)
		if s.Watchdog > 0 {
			told = append(told, fmt.Sprintf("WATCHDOG_USEC=%d", s.Watchdog.Microseconds()))
		}
		if s.Control != "" {
			told = append(told, fdenv.EinhornAck(os.Getpid(), s.Control)...)
		}
	}
	return Unique(told)
}

// Warn warns of programs that remove the path of a unix socket, if they can, when they end.
func (s *Spawner) Warn() {
	for _, e := range s.Program.Exports {
		for _, socket := range s.Sockets.Sockets {
			if e.Unlinks && socket.Addr.Network() == "unix" {
				s.Out.Warnf("%s removes %s when it leaves, and then new workers cannot be reached: keep its user from writing to the directory, or use a port", e.Name, socket.Name)
			}
		}
	}
}
