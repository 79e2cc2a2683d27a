package control

import (
	"math"
	"time"

	"github.com/valyala/fastjson"
)

// The values are put together by hand: reflection, as encoding/json does it,
// would be a tenth of what an idle superdaemon takes of memory.

// encode makes the line of an answer.
func (a *Answer) encode() []byte {
	var o object
	o.set("version", a.Version)
	if a.ID != nil {
		if id, err := fastjson.ParseBytes(a.ID); err == nil {
			o.put("id", id)
		}
	}
	o.set("ok", a.OK)
	o.setIf(a.Error != "", "error", a.Error)
	o.setIf(len(a.Log) > 0, "log", a.Log)
	o.setIf(a.Generation > 0, "generation", a.Generation)
	o.setIf(len(a.Pids) > 0, "pids", a.Pids)
	if a.Status != nil {
		o.put("status", a.Status.value(&o.arena))
	}
	if len(a.Commands) > 0 {
		o.put("commands", list(&o.arena, a.Commands, Command.value))
	}
	return o.line()
}

// encode makes the line of an event.
func (e *Event) encode() []byte {
	var o object
	o.set("version", e.Version)
	o.set("event", e.Event)
	o.set("time", e.Time)
	if e.Worker != nil {
		o.put("worker", e.Worker.value(&o.arena))
	}
	if len(e.Workers) > 0 {
		o.put("workers", list(&o.arena, e.Workers, ID.value))
	}
	o.setIf(e.Generation > 0, "generation", e.Generation)
	o.setIf(e.Wanted > 0, "wanted", e.Wanted)
	o.setIf(e.Seconds != 0, "seconds", e.Seconds)
	o.setIf(e.Signal != "", "signal", e.Signal)
	if e.Status != nil {
		o.set("status", *e.Status)
	}
	o.setIf(e.Reason != "", "reason", e.Reason)
	o.setIf(e.Says != "", "says", e.Says)
	o.setIf(e.Text != "", "text", e.Text)
	return o.line()
}

// encode makes the line of a request.
func (r *Request) encode() []byte {
	var o object
	o.set("version", r.Version)
	o.set("command", r.Command)
	o.setIf(r.Workers > 0, "workers", r.Workers)
	o.setIf(r.Signal != "", "signal", r.Signal)
	if r.Slot != nil {
		o.set("slot", *r.Slot)
	}
	return o.line()
}

// JSON is a status as the answer to a request has it.
func (s *Status) JSON() []byte { return s.value(&fastjson.Arena{}).MarshalTo(nil) }

func (s *Status) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a}
	o.set("pid", s.Pid)
	o.set("state", s.State)
	o.set("started", s.Started)
	o.set("uptime", s.Uptime)
	o.set("generation", s.Generation)
	o.setIf(s.Starting > 0, "starting", s.Starting)
	o.set("wanted_workers", s.WantedWorkers)
	o.set("restarts", s.Restarts)
	if s.StopsAt != nil {
		o.set("stops_at", *s.StopsAt)
	}
	o.put("workers", list(a, s.Workers, Worker.value))
	o.put("sockets", list(a, s.Sockets, Socket.value))
	if s.Failure != nil {
		o.put("failure", s.Failure.value(a))
	}
	return o.value()
}

func (w Worker) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a, is: w.ID.value(a)}
	o.set("state", w.State)
	o.set("age", w.Age)
	if w.ReadyAfter != nil {
		o.set("ready_after", *w.ReadyAfter)
	}
	o.set("restarts", w.Restarts)
	if e := w.LastExit; e != nil {
		exit := object{within: a}
		exit.set("pid", e.Pid)
		exit.set("status", e.Status)
		exit.set("text", e.Text)
		exit.set("at", e.At)
		exit.set("lived", e.Lived)
		o.put("last_exit", exit.value())
	}
	o.setIf(w.Says != "", "says", w.Says)
	return o.value()
}

func (id ID) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a}
	o.set("generation", id.Generation)
	o.set("slot", id.Slot)
	o.set("pid", id.Pid)
	return o.value()
}

func (s Socket) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a}
	o.set("name", s.Name)
	o.set("address", s.Address)
	o.set("fd", s.FD)
	return o.value()
}

func (f *Failure) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a}
	o.set("generation", f.Generation)
	o.set("reason", f.Reason)
	o.set("at", f.At)
	o.set("given_up", f.GivenUp)
	o.setIf(len(f.Log) > 0, "log", f.Log)
	return o.value()
}

func (c Command) value(a *fastjson.Arena) *fastjson.Value {
	o := object{within: a}
	o.set("command", c.Name)
	o.set("help", c.Help)
	return o.value()
}

// object is a JSON object in the making.
type object struct {
	arena  fastjson.Arena
	within *fastjson.Arena // the arena of the whole; nil: it is the whole
	is     *fastjson.Value // nil: nothing yet
}

func (o *object) value() *fastjson.Value {
	if o.within == nil {
		o.within = &o.arena
	}
	if o.is == nil {
		o.is = o.within.NewObject()
	}
	return o.is
}

func (o *object) put(name string, v *fastjson.Value) { o.value().Set(name, v) }

func (o *object) setIf(there bool, name string, v any) {
	if there {
		o.set(name, v)
	}
}

func (o *object) set(name string, v any) {
	o.value()
	o.put(name, scalar(o.within, v))
}

func (o *object) line() []byte { return append(o.value().MarshalTo(nil), '\n') }

// scalar is a value of one of the types that there are.
func scalar(a *fastjson.Arena, v any) *fastjson.Value {
	switch v := v.(type) {
	case string:
		return a.NewString(v)
	case int:
		return a.NewNumberInt(v)
	case float64: // seconds, to the microsecond
		return a.NewNumberFloat64(math.Round(v*1e6) / 1e6)
	case time.Time:
		return a.NewNumberFloat64(float64(v.UnixMilli()) / 1e3)
	case []string:
		return list(a, v, func(s string, a *fastjson.Arena) *fastjson.Value { return a.NewString(s) })
	case []int:
		return list(a, v, func(n int, a *fastjson.Arena) *fastjson.Value { return a.NewNumberInt(n) })
	case bool:
		if v {
			return a.NewTrue()
		}
	}
	return a.NewFalse()
}

func list[T any](a *fastjson.Arena, items []T, value func(T, *fastjson.Arena) *fastjson.Value) *fastjson.Value {
	array := a.NewArray()
	for i, item := range items {
		array.SetArrayItem(i, value(item, a))
	}
	return array
}
