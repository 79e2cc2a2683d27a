package collect

import (
	"math"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Bounds of what is taken from one superdaemon. It may be hostile, and it passes on what workers
// say in any case.
const (
	maxText      = 1000 // bytes of a text
	maxLines     = 50   // of a log
	maxSockets   = 256
	maxWorkers   = 2000
	maxShares    = 32
	maxProcesses = 1000 // looked at in /proc
)

// clean returns s as one line of printable text, cut to maxText.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return text.Line(s)
}

// finite returns f, or 0 if it is NaN or negative, and at most 1e9 seconds, some thirty years: a
// hostile value must not overflow a time.Duration, which ends at 292 years.
func finite(f float64) float64 {
	if math.IsNaN(f) || f < 0 {
		return 0
	}
	return min(f, 1e9)
}

func first[T any](items []T, n int) []T { return items[:min(len(items), n)] }

// states are the states of workers. Others are not counted: each would be a series.
var states = []supervise.WorkerState{
	supervise.StateProving, supervise.StateLive, supervise.StateCanary, supervise.StateStandby, supervise.StateOld,
	supervise.StateDraining, supervise.StateStopping, supervise.StateFailed, supervise.StateMissing,
}

// States are the states that a worker can have.
func States() []supervise.WorkerState { return states }

// serves has the states in which a worker gets connections. A draining worker serves only those
// that it has.
var serves = map[supervise.WorkerState]bool{
	supervise.StateLive: true, supervise.StateCanary: true, supervise.StateOld: true, supervise.StateStopping: true,
}

// cleanStatus makes a status fit to be kept and shown.
func cleanStatus(s *control.Status) *control.Status {
	s.Name, s.Version, s.State = clean(s.Name), clean(s.Version), supervise.Phase(clean(string(s.State)))
	s.Uptime = finite(s.Uptime)
	s.Workers, s.Sockets, s.Traffic = first(s.Workers, maxWorkers), first(s.Sockets, maxSockets), first(s.Traffic, maxShares)
	for i := range s.Workers {
		w := &s.Workers[i]
		w.Says, w.State, w.Age = clean(w.Says), supervise.WorkerState(clean(string(w.State))), finite(w.Age)
		if w.LastExit != nil {
			w.LastExit.Text = clean(w.LastExit.Text)
		}
	}
	for i := range s.Sockets {
		o := &s.Sockets[i]
		o.Name, o.Network, o.Address = clean(o.Name), clean(o.Network), clean(o.Address)
		o.Waiting, o.WaitingFor = max(0, o.Waiting), finite(o.WaitingFor)
	}
	for i := range s.Traffic {
		t := &s.Traffic[i]
		t.Percent, t.Waiting = min(100, finite(t.Percent)), max(0, t.Waiting)
	}
	if f := s.Failure; f != nil {
		f.Reason, f.Log = clean(f.Reason), first(f.Log, maxLines)
		for i := range f.Log {
			f.Log[i] = clean(f.Log[i])
		}
	}
	return s
}

// maxLate is how far an event's time may be from our clock.
const maxLate = time.Minute

// cleanEvent makes an event that came now fit to be kept and shown.
func cleanEvent(path string, e control.Event, now time.Time) Event {
	if now.Sub(e.Time).Abs() > maxLate {
		e.Time = now
	}
	c := Event{
		Control: path, Event: clean(e.Event), Time: Moment{e.Time}, Worker: e.Worker, Workers: first(e.Workers, maxWorkers),
		Generation: e.Generation, Percent: e.Percent, Seconds: finite(e.Seconds), Signal: clean(e.Signal), Status: e.Status,
		Reason: clean(e.Reason), Text: clean(e.Text),
	}
	if e.Worker != nil {
		c.Pid, c.Slot = e.Worker.Pid, &e.Worker.Slot
		if c.Generation == 0 {
			c.Generation = e.Worker.Generation
		}
	}
	if c.Percent != nil {
		p := min(100, finite(*c.Percent))
		c.Percent = &p
	}
	if c.Text == "" {
		c.Text = strings.TrimSpace(c.Event + " " + c.Reason + clean(e.Says))
	}
	return c
}
