package control

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
	"github.com/valyala/fastjson"
)

// decodeRequest reads a JSON object. Unknown members are ignored; of two with one name
// the first counts.
func decodeRequest(line string) (r Request, err error) {
	v, err := parseStrictly(line)
	if err != nil {
		return r, err
	}
	if id := v.Get("id"); id != nil {
		r.ID = appendParsed(nil, id)
	}
	r.Command, r.Signal = stringAt(v, "command"), stringAt(v, "signal")
	r.Executable, r.KeepWorkers = stringAt(v, "executable"), v.GetBool("keep_workers")
	if r.Args, err = arguments(v); err != nil {
		return r, err
	}
	version, err := number(v, "version")
	if err != nil {
		return r, err
	}
	workers, err := number(v, "workers")
	if err != nil {
		return r, err
	}
	if r.Slot, err = number(v, "slot"); err != nil {
		return r, err
	}
	switch {
	case r.Command == "":
		return r, errors.New(`"command" is missing`)
	case r.Slot != nil && *r.Slot < 0:
		return r, errors.New(`"slot" is not a number from 0`)
	}
	if version != nil {
		r.Version = *version
	}
	if workers != nil {
		r.Workers = *workers
	}
	return r, nil
}

// maxBrackets bounds the lists and objects in a request. fastjson takes megabytes to
// report a fault that is nested deeply.
const maxBrackets = 64

// parseStrictly reads valid JSON only. fastjson.Parse alone accepts malformed numbers and
// strings.
func parseStrictly(line string) (*fastjson.Value, error) {
	if strings.Count(line, "[")+strings.Count(line, "{") > maxBrackets {
		return nil, fmt.Errorf("more than %d lists and objects are in it", maxBrackets)
	}
	if err := fastjson.Validate(line); err != nil {
		return nil, err
	}
	return fastjson.Parse(line)
}

// appendParsed appends a value that was parsed. fastjson itself writes strings in Go's
// syntax, which is not always JSON.
func appendParsed(b raw, v *fastjson.Value) raw {
	switch v.Type() {
	case fastjson.TypeString:
		return text.AppendJSON(b, string(v.GetStringBytes()))
	case fastjson.TypeArray:
		return append(b, list(v.GetArray(), func(item *fastjson.Value) raw { return appendParsed(nil, item) })...)
	case fastjson.TypeObject:
		var o raw
		v.GetObject().Visit(func(key []byte, member *fastjson.Value) {
			o = appendParsed(text.AppendMember(o, string(key)), member)
		})
		if o == nil {
			o = raw{'{'}
		}
		return append(append(b, o...), '}')
	}
	return v.MarshalTo(b)
}

// number reads a member; nil if it is missing or null.
func number(v *fastjson.Value, name string) (*int, error) {
	member := v.Get(name)
	if member == nil || member.Type() == fastjson.TypeNull {
		return nil, nil
	}
	n, err := member.Int()
	if err != nil {
		return nil, fmt.Errorf("%q is not a whole number", name)
	}
	return &n, nil
}

// message is what a server sends: an answer or an event.
type message struct {
	answer Answer
	event  Event // event.Event is empty if it is an answer
}

func decodeMessage(line []byte) (m message, err error) {
	v, err := fastjson.ParseBytes(line)
	if err != nil {
		return m, err
	}
	if v.Type() != fastjson.TypeObject {
		return m, fmt.Errorf("it is a JSON %s, not an object", v.Type())
	}
	if v.Exists("event") {
		m.event = decodeEvent(v)
		return m, nil
	}
	m.answer = Answer{
		Version: v.GetInt("version"), OK: v.GetBool("ok"), Error: stringAt(v, "error"), Message: stringAt(v, "message"),
		Log: texts(v.GetArray("log")), Generation: v.GetInt("generation"),
	}
	if id := v.Get("id"); id != nil {
		m.answer.ID = appendParsed(nil, id)
	}
	if v.Exists("args") {
		m.answer.Args = texts(v.GetArray("args"))
	}
	for _, pid := range v.GetArray("pids") {
		m.answer.Pids = append(m.answer.Pids, pid.GetInt())
	}
	if s := v.Get("status"); s != nil {
		m.answer.Status = decodeStatus(s)
	}
	for _, c := range v.GetArray("commands") {
		m.answer.Commands = append(m.answer.Commands, Command{Name: stringAt(c, "command"), Help: stringAt(c, "help")})
	}
	return m, nil
}

