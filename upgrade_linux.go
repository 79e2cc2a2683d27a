package starter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
	"golang.org/x/sys/unix"
)

// This file is what is handed over, room by room, when this process becomes another image.

// Upgrade replaces this process by another image of it, which goes on with everything: the
// sockets, the workers, and whatever is under way. The image first says, as a child, whether
// it could. Upgrade returns only if it cannot, or is not executed, and then nothing has
// happened. The new image has to call New, with a Config of the same Name, and Run.
func (s *Starter) Upgrade(ctx context.Context, image Image) error {
	return s.upgrade(ctx, "upgrade requested", image, nil)
}

// byClient is Upgrade for a client, which the new image answers.
func (s *Starter) byClient(r control.Request, cause string) control.Answer {
	image := Image{Executable: r.Executable, Args: r.Args, KeepWorkers: r.KeepWorkers}
	by, err := r.Wait()
	if err == nil {
		err = s.upgrade(context.Background(), cause, image, by)
		unix.Close(by.FD)
	}
	return control.Answer{Error: err.Error()}
}

func (s *Starter) upgrade(ctx context.Context, cause string, image Image, by *control.Waiting) (err error) {
	if !s.upgrading.TryLock() {
		return supervise.ErrFreezing
	}
	defer s.upgrading.Unlock()
	if image.Executable == "" {
		if image.Executable, err = os.Executable(); err != nil {
			return err
		}
		image.Executable = strings.TrimSuffix(image.Executable, " (deleted)")
	}
	s.out.Printf("%s: can %s go on?", cause, text.Line(image.Executable))
	if err = s.become(ctx, image, by); err != nil {
		s.out.Warnf("not upgraded: %s", text.Line(err.Error()))
	}
	return err
}

func (s *Starter) become(ctx context.Context, image Image, by *control.Waiting) error {
	state, err := s.state(image)
	if err != nil {
		return err
	}
	state.By = by
	if state.Loop, err = s.sup.Snapshot(ctx); err != nil {
		return err
	}
	if s.caught != nil {
		s.caught.Forget()
	}
	candidate, err := handover.Rehearse(state, s.config.RehearseArg)
	if err != nil {
		return err
	}
	defer candidate.Close()
	s.reports.control.Load().Farewell(control.Event{Event: "handed-over", Text: "another image goes on: connect again"}, farewellTime)
	return s.sup.Freeze(ctx, func(f *supervise.Frozen, processes []supervise.Process) error {
		return s.handOver(state, candidate, f, processes)
	})
}

// farewellTime is how long those that follow events may take to read that they are to come
// back.
const farewellTime = 50 * time.Millisecond

// state is what there is to say of this process.
func (s *Starter) state(image Image) (*handover.State, error) {
	sources, err := s.launcher.Sockets.Sources()
	if err != nil {
		return nil, err
	}
	path, _ := os.Executable()
	state := &handover.State{
		Format: handover.Format, Name: s.config.Name, Pid: os.Getpid(),
		From:     handover.Image{Executable: path, Args: os.Args, Version: s.config.Release, Since: s.since},
		To:       handover.Image{Executable: image.Executable, Args: os.Args},
		Upgrades: s.upgrades + 1, KeepWorkers: image.KeepWorkers, Stop: text.SignalName(s.config.SignalOnTERM),
		StatusFile: s.reports.status.Path(), Sockets: s.handSockets(false), Sources: sources, Strangers: s.adopted.Spare(), Control: &control.Held{Path: s.launcher.Control, FD: -1},
	}
	if s.config.ReadsFile {
		state.From.InForce = s.config.inForce()
	}
	if len(image.Args) > 0 {
		state.To.Args = append([]string{os.Args[0]}, image.Args...)
	}
	if s.pid != nil {
		state.PidFile = &handover.File{}
		state.PidFile.Path, state.PidFile.FD = s.pid.Hand()
	}
	return state, nil
}

// handOver executes the candidate. It returns only if that fails, and all goes on. It is
// called by the loop.
func (s *Starter) handOver(state *handover.State, candidate *handover.Candidate, f *supervise.Frozen, processes []supervise.Process) (err error) {
	var release undo
	defer func() { _ = release.run() }()
	hold := func(again func()) { release.add(func() error { again(); return nil }) }
	hold(s.asker.Hand())
	commands, again := s.handCommands()
	hold(again)
	unit, rest, stays := s.reports.manager.HandsOver()
	hold(stays)
	state.Unit, state.UnitRest = unit, rest
	left, retireOn := s.left.Hand()
	hold(retireOn)
	state.Loop, state.Kept, state.Orphans = f, left.Kept, left.Orphans
	s.reports.status.Flush()
	state.Sockets = s.handSockets(candidate.Knows("Sockets.Nonblock"))
	state.Notify, state.Control = nil, nil
	if s.notices != nil {
		held, hearOn, err := s.notices.Hand()
		hold(hearOn)
		if err != nil {
			return err
		}
		state.Notify = held
	}
	if server := s.reports.control.Load(); server != nil {
		held, listen, err := server.Hand(candidate.Knows("Control.Clients"))
		if err != nil {
			return err
		}
		hold(listen)
		state.Control = held
	}
	var copyOn func()
	state.Output, copyOn = s.out.Hand()
	hold(copyOn)
	children := s.handChildren(state, processes, commands)
	children()
	if err := candidate.Agree(); err != nil {
		return err
	}
	goOn, err := proc.HoldWaits()
	if err != nil {
		return err
	}
	hold(goOn)
	children()
	return candidate.Exec(s.pause)
}

