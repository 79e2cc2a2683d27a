package report

import (
	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Clients tells each event to those clients of the control socket that have
// subscribed.
type Clients struct {
	Server  *control.Server // nil: there is no control socket
	Verbose bool            // as in Log
}

// Hear publishes an event with its log line.
func (c *Clients) Hear(e supervise.Event) {
	if !c.Server.Watched() {
		return
	}
	if event := ClientEvent(e); event.Event != "" {
		event.Text = Line(e, c.Verbose)
		c.Server.Publish(event)
	}
}

// ClientEvent is an event as the control socket tells it. Its Event is "" if clients are
// not told of it.
func ClientEvent(e supervise.Event) control.Event {
	switch e := e.(type) {
	case supervise.RestartAsked:
		return control.Event{Event: "restart-asked"}
	case supervise.AutoRestart:
		return control.Event{Event: "auto-restart"}
	case supervise.Started:
		return control.Event{Event: "started", Worker: id(e.Worker)}
	case supervise.Proven:
		return control.Event{Event: "proven", Worker: id(e.Worker), Seconds: e.After.Seconds()}
	case supervise.Noticed:
		return control.Event{Event: "says", Worker: id(e.Worker), Says: e.Status}
	case supervise.NotReady:
		return control.Event{Event: "not-ready", Worker: id(e.Worker), Seconds: e.Lived.Seconds()}
	case supervise.AttemptFailed:
		return control.Event{Event: "failed", Generation: e.Generation, Worker: id(e.Worker), Reason: e.Error()}
	case supervise.GaveUp:
		return control.Event{Event: "gave-up", Generation: e.Generation, Reason: e.Error()}
	case supervise.TookOver:
		return control.Event{Event: "took-over", Worker: id(e.Worker), Workers: ids(e.Old), Seconds: e.Delay.Seconds()}
	case supervise.WentLive:
		return control.Event{Event: "live", Generation: e.Generation, Workers: ids(e.Old...), Seconds: e.Delay.Seconds()}
	case supervise.Shrinking:
		return control.Event{Event: "retiring", Workers: ids(e.Workers...), Signal: text.SignalName(e.Signal)}
	case supervise.Retiring:
		return control.Event{Event: "retiring", Workers: ids(e.Workers...), Signal: text.SignalName(e.Signal)}
	case supervise.Died:
		told := control.Event{Event: "exited", Worker: id(e.Worker), Status: &e.Status, Reason: text.Exit(e.Status)}
		if e.Signal != nil {
			told.Signal = text.SignalName(e.Signal)
		}
		return told
	case supervise.RefillFailed:
		return control.Event{Event: "refill-failed", Reason: e.Error()}
	case supervise.Resized:
		return control.Event{Event: "resized", Wanted: e.Workers}
	case supervise.Signalled:
		return control.Event{Event: "signalled", Workers: ids(e.Workers...), Signal: text.SignalName(e.Signal)}
	case supervise.Killed:
		return control.Event{Event: "killed", Worker: id(e.Worker), Seconds: e.After.Seconds()}
	case supervise.StopDelayed:
		return control.Event{Event: "stop-delayed", Seconds: e.Delay.Seconds()}
	case supervise.StopAsked:
		return control.Event{Event: "stopping", Workers: ids(e.Workers...), Signal: text.SignalName(e.Signal)}
	}
	return betweenEvent(e)
}

// betweenEvent is ClientEvent for what happens between restarts, and on the way from one
// generation to the next.
func betweenEvent(e supervise.Event) control.Event {
	switch e := e.(type) {
	case supervise.Canary:
		percent := supervise.PercentOf(e.Share)
		return control.Event{Event: "canary", Generation: e.Generation, Percent: &percent, Seconds: e.For.Seconds()}
	case supervise.RolledBack:
		return control.Event{Event: "rolled-back", Generation: e.To, Reason: e.Cause}
	case supervise.Promoted:
		return control.Event{Event: "promoted", Generation: e.Generation}
	case supervise.StandbyOver:
		return control.Event{Event: "standby-over", Generation: e.Generation}
	case supervise.Hung:
		return control.Event{Event: "hung", Worker: id(e.Worker), Seconds: e.Silent.Seconds(), Reason: e.Probe}
	case supervise.TooOld:
		return control.Event{Event: "too-old", Worker: id(e.Worker), Seconds: e.Age.Seconds()}
	case supervise.TooLarge:
		return control.Event{Event: "too-large", Worker: id(e.Worker)}
	case supervise.Renewed:
		return control.Event{Event: "renewed", Worker: id(e.Worker), Workers: ids(e.Old), Seconds: e.Delay.Seconds()}
	case supervise.RenewalFailed:
		return control.Event{Event: "renewal-failed", Worker: id(e.Worker), Reason: e.Error()}
	case supervise.SideBusy:
		return control.Event{Event: "waiting", Workers: ids(e.Workers...)}
	}
	return control.Event{}
}

func id(w supervise.Worker) *control.ID {
	named := control.ID(w)
	return &named
}

// ids leaves out what is no worker.
func ids(workers ...supervise.Worker) []control.ID {
	var named []control.ID
	for _, w := range workers {
		if w.Pid != 0 {
			named = append(named, control.ID(w))
		}
	}
	return named
}
