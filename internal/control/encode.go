package control

import (
	"math"
	"strconv"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// JSON is written by hand. Measured with encoding/json, an idle superdaemon takes 2.7 %
// more memory, 9 % more after the first request, and the program is 300 KB larger.

// encode returns the line of an answer.
func (a *Answer) encode() []byte {
	var o object
	o.set("version", a.Version)
	o.setIf(a.ID != nil, "id", a.ID)
	o.set("ok", a.OK)
	o.setIf(a.Error != "", "error", a.Error)
	o.setIf(a.Message != "", "message", a.Message)
	o.setIf(len(a.Log) > 0, "log", a.Log)
	o.setIf(a.Generation > 0, "generation", a.Generation)
	o.setIf(len(a.Pids) > 0, "pids", a.Pids)
	if a.Status != nil {
		o.set("status", raw(a.Status.JSON()))
	}
	o.setIf(len(a.Commands) > 0, "commands", list(a.Commands, Command.json))
	o.setIf(len(a.Args) > 0, "args", a.Args)
	return append(o.json(), '\n')
}

// Line is the event as subscribers get it, with its newline.
func (e Event) Line(now time.Time) []byte {
	e.Version, e.Time = Version, now
	return e.encode()
}

// encode returns the line of an event.
func (e *Event) encode() []byte {
	var o object
	o.set("version", e.Version)
	o.set("event", e.Event)
	o.set("time", e.Time)
	if e.Worker != nil {
		o.set("worker", e.Worker.json())
	}
	o.setIf(len(e.Workers) > 0, "workers", list(e.Workers, ID.json))
	o.setIf(e.Generation > 0, "generation", e.Generation)
	o.setIf(e.Wanted > 0, "wanted", e.Wanted)
	if e.Percent != nil {
		o.set("percent", *e.Percent)
	}
	o.setIf(e.Seconds != 0, "seconds", e.Seconds)
	o.setIf(e.Signal != "", "signal", e.Signal)
	if e.Status != nil {
		o.set("status", *e.Status)
	}
	o.setIf(e.Reason != "", "reason", e.Reason)
	o.setIf(e.Says != "", "says", e.Says)
	o.setIf(e.Text != "", "text", e.Text)
	if e.Now != nil {
		o.set("now", raw(e.Now.JSON()))
	}
	return append(o.json(), '\n')
}

// encode returns the line of a request.
func (r *Request) encode() []byte {
	var o object
	o.set("version", r.Version)
	o.setIf(r.ID != nil, "id", r.ID)
	o.set("command", r.Command)
	o.setIf(r.Workers != 0, "workers", r.Workers)
	o.setIf(r.Signal != "", "signal", r.Signal)
	if r.Slot != nil {
		o.set("slot", *r.Slot)
	}
	o.setIf(r.Args != nil, "args", r.Args)
	o.setIf(r.Executable != "", "executable", r.Executable)
	o.setIf(r.KeepWorkers, "keep_workers", true)
	return append(o.json(), '\n')
}

// JSON is the status as an answer holds it.
func (s *Status) JSON() []byte {
	var o object
	o.setIf(s.Name != "", "name", s.Name)
	o.set("pid", s.Pid)
	o.set("state", string(s.State))
	o.set("started", s.Started)
	o.set("uptime", s.Uptime)
	o.set("generation", s.Generation)
	o.setIf(s.Starting > 0, "starting", s.Starting)
	o.set("wanted_workers", s.WantedWorkers)
	o.set("restarts", s.Restarts)
	o.setIf(s.Version != "", "version", s.Version)
	o.setIf(!s.ImageSince.IsZero(), "image_since", s.ImageSince)
	o.set("upgrades", s.Upgrades)
	if s.StopsAt != nil {
		o.set("stops_at", *s.StopsAt)
	}
	o.set("workers", list(s.Workers, Worker.json))
	o.set("sockets", list(s.Sockets, Socket.json))
	o.setIf(len(s.Traffic) > 0, "traffic", list(s.Traffic, Traffic.json))
	if s.Failure != nil {
		o.set("failure", s.Failure.json())
	}
	return o.json()
}

func (w Worker) json() raw {
	o := w.object()
	o.set("state", string(w.State))
	o.set("age", w.Age)
	if w.ReadyAfter != nil {
		o.set("ready_after", *w.ReadyAfter)
	}
	o.set("restarts", w.Restarts)
	if w.LastExit != nil {
		o.set("last_exit", w.LastExit.json())
	}
	if w.NextTry != nil {
		o.set("next_try", *w.NextTry)
	}
	o.setIf(w.Says != "", "says", w.Says)
	return o.json()
}

func (t Traffic) json() raw {
	var o object
	o.set("generation", t.Generation)
	o.set("percent", t.Percent)
	o.set("waiting", t.Waiting)
	if t.SecondsLeft != nil {
		o.set("seconds_left", *t.SecondsLeft)
	}
	o.setIf(t.Given > 0, "given", t.Given)
	o.setIf(t.CanRollBack, "can_roll_back", true)
	return o.json()
}

func (id ID) json() raw { return id.object().json() }

func (id ID) object() (o object) {
	o.set("generation", id.Generation)
	o.set("slot", id.Slot)
	o.set("pid", id.Pid)
	return o
}

func (e *Exit) json() raw {
	var o object
	o.set("pid", e.Pid)
	o.set("status", e.Status)
	o.set("text", e.Text)
	o.set("at", e.At)
	o.set("lived", e.Lived)
	return o.json()
}

func (s Socket) json() raw {
	var o object
	o.set("name", s.Name)
	o.set("network", s.Network)
	o.set("address", s.Address)
	o.set("fd", s.FD)
	o.setIf(s.Waiting > 0, "waiting", s.Waiting)
	o.setIf(s.WaitingFor > 0, "waiting_for", s.WaitingFor)
	return o.json()
}

func (f *Failure) json() raw {
	var o object
	o.set("generation", f.Generation)
	o.set("reason", f.Reason)
	o.set("at", f.At)
	o.set("given_up", f.GivenUp)
	o.setIf(len(f.Log) > 0, "log", f.Log)
	return o.json()
}

func (c Command) json() raw {
	var o object
	o.set("command", c.Name)
	o.set("help", c.Help)
	return o.json()
}

// raw is encoded JSON.
type raw = []byte

// object is a JSON object without its last brace.
type object struct{ text raw }

func (o *object) setIf(there bool, name string, v any) {
	if there {
		o.set(name, v)
	}
}

func (o *object) set(name string, v any) {
	o.text = appendValue(text.AppendMember(o.text, name), v)
}

func (o object) json() raw { return append(o.text, '}') }

// appendValue appends a value of any type that is used here.
func appendValue(b raw, v any) raw {
	switch v := v.(type) {
	case raw:
		return append(b, v...)
	case string:
		return text.AppendJSON(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case float64: // seconds, to the microsecond
		return appendNumber(b, math.Round(v*1e6)/1e6)
	case time.Time:
		return appendNumber(b, float64(v.UnixMilli())/1e3)
	case []string:
		return append(b, list(v, func(s string) raw { return text.AppendJSON(nil, s) })...)
	case []int:
		return append(b, list(v, func(n int) raw { return strconv.AppendInt(nil, int64(n), 10) })...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}

// appendNumber appends a number without an exponent: few shell scripts can read one.
func appendNumber(b raw, f float64) raw {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

func list[T any](items []T, json func(T) raw) raw {
	b := raw{'['}
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, json(item)...)
	}
	return append(b, ']')
}