// handChildren returns what hands them over as they are: workers, the log command and that for an
// event.
func (s *Starter) handChildren(state *handover.State, processes []supervise.Process, commands func() *handover.Commands) func() {
	var logger *proc.Process
	if c := state.Output.Command; c != nil && c.Process != nil {
		logger, c.Process = c.Process.(*proc.Process), nil
	}
	going := make([]*proc.Process, len(state.Output.Going))
	for i, c := range state.Output.Going {
		if c.Process != nil {
			going[i], c.Process = c.Process.(*proc.Process), nil
		}
	}
	return func() {
		state.Processes, state.Commands = nil, commands()
		for _, p := range processes {
			state.Processes = append(state.Processes, p.(*proc.Process).Hand())
		}
		if logger != nil {
			handed := logger.Hand()
			state.Logger = &handed
		}
		state.Going = nil
		for _, p := range going {
			handed := proc.Handed{}
			if p != nil {
				handed = p.Hand()
			}
			state.Going = append(state.Going, handed)
		}
	}
}

// handSockets hands over the sockets, with their options if the image knows of them.
func (s *Starter) handSockets(options bool) []*socket.Held {
	all := s.launcher.Sockets.Hand()
	for _, h := range all {
		h.Nonblock = h.Nonblock && options
	}
	return all
}

// raiseAgain is for a signal that has come before the program could hear it, which this package
// does not: TERM and QUIT are to end it, or are the program's own to hear.
func raiseAgain(sig os.Signal) {
	if sig == unix.SIGTERM || sig == unix.SIGQUIT {
		_ = unix.Kill(os.Getpid(), sig.(unix.Signal))
	}
}

// inherit takes over what the last image has handed over, as far as it must be done before
// anything else.
func (s *Starter) inherit() {
	h := s.handed
	h.Heed()                        // before anything is started
	for _, p := range h.Processes { // before orphans are waited for
		s.workers = append(s.workers, proc.Adopt(p))
	}
	if h.Output.Command != nil && h.Logger != nil {
		h.Output.Command.Process = proc.Adopt(*h.Logger)
	}
	for i, c := range h.Output.Going {
		if h.Going[i].Pid > 0 {
			c.Process = proc.Adopt(h.Going[i])
		}
	}
	if h.Commands != nil && h.Commands.Running != nil {
		s.command = proc.Adopt(*h.Commands.Running)
	}
	s.out.Adopt(h.Output)
	s.upgrades = h.Upgrades
	if h.Why != "" {
		s.upgrades--
		s.since = h.From.Since
	}
}

// adoptPid takes over the pid file, if it is the same one. The last image's is let go when
// this one can go on.
func (s *Starter) adoptPid(path string) (*runfile.PidFile, error) {
	if last := s.held().PidFile; last != nil {
		s.oldPid = runfile.AdoptPidFile(last.Path, last.FD)
		if old := s.oldPid; old.IsAt(path) {
			s.oldPid = nil
			return old, nil
		}
	}
	pid, err := runfile.Hold(path)
	if err == nil {
		s.made.add(pid.Release)
	}
	return pid, err
}

func (s *Starter) adoptNotices() (*notify.Listener, error) {
	if s.handed == nil || s.handed.Notify == nil {
		return nil, nil
	}
	return notify.Adopt(s.handed.Notify, s.sup.Notify)
}

// succeed is called when this image can go on: what only the last one had is let go.
func (s *Starter) succeed() {
	h := s.handed
	s.out.Follow(h.Output)
	s.takeCommands()
	s.reports.manager.GoesOn(h.Unit, h.UnitRest, !h.KeepWorkers && h.Why == "")
	if h.PidFile != nil && s.pid == nil {
		s.oldPid = runfile.AdoptPidFile(h.PidFile.Path, h.PidFile.FD)
	}
	if s.oldPid != nil {
		_ = s.oldPid.Release()
	}
	if h.StatusFile != "" && s.reports.status.Path() != h.StatusFile {
		if old, err := runfile.AdoptStatusFile(h.StatusFile); err == nil {
			_ = old.Remove()
		}
	}
	if h.Control != nil && h.Control.Path != s.launcher.Control {
		h.Control.Drop()
	}
	s.out.LetGo(h.Output, s.runLogger)
	s.reports.gone.After(h.Loop.Number, s.left.LetGo)
	s.left.GoOn(h.Loop.Live != nil)
	h.Settled()
	if h.Why != "" {
		s.out.Warnf("%s could not go on: %s; this is %s again", text.Line(h.To.Executable), text.Line(h.Why), s.self())
	} else {
		s.out.Printf("this is %s now, in the place of %s; upgrade %d", s.self(), h.From.Version, s.upgrades)
		for _, line := range s.config.changes(h.From) {
			s.out.Printf("%s", text.Line(line))
		}
	}
}

