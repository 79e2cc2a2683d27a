package control

import (
	"errors"
	"time"

	"github.com/valyala/fastjson"
)

// decodeRequest reads a JSON object. Members that it does not know are passed
// over.
func decodeRequest(line string) (Request, error) {
	v, err := fastjson.Parse(line)
	if err != nil {
		return Request{}, err
	}
	r := Request{
		Version: v.GetInt("version"),
		Command: text(v, "command"),
		Workers: v.GetInt("workers"),
		Signal:  text(v, "signal"),
	}
	if id := v.Get("id"); id != nil {
		r.ID = id.MarshalTo(nil)
	}
	if v.Exists("slot") {
		slot, err := v.Get("slot").Int()
		if err != nil || slot < 0 {
			return r, errors.New(`"slot" is not a number from 0`)
		}
		r.Slot = &slot
	}
	if r.Command == "" {
		return r, errors.New(`"command" is missing`)
	}
	return r, nil
}

// message is what a client is sent: an answer, or an event.
type message struct {
	answer Answer
	event  Event // its kind is empty if it is none
}

func decodeMessage(line []byte) (m message, err error) {
	v, err := fastjson.ParseBytes(line)
	if err != nil {
		return m, err
	}
	if v.Exists("event") {
		m.event = decodeEvent(v)
		return m, nil
	}
	m.answer = Answer{
		Version: v.GetInt("version"), OK: v.GetBool("ok"), Error: text(v, "error"),
		Log: texts(v.GetArray("log")), Generation: v.GetInt("generation"),
	}
	for _, pid := range v.GetArray("pids") {
		m.answer.Pids = append(m.answer.Pids, pid.GetInt())
	}
	if s := v.Get("status"); s != nil {
		m.answer.Status = decodeStatus(s)
	}
	for _, c := range v.GetArray("commands") {
		m.answer.Commands = append(m.answer.Commands, Command{Name: text(c, "command"), Help: text(c, "help")})
	}
	return m, nil
}

func decodeEvent(v *fastjson.Value) Event {
	e := Event{
		Version: v.GetInt("version"), Event: text(v, "event"), Time: moment(v, "time"),
		Generation: v.GetInt("generation"), Wanted: v.GetInt("wanted"), Seconds: v.GetFloat64("seconds"),
		Signal: text(v, "signal"), Reason: text(v, "reason"), Says: text(v, "says"), Text: text(v, "text"),
	}
	if w := v.Get("worker"); w != nil {
		id := decodeID(w)
		e.Worker = &id
	}
	for _, w := range v.GetArray("workers") {
		e.Workers = append(e.Workers, decodeID(w))
	}
	if v.Exists("status") {
		status := v.GetInt("status")
		e.Status = &status
	}
	return e
}

func decodeStatus(v *fastjson.Value) *Status {
	s := &Status{
		Pid: v.GetInt("pid"), State: text(v, "state"), Started: moment(v, "started"), Uptime: v.GetFloat64("uptime"),
		Generation: v.GetInt("generation"), Starting: v.GetInt("starting"),
		WantedWorkers: v.GetInt("wanted_workers"), Restarts: v.GetInt("restarts"),
	}
	if v.Exists("stops_at") {
		at := moment(v, "stops_at")
		s.StopsAt = &at
	}
	for _, w := range v.GetArray("workers") {
		s.Workers = append(s.Workers, decodeWorker(w))
	}
	for _, o := range v.GetArray("sockets") {
		s.Sockets = append(s.Sockets, Socket{Name: text(o, "name"), Address: text(o, "address"), FD: o.GetInt("fd")})
	}
	if f := v.Get("failure"); f != nil {
		s.Failure = &Failure{
			Generation: f.GetInt("generation"), Reason: text(f, "reason"), At: moment(f, "at"),
			GivenUp: f.GetBool("given_up"), Log: texts(f.GetArray("log")),
		}
	}
	return s
}

func decodeWorker(v *fastjson.Value) Worker {
	w := Worker{
		ID: decodeID(v), State: text(v, "state"), Age: v.GetFloat64("age"),
		Restarts: v.GetInt("restarts"), Says: text(v, "says"),
	}
	if v.Exists("ready_after") {
		after := v.GetFloat64("ready_after")
		w.ReadyAfter = &after
	}
	if e := v.Get("last_exit"); e != nil {
		w.LastExit = &Exit{
			Pid: e.GetInt("pid"), Status: e.GetInt("status"), Text: text(e, "text"),
			At: moment(e, "at"), Lived: e.GetFloat64("lived"),
		}
	}
	return w
}

func decodeID(v *fastjson.Value) ID {
	return ID{Generation: v.GetInt("generation"), Slot: v.GetInt("slot"), Pid: v.GetInt("pid")}
}

func text(v *fastjson.Value, name string) string { return string(v.GetStringBytes(name)) }

func texts(values []*fastjson.Value) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v.GetStringBytes()))
	}
	return all
}

func moment(v *fastjson.Value, name string) time.Time {
	return time.UnixMilli(int64(v.GetFloat64(name) * 1e3))
}