func decodeEvent(v *fastjson.Value) Event {
	e := Event{
		Version: v.GetInt("version"), Event: stringAt(v, "event"), Time: moment(v, "time"),
		Generation: v.GetInt("generation"), Wanted: v.GetInt("wanted"), Seconds: v.GetFloat64("seconds"),
		Signal: stringAt(v, "signal"), Reason: stringAt(v, "reason"), Says: stringAt(v, "says"), Text: stringAt(v, "text"),
	}
	if w := v.Get("worker"); w != nil {
		id := decodeID(w)
		e.Worker = &id
	}
	for _, w := range v.GetArray("workers") {
		e.Workers = append(e.Workers, decodeID(w))
	}
	e.Percent = seconds(v, "percent")
	if v.Exists("status") {
		status := v.GetInt("status")
		e.Status = &status
	}
	if now := v.Get("now"); now != nil {
		e.Now = decodeStatus(now)
	}
	return e
}

func decodeStatus(v *fastjson.Value) *Status {
	s := &Status{
		Name: stringAt(v, "name"), Pid: v.GetInt("pid"), State: supervise.Phase(stringAt(v, "state")), Started: moment(v, "started"), Uptime: v.GetFloat64("uptime"),
		Generation: v.GetInt("generation"), Starting: v.GetInt("starting"),
		WantedWorkers: v.GetInt("wanted_workers"), Restarts: v.GetInt("restarts"),
		Version: stringAt(v, "version"), Upgrades: v.GetInt("upgrades"),
	}
	if v.Exists("image_since") {
		s.ImageSince = moment(v, "image_since")
	}
	if v.Exists("stops_at") {
		at := moment(v, "stops_at")
		s.StopsAt = &at
	}
	for _, w := range v.GetArray("workers") {
		s.Workers = append(s.Workers, decodeWorker(w))
	}
	for _, o := range v.GetArray("sockets") {
		s.Sockets = append(s.Sockets, Socket{Name: stringAt(o, "name"), Network: stringAt(o, "network"), Address: stringAt(o, "address"), FD: o.GetInt("fd"), Waiting: o.GetInt("waiting"), WaitingFor: o.GetFloat64("waiting_for")})
	}
	for _, t := range v.GetArray("traffic") {
		s.Traffic = append(s.Traffic, Traffic{
			Generation: t.GetInt("generation"), Percent: t.GetFloat64("percent"), Waiting: t.GetInt("waiting"),
			SecondsLeft: seconds(t, "seconds_left"), Given: t.GetInt("given"), CanRollBack: t.GetBool("can_roll_back"),
		})
	}
	if f := v.Get("failure"); f != nil {
		s.Failure = &Failure{
			Generation: f.GetInt("generation"), Reason: stringAt(f, "reason"), At: moment(f, "at"),
			GivenUp: f.GetBool("given_up"), Log: texts(f.GetArray("log")),
		}
	}
	return s
}

func decodeWorker(v *fastjson.Value) Worker {
	w := Worker{
		ID: decodeID(v), State: supervise.WorkerState(stringAt(v, "state")), Age: v.GetFloat64("age"),
		Restarts: v.GetInt("restarts"), Says: stringAt(v, "says"),
	}
	w.ReadyAfter, w.NextTry = seconds(v, "ready_after"), seconds(v, "next_try")
	if e := v.Get("last_exit"); e != nil {
		w.LastExit = &Exit{
			Pid: e.GetInt("pid"), Status: e.GetInt("status"), Text: stringAt(e, "text"),
			At: moment(e, "at"), Lived: e.GetFloat64("lived"),
		}
	}
	return w
}

// seconds reads a member; nil if it is missing.
func seconds(v *fastjson.Value, name string) *float64 {
	if !v.Exists(name) {
		return nil
	}
	n := v.GetFloat64(name)
	return &n
}

func decodeID(v *fastjson.Value) ID {
	return ID{Generation: v.GetInt("generation"), Slot: v.GetInt("slot"), Pid: v.GetInt("pid")}
}

func stringAt(v *fastjson.Value, name string) string { return string(v.GetStringBytes(name)) }

func texts(values []*fastjson.Value) []string {
	var all []string
	for _, v := range values {
		all = append(all, string(v.GetStringBytes()))
	}
	return all
}

// arguments reads the member "args".
func arguments(v *fastjson.Value) ([]string, error) {
	args := v.Get("args")
	if args == nil || args.Type() == fastjson.TypeNull {
		return nil, nil
	}
	values, err := args.Array()
	for _, value := range values {
		if value.Type() != fastjson.TypeString {
			err = errors.New("not a string")
		}
	}
	if err != nil {
		return nil, errors.New(`"args" is not a list of strings`)
	}
	return texts(values), nil
}

func moment(v *fastjson.Value, name string) time.Time {
	return time.UnixMilli(int64(math.Round(v.GetFloat64(name) * 1e3)))
}