func (c *Config) changes(old handover.Image) []string {
	switch {
	case c.Changes == nil || len(old.Args) == 0:
		return nil
	case old.InForce != nil:
		return c.Changes(old.InForce)
	}
	return c.Changes(old.Args[1:])
}

// goOn has the supervisor go on, with new workers unless the old ones are to be kept, and
// answers the client.
func (s *Starter) goOn(ctx context.Context) error {
	h := s.handed
	server := s.reports.control.Load()
	reply := s.restartAsUpgraded
	switch {
	case h.By == nil:
		go reply()
	case server == nil:
		go h.By.Answer(reply)
	default:
		server.Answer(h.By, reply)
	}
	switch {
	case h.Control == nil:
	case server == nil:
		go h.Control.Refuse(errors.New("there is no control socket any more"))
	default:
		server.GoOn(h.Control)
	}
	processes := make([]supervise.Process, len(s.workers))
	for i, p := range s.workers {
		processes[i] = p
	}
	var groups []supervise.Leftovers
	for _, o := range h.Loop.Leftovers {
		groups = append(groups, proc.AdoptLeftovers(o.Pid, o.Pids))
	}
	return s.sup.Resume(ctx, s.config.SignalOnTERM, h.Loop, processes, groups)
}

// restartAsUpgraded restarts the workers, and answers what has come of the upgrade.
func (s *Starter) restartAsUpgraded() control.Answer {
	h := s.handed
	switch {
	case h.Why != "":
		return control.Answer{Error: fmt.Sprintf("%s could not go on: %s; %s goes on", h.To.Executable, h.Why, s.self())}
	case s.config.Follow && s.caught != nil && s.caught.Ended(): // the workers were told to go
		return control.Answer{Error: ErrStopping.Error()}
	case h.KeepWorkers:
		return control.Answer{OK: true, Message: fmt.Sprintf("%s goes on, with the same workers", s.self()), Generation: h.Loop.Number}
	}
	a := s.commands.RestartFor(context.Background(), fmt.Sprintf("upgrade %d", s.upgrades))
	if a.OK {
		a.Message = fmt.Sprintf("%s goes on; %s", s.self(), a.Message)
	} else {
		a.Error = fmt.Sprintf("%s goes on, but %s", s.self(), a.Error)
	}
	return a
}

func (s *Starter) self() string { return fmt.Sprintf("%s %s", s.config.Name, s.config.Release) }

// ErrRehearsal is what Run returns in a process that was only to say whether it could go on
// in the place of another one, which has been said.
var ErrRehearsal = errors.New("this was a rehearsal")

// rehearse says whether this image could go on with a state, and then stands by until it
// has, or the process that has asked is gone.
func (s *Starter) rehearse(state *handover.State) error {
	if err := s.couldGoOn(state); err != nil {
		return err
	}
	state.StandBy()
	return ErrRehearsal
}

// couldGoOn tries what can be tried beside the process that has asked.
func (s *Starter) couldGoOn(state *handover.State) error {
	if err := s.findProgram(); err != nil {
		return err
	}
	if err := s.asker.Try(); err != nil {
		return err
	}
	err := socket.Try(context.Background(), s.plan.specs, socket.Options{Backlog: s.config.Backlog, Held: state.Sockets})
	if err != nil {
		return err
	}
	if s.config.Control != "" && !samePath(s.config.Control, state.Control.Path) {
		if err := control.Try(s.config.Control); err != nil {
			return err
		}
	}
	if path := s.config.StatusFile; path != "" && !samePath(path, state.StatusFile) {
		if err := runfile.TryStatusFile(path); err != nil {
			return err
		}
	}
	if path := s.config.PidFile; path != "" && (state.PidFile == nil || !samePath(path, state.PidFile.Path)) {
		pid, err := runfile.Hold(path)
		if err != nil {
			return err
		}
		if err := pid.Release(); err != nil {
			return err
		}
	}
	return output.Try(s.config.LogFile)
}

// handCommands hands the commands for events over. fill is called when no child is waited
// for any more.
func (s *Starter) handCommands() (fill func() *handover.Commands, again func()) {
	h, goOn := s.reports.onEvent.Hand()
	return func() *handover.Commands {
		if h.Running == nil && len(h.Waiting) == 0 && h.Dropped == 0 {
			return nil // so that an image can go on that knows of no commands
		}
		state := &handover.Commands{Since: h.Since, Waiting: h.Waiting, Dropped: h.Dropped}
		if p, ok := h.Running.(*proc.Process); ok {
			handed := p.Hand()
			state.Running = &handed
		}
		return state
	}, goOn
}

// takeCommands goes on with those of the last image.
func (s *Starter) takeCommands() {
	last := s.handed.Commands
	if last == nil {
		return
	}
	h := report.Handed{Since: last.Since, Waiting: last.Waiting, Dropped: last.Dropped}
	if s.command != nil {
		h.Running = s.command
	}
	s.reports.onEvent.GoOn(h)
}
