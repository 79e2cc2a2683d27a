package handover

import (
	"errors"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Adopt takes over what the last image has handed over, as far as it must be done before
// anything else.
func (i *Images) Adopt(out *output.Output) {
	h := i.Last
	h.Heed()                        // before anything is started
	for _, p := range h.Processes { // before orphans are waited for
		i.workers = append(i.workers, proc.Adopt(p))
	}
	if h.Output.Command != nil && h.Logger != nil {
		h.Output.Command.Process = proc.Adopt(*h.Logger)
	}
	for n, c := range h.Output.Going {
		if h.Going[n].Pid > 0 {
			c.Process = proc.Adopt(h.Going[n])
		}
	}
	i.commands = h.Commands.Adopt()
	out.Adopt(h.Output)
	i.Upgrades = h.Upgrades
	if h.Why != "" {
		i.Upgrades--
		i.Since = h.From.Since
	}
}

// Commands are the commands for events that the last image ran.
func (i *Images) Commands() report.Handed { return i.commands }

// Workers returns the workers of the last image, and the processes that ended workers have left
// behind.
func (i *Images) Workers() (workers []supervise.Process, left []supervise.Leftovers) {
	for _, p := range i.workers {
		workers = append(workers, p)
	}
	for _, o := range i.Last.Loop.Leftovers {
		left = append(left, proc.AdoptLeftovers(o.Pid, o.Pids))
	}
	return workers, left
}

// HoldPid takes the pid file, or takes it over if it is that of the last image.
func (i *Images) HoldPid(path string) (*runfile.PidFile, error) {
	if last := i.State().PidFile; last != nil {
		i.oldPid = runfile.AdoptPidFile(last.Path, last.FD)
		if i.oldPid.IsAt(path) {
			i.pid, i.oldPid = i.oldPid, nil
			return i.pid, nil
		}
	}
	pid, err := runfile.Hold(path)
	if err != nil {
		return nil, err
	}
	i.pid = pid
	i.Made(pid.Release)
	return pid, nil
}

// Pid is the pid file, as it is handed over; nil: there is none.
func (i *Images) Pid() *File {
	if i.pid == nil {
		return nil
	}
	f := &File{}
	f.Path, f.FD = i.pid.Hand()
	return f
}

// LetGo gives up the files that only the last image had. Call it after HoldPid, by which this
// image's pid file is known.
func (i *Images) LetGo(now Paths) {
	h := i.Last
	if h.PidFile != nil && i.pid == nil {
		i.oldPid = runfile.AdoptPidFile(h.PidFile.Path, h.PidFile.FD)
	}
	if i.oldPid != nil {
		_ = i.oldPid.Release()
	}
	if h.StatusFile != "" && now.Status != h.StatusFile {
		if old, err := runfile.AdoptStatusFile(h.StatusFile); err == nil {
			_ = old.Remove()
		}
	}
	if h.Control != nil && h.Control.Path != now.Control {
		h.Control.Drop()
	}
}

// Try says why an image could not have its files at these paths. It skips paths that are handed
// over.
func (s *State) Try(p Paths) error {
	if p.Control != "" && !SamePath(p.Control, s.Control.Path) {
		if err := control.Try(p.Control); err != nil {
			return err
		}
	}
	if p.Status != "" && !SamePath(p.Status, s.StatusFile) {
		if err := runfile.TryStatusFile(p.Status); err != nil {
			return err
		}
	}
	if p.Pid == "" || s.PidFile != nil && SamePath(p.Pid, s.PidFile.Path) {
		return nil
	}
	pid, err := runfile.Hold(p.Pid)
	if err != nil {
		return err
	}
	return pid.Release()
}

// Answer answers the client that has asked for this image, and goes on with the clients that were
// connected to the last one. server is this image's; nil: it has none, and these are refused.
func (s *State) Answer(server *control.Server, reply func() control.Answer) {
	switch {
	case s.By == nil:
		go reply()
	case server == nil:
		go s.By.Answer(reply)
	default:
		server.Answer(s.By, reply)
	}
	switch {
	case s.Control == nil:
	case server == nil:
		go s.Control.Refuse(errors.New("there is no control socket any more"))
	default:
		server.GoOn(s.Control)
	}
}
