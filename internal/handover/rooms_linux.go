package handover

import (
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/survive"
)

// Handing is a state that rooms put into what they have.
type Handing struct {
	*State
	// Knows tells that the image knows a field of the state.
	Knows func(field string) bool

	// children put processes into the state as they are then. They are called once more when
	// no process is waited for any more: one may have ended meanwhile.
	children []func()
}

// Room puts what it has into a state. Nothing changes that until again is called: then it goes
// on in this image. again may be nil; it is called after an error, too.
type Room func(*Handing) (again func(), err error)

// HandOver asks the rooms in their order, and executes the candidate with what they have. It
// returns only if that fails: then the rooms go on, the last one first. pause is as for Exec.
func (c *Candidate) HandOver(rooms []Room, pause Pause) error {
	var goOn []func()
	defer func() {
		for _, again := range slices.Backward(goOn) {
			again()
		}
	}()
	h := &Handing{State: c.state, Knows: c.Knows}
	for _, room := range rooms {
		again, err := room.ask(h)
		if again != nil {
			goOn = append(goOn, again)
		}
		if err != nil {
			return err
		}
	}
	h.handChildren()
	if err := c.Agree(); err != nil {
		return err
	}
	release, err := proc.HoldWaits()
	if err != nil {
		return err
	}
	goOn = append(goOn, release)
	h.handChildren()
	return c.Exec(pause)
}

// roomTime is how long a room may take. The supervisor stands still meanwhile, so that not even a
// stop is heard.
const roomTime = 10 * time.Second

// ask returns what the room returns, or an error when its time is over. A room that hangs goes on
// in this image as soon as it can.
func (room Room) ask(h *Handing) (again func(), err error) {
	type answer struct {
		again func()
		err   error
	}
	result := make(chan answer, 1)
	go func() {
		again, err := room(h)
		result <- answer{again, err}
	}()
	select {
	case a := <-result:
		return a.again, a.err
	case <-time.After(roomTime):
	}
	go func() {
		if a := <-result; a.again != nil {
			a.again()
		}
	}()
	return nil, fmt.Errorf("not handed over within %v: a file system hangs, or a command that is being started", roomTime)
}

func (h *Handing) handChildren() {
	for _, hand := range h.children {
		hand()
	}
}

// Loop is the room of the supervisor, which stands still.
func Loop(f *supervise.Frozen, workers []supervise.Process) Room {
	return func(h *Handing) (func(), error) {
		h.State.Loop = f
		h.children = append(h.children, func() {
			h.Processes = nil
			for _, p := range workers {
				h.Processes = append(h.Processes, p.(*proc.Process).Hand())
			}
		})
		return nil, nil
	}
}

// Asker is the room of what asks workers.
func Asker(a *probe.Asker) Room {
	return func(*Handing) (func(), error) { return a.Hand(), nil }
}

// ForEvents is the room of the commands for events.
func ForEvents(o *report.OnEvent) Room {
	return func(h *Handing) (func(), error) {
		commands, again := o.Hand()
		h.children = append(h.children, func() { h.Commands = commands.Held() })
		return again, nil
	}
}

// Manager is the room of the service manager.
func Manager(m *report.Manager) Room {
	return func(h *Handing) (again func(), err error) {
		h.Unit, h.UnitRest, again = m.HandsOver()
		return again, nil
	}
}

// Survivors is the room of what a superdaemon that was killed has left.
func Survivors(s *survive.Survivors) Room {
	return func(h *Handing) (func(), error) {
		left, again := s.Hand()
		h.Kept, h.Orphans = left.Kept, left.Orphans
		return again, nil
	}
}

// Status is the room of the status file. It blocks until all is written there.
func Status(f *report.StatusFile) Room {
	return func(*Handing) (func(), error) { f.Flush(); return nil, nil }
}

// Sockets is the room of the listening sockets.
func Sockets(set *socket.Set) Room {
	return func(h *Handing) (func(), error) {
		h.State.Sockets = HeldSockets(set, h.Knows("Sockets.Nonblock"))
		return nil, nil
	}
}

// HeldSockets are the sockets, with Nonblock only if the image knows such options.
func HeldSockets(set *socket.Set, options bool) []*socket.Held {
	all := set.Hand()
	for _, h := range all {
		h.Nonblock = h.Nonblock && options
	}
	return all
}

// Notices is the room of the notify socket; nil: there is none.
func Notices(l *notify.Listener) Room {
	return func(h *Handing) (again func(), err error) {
		if h.Notify = nil; l != nil {
			h.Notify, again, err = l.Hand()
		}
		return again, err
	}
}

// Control is the room of the control socket; nil: there is none.
func Control(s *control.Server) Room {
	return func(h *Handing) (again func(), err error) {
		if h.State.Control = nil; s != nil {
			h.State.Control, again, err = s.Hand(h.Knows("Control.Clients"))
		}
		return again, err
	}
}

// Output is the room of all that is written.
func Output(o *output.Output) Room {
	return func(h *Handing) (func(), error) {
		held, again := o.Hand()
		h.State.Output = held
		var logger *proc.Process
		if held.Command != nil {
			logger = taken(held.Command)
		}
		going := make([]*proc.Process, len(held.Going))
		for i, c := range held.Going {
			going[i] = taken(c)
		}
		h.children = append(h.children, func() {
			if logger != nil {
				handed := logger.Hand()
				h.Logger = &handed
			}
			h.Going = nil
			for _, p := range going {
				handed := proc.Handed{}
				if p != nil {
					handed = p.Hand()
				}
				h.Going = append(h.Going, handed)
			}
		})
		return again, nil
	}
}

// taken takes the process out of a log command: the state has it in a field of its own. nil: the
// command does not run.
func taken(c *output.HeldCommand) *proc.Process {
	if c.Process == nil {
		return nil
	}
	p := c.Process.(*proc.Process)
	c.Process = nil
	return p
}
