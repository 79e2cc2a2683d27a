package output

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	words "github.com/lestrrat/go-server-starter/internal/text"
)

// Format is how lines are written.
type Format string

// The formats.
const (
	Plain Format = "plain" // the text alone
	Time  Format = "time"  // the time, then the text
	JSON  Format = "json"  // an object
)

// CheckFormat says what is wrong with the name of a format. "" is Plain.
func CheckFormat(name string) error {
	switch Format(name) {
	case "", Plain, Time, JSON:
		return nil
	}
	return fmt.Errorf("log format %q is not plain, time or json", name)
}

// Form is what lines look like.
type Form struct {
	Format  Format // "": Plain
	Workers bool   // stdout and stderr of workers are told apart, and generation and slot are named
}

func (f Form) plain() bool { return f.Format == "" || f.Format == Plain }

// Level says how much a line matters, by the numbers of syslog(3).
type Level int

// The levels.
const (
	Error Level = 3 + iota
	Warning
	Notice
	Info
)

func (l Level) String() string {
	switch l {
	case Error:
		return "error"
	case Warning:
		return "warning"
	case Notice:
		return "notice"
	}
	return "info"
}

// Worker names a worker process, and what it has written to.
type Worker struct {
	Generation, Slot, Pid int    // Generation 0: only the pid is known
	Stream                string // stdout or stderr; "": either
}

// Entry is something of our own to write: a line, or several that belong together.
type Entry struct {
	Level      Level  // 0: Info
	Event      string // what kind of entry it is; "": message
	Generation int    // 0: none, or the worker's
	Worker     *Worker
	Workers    []int  // pids of more than one
	Signal     string // that was sent
	Status     *int   // raw (wait(2)); nil: nothing has ended
	Text       string
}

// form is what lines of one writer look like.
type form struct {
	Form
	journal bool // it takes the level from the beginning of a line, see sd-daemon(3)
}

func (f form) bare() bool { return f.plain() && !f.journal }

// own is an entry as it is written. Some of its text may come from others.
func (f form) own(e Entry, now time.Time) string {
	lines := words.Lines(e.Text)
	if f.bare() {
		return lines + "\n"
	}
	if e.Level == 0 {
		e.Level = Info
	}
	before := fmt.Sprintf("<%d>", e.Level)
	switch f.Format {
	case JSON:
		return e.json(now)
	case Time:
		before = now.Format(words.Stamp) + " "
	}
	return before + strings.ReplaceAll(lines, "\n", "\n"+before) + "\n"
}

func (e Entry) json(now time.Time) string {
	event := e.Event
	if event == "" {
		event = "message"
	}
	o := begin(now, e.Level, event)
	if w := e.Worker; w != nil {
		o.worker(*w)
	} else {
		o.number("generation", e.Generation)
	}
	if len(e.Workers) > 0 {
		o.name("pids")
		for i, pid := range e.Workers {
			o.raw(string("[,"[min(i, 1)]) + strconv.Itoa(pid))
		}
		o.raw("]")
	}
	o.text("signal", e.Signal)
	if e.Status != nil {
		o.name("status")
		o.raw(strconv.Itoa(*e.Status))
		o.text("exit", words.ExitStatus(*e.Status))
	}
	return o.end(e.Text)
}

// relayed is a worker's line as it is written. line has no newline at its end. cut: the line goes
// on in the next one.
func (f form) relayed(w Worker, line []byte, cut bool, now time.Time) string {
	before := ""
	switch f.Format {
	case JSON:
		o := begin(now, Info, "output")
		o.worker(w)
		if cut {
			o.name("cut")
			o.raw("true")
		}
		return o.end(string(line))
	case Time:
		before = now.Format(words.Stamp) + " "
	}
	return before + f.sign(w) + string(line) + "\n"
}

// sign is what the line of a worker begins with.
func (f form) sign(w Worker) string {
	if !f.Workers || w.Generation == 0 {
		return fmt.Sprintf("[%d] ", w.Pid)
	}
	sign := fmt.Sprintf("[%d generation:%d slot:%d", w.Pid, w.Generation, w.Slot)
	if w.Stream != "" {
		sign += " " + w.Stream
	}
	return sign + "] "
}

// object is a JSON object that is being written. It is written by hand, as on the control
// socket: with encoding/json the program takes more memory.
type object []byte

func begin(now time.Time, level Level, event string) *object {
	o := &object{}
	o.text("time", now.Format(words.Stamp))
	o.text("level", level.String())
	o.text("event", event)
	return o
}

func (o *object) raw(s string) { *o = append(*o, s...) }

func (o *object) name(name string) { *o = words.AppendMember(*o, name) }

// text sets a member, unless it is empty.
func (o *object) text(name, value string) {
	if value != "" {
		o.name(name)
		*o = words.AppendJSON(*o, value)
	}
}

// number sets a member, unless it is 0.
func (o *object) number(name string, n int) {
	if n != 0 {
		o.name(name)
		o.raw(strconv.Itoa(n))
	}
}

func (o *object) worker(w Worker) {
	if w.Generation != 0 {
		o.number("generation", w.Generation)
		o.name("slot")
		o.raw(strconv.Itoa(w.Slot))
	}
	o.number("pid", w.Pid)
	o.text("stream", w.Stream)
}

// end adds the text, even if it is empty, and ends the object and the line.
func (o *object) end(text string) string {
	o.name("text")
	*o = words.AppendJSON(*o, text)
	o.raw("}\n")
	return string(*o)
}
