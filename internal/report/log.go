// Package report is what hears of what the loop does: the log, the clients of the
// control socket, the status file and the service manager. Each is a
// supervise.Observer in a file of its own, and knows nothing but the events.
package report

import (
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Log writes a line for each event to the output.
type Log struct {
	Out *output.Output
	// Verbose adds lines for workers that have lived long enough, and for what workers
	// say of themselves.
	Verbose bool
}

// Hear writes the line of an event.
func (l *Log) Hear(e supervise.Event) {
	if failed, ok := e.(supervise.AttemptFailed); ok {
		l.Out.Keep(failed.Generation) // before the line about the failure
	}
	text := line(e, l.Verbose, l.Out.Status)
	if text == "" {
		return
	}
	entry := entryOf(e)
	entry.Text = text
	l.Out.Log(entry)
}

// entryOf is what an entry says of an event beside its text: what clients of the control
// socket are told, and some more.
func entryOf(e supervise.Event) output.Entry {
	told := ClientEvent(e)
	entry := output.Entry{Level: levelOf(e), Event: told.Event, Generation: told.Generation, Signal: told.Signal, Status: told.Status}
	if told.Worker != nil {
		entry.Worker = named(supervise.Worker(*told.Worker))
	}
	for _, w := range told.Workers {
		entry.Workers = append(entry.Workers, w.Pid)
	}
	switch e := e.(type) {
	case supervise.Refused:
		entry.Event = "refused"
	case supervise.StrangeNotice:
		entry.Event, entry.Worker = "strange-notice", &output.Worker{Pid: e.Pid}
	case supervise.AttemptFailed:
		entry.Status = exit(e.Failure)
	case supervise.GaveUp:
		entry.Worker, entry.Status = named(e.Worker), exit(e.Failure)
	case supervise.RefillFailed:
		entry.Worker, entry.Status = named(e.Worker), exit(e.Failure)
	case supervise.NotReady:
		entry.Signal = text.SignalName(e.Signal)
	case supervise.TookOver:
		entry.Signal = text.SignalName(e.Signal)
	case supervise.WentLive:
		if e.Signal != nil && len(e.Old) > 0 {
			entry.Signal = text.SignalName(e.Signal)
		}
	case supervise.Renewed:
		if e.Old.Pid != 0 {
			entry.Signal = text.SignalName(e.Signal)
		}
	case supervise.RenewalFailed:
		entry.Status = exit(e.Failure)
	case supervise.Killed:
		entry.Signal = "KILL"
	case supervise.LeftBehind:
		entry.Event, entry.Worker, entry.Workers, entry.Signal = "left-behind", named(e.Worker), e.Pids, text.SignalName(e.Signal)
	case supervise.LeftKilled:
		entry.Event, entry.Worker, entry.Signal = "left-killed", named(e.Worker), "KILL"
	case supervise.SignalFailed:
		entry.Event, entry.Worker, entry.Signal = "signal-failed", named(e.Worker), text.SignalName(e.Signal)
	case supervise.Cleared:
		entry.Event = "cleared"
	case supervise.SplitFailed:
		entry.Event = "split-failed"
	}
	return entry
}

func named(w supervise.Worker) *output.Worker {
	return &output.Worker{Generation: w.Generation, Slot: w.Slot, Pid: w.Pid}
}

// exit is the wait status of a worker that has failed by ending; nil: it is still there, or
// never was.
func exit(f supervise.Failure) *int {
	if !f.Ended() {
		return nil
	}
	return &f.Status
}

// levelOf is how much an event matters: an error if something that was wanted has failed, a
// warning if something happens that should not, a notice if what serves changes.
func levelOf(e supervise.Event) output.Level {
	switch e := e.(type) {
	case supervise.AttemptFailed, supervise.GaveUp, supervise.RefillFailed, supervise.RenewalFailed, supervise.SplitFailed, supervise.SignalFailed:
		return output.Error
	case supervise.NotReady, supervise.Killed, supervise.LeftBehind, supervise.LeftKilled, supervise.Refused,
		supervise.Hung, supervise.TooLarge, supervise.StrangeNotice, supervise.Cleared, supervise.RolledBack:
		return output.Warning
	case supervise.Died:
		if e.Replaced && !e.Old {
			return output.Warning
		}
	case supervise.RestartAsked, supervise.AutoRestart, supervise.WentLive, supervise.TookOver, supervise.Renewed, supervise.TooOld, supervise.Canary, supervise.Promoted,
		supervise.Resized, supervise.StopDelayed, supervise.StopAsked:
		return output.Notice
	}
	return output.Info
}
