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
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
	"golang.org/x/sys/unix"
)

// This file replaces the image of this process by another one, and has that one take over.

// Upgrade replaces this process by another image of it, which goes on with everything: the
// sockets, the workers, and whatever is under way. The image first runs as a child, and says
// whether it could go on. Upgrade returns only if the image could not, or was not executed;
// then nothing has changed. Before Run is called it blocks, until ctx ends. The new image has
// to call New, with a Config of the same Name, and Run.
func (s *Starter) Upgrade(ctx context.Context, image Image) error {
	return s.upgrade(ctx, "upgrade requested", image, nil)
}

// byClient is Upgrade for a client. If it succeeds the new image answers the client.
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
	if !s.images.Upgrading.TryLock() {
		return supervise.ErrFreezing
	}
	defer s.images.Upgrading.Unlock()
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
	loop, err := s.sup.Snapshot(ctx) // first: until the supervisor runs the rooms may not be open
	if err != nil {
		return err
	}
	state, err := s.state(image)
	if err != nil {
		return err
	}
	unread := ""
	if state.Loop, state.By = loop, by; by != nil {
		unread, by.Unread = by.Unread, "" // an older image does not know this field
	}
	if s.caught != nil {
		s.caught.Forget()
	}
	candidate, err := handover.Rehearse(state, s.config.RehearseArg)
	if err != nil {
		return err
	}
	defer candidate.Close()
	if unread != "" && candidate.Knows("By.Unread") {
		by.Unread = unread
	}
	s.reports.control.Load().Farewell(control.Event{Event: "handed-over", Text: "another image goes on: connect again"}, farewellTime)
	return s.sup.Freeze(ctx, func(f *supervise.Frozen, processes []supervise.Process) error {
		return candidate.HandOver(s.handing(f, processes), s.pause)
	})
}

// farewellTime is how long clients that follow events have to read that they have to connect
// again.
const farewellTime = 50 * time.Millisecond

// state is what another image has to know of this process for a rehearsal.
func (s *Starter) state(image Image) (*handover.State, error) {
	sources, err := s.launcher.Sockets.Sources()
	if err != nil {
		return nil, err
	}
	path, _ := os.Executable()
	state := &handover.State{
		Format: handover.Format, Name: s.config.Name, Pid: os.Getpid(),
		From:     handover.Image{Executable: path, Args: os.Args, Version: s.config.Release, Since: s.images.Since},
		To:       handover.Image{Executable: image.Executable, Args: os.Args},
		Upgrades: s.images.Upgrades + 1, KeepWorkers: image.KeepWorkers, Stop: text.SignalName(s.config.SignalOnTERM),
		StatusFile: s.reports.status.Path(), Sockets: handover.HeldSockets(s.launcher.Sockets, false), Sources: sources, Strangers: s.adopted.Spare(), Control: &control.Held{Path: s.launcher.Control, FD: -1},
		PidFile: s.images.Pid(),
	}
	if s.config.ReadsFile {
		state.From.InForce = s.config.inForce()
	}
	if len(image.Args) > 0 {
		state.To.Args = append([]string{os.Args[0]}, image.Args...)
	}
	return state, nil
}

// handing are the rooms that have something to hand over.
func (s *Starter) handing(f *supervise.Frozen, processes []supervise.Process) []handover.Room {
	return []handover.Room{
		handover.Loop(f, processes), handover.Asker(s.asker), handover.ForEvents(s.reports.onEvent), handover.Manager(s.reports.manager),
		handover.Survivors(s.left), handover.Status(s.reports.status), handover.Sockets(s.launcher.Sockets),
		handover.Notices(s.notices), handover.Control(s.reports.control.Load()), handover.Output(s.out),
	}
}

// raiseAgain is for a signal that came before the program could catch it, and that this package
// does not catch. TERM and QUIT are sent again: they end the program, unless it catches them.
func raiseAgain(sig os.Signal) {
	if sig == unix.SIGTERM || sig == unix.SIGQUIT {
		_ = unix.Kill(os.Getpid(), sig.(unix.Signal))
	}
}

func (s *Starter) adoptNotices() (*notify.Listener, error) {
	held := s.images.State().Notify
	if held == nil {
		return nil, nil
	}
	return notify.Adopt(held, s.sup.Notify)
}

// succeed is called when this image can go on. It lets go of what only the last one had.
func (s *Starter) succeed() {
	h := s.images.Last
	s.out.Follow(h.Output)
	s.reports.onEvent.GoOn(s.images.Commands())
	s.reports.manager.GoesOn(h.Unit, h.UnitRest, !h.KeepWorkers && h.Why == "")
	s.images.LetGo(handover.Paths{Status: s.reports.status.Path(), Control: s.launcher.Control})
	s.out.LetGo(h.Output, s.runLogger)
	s.reports.gone.After(h.Loop.Number, s.left.LetGo)
	s.left.GoOn(h.Loop.Live != nil)
	h.Settled()
	if h.Why != "" {
		s.out.Warnf("%s could not go on: %s; this is %s again", text.Line(h.To.Executable), text.Line(h.Why), s.self())
	} else {
		s.out.Printf("this is %s now, in the place of %s; upgrade %d", s.self(), h.From.Version, s.images.Upgrades)
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
	h := s.images.Last
	h.Answer(s.reports.control.Load(), s.restartAsUpgraded)
	workers, left := s.images.Workers()
	return s.sup.Resume(ctx, s.config.SignalOnTERM, h.Loop, workers, left)
}

// restartAsUpgraded restarts the workers, and answers how the upgrade went.
func (s *Starter) restartAsUpgraded() control.Answer {
	h := s.images.Last
	switch {
	case h.Why != "":
		return control.Answer{Error: fmt.Sprintf("%s could not go on: %s; %s goes on", h.To.Executable, h.Why, s.self())}
	case s.config.Follow && s.caught != nil && s.caught.Ended(): // the workers were told to go
		return control.Answer{Error: ErrStopping.Error()}
	case h.KeepWorkers:
		return control.Answer{OK: true, Message: fmt.Sprintf("%s goes on, with the same workers", s.self()), Generation: h.Loop.Number}
	}
	a := s.commands.RestartFor(context.Background(), fmt.Sprintf("upgrade %d", s.images.Upgrades))
	if a.OK {
		a.Message = fmt.Sprintf("%s goes on; %s", s.self(), a.Message)
	} else {
		a.Error = fmt.Sprintf("%s goes on, but %s", s.self(), a.Error)
	}
	return a
}

func (s *Starter) self() string { return fmt.Sprintf("%s %s", s.config.Name, s.config.Release) }

// ErrRehearsal is what Run returns in a process that only had to say whether it could go on
// in the place of another one, and has said that it could.
var ErrRehearsal = errors.New("this was a rehearsal")

// rehearse says whether this image could go on with a state. If it could, rehearse stands by
// until the image has gone on in the process that has asked, or that process is gone.
func (s *Starter) rehearse(state *handover.State) error {
	if err := s.couldGoOn(state); err != nil {
		return err
	}
	state.StandBy()
	return ErrRehearsal
}

// couldGoOn tries what can be tried while the process that has asked still runs.
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
	if err := state.Try(handover.Paths{Pid: s.config.PidFile, Status: s.config.StatusFile, Control: s.config.Control}); err != nil {
		return err
	}
	return output.Try(s.config.LogFile)
}
