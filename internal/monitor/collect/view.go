package collect

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// Moment is a time. In JSON it is seconds since 1970, as on the control socket; the zero time is
// null.
type Moment struct{ time.Time }

// MarshalJSON is for encoding/json.
func (m Moment) MarshalJSON() ([]byte, error) {
	if m.IsZero() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, m.Seconds(), 'f', -1, 64), nil
}

// Seconds returns the seconds since 1970.
func (m Moment) Seconds() float64 { return float64(m.UnixMilli()) / 1e3 }

// once sets the moment if it is not set yet.
func (m *Moment) once(t time.Time) {
	if m.IsZero() {
		m.Time = t
	}
}

// View is what is known of one superdaemon. It is a copy: what it points to is never changed.
type View struct {
	Control string // the path of its control socket
	Named   bool   // by this path, and not found by a glob
	Up      bool   // it answers
	Asked   bool   // it has answered, or failed to, at least once
	Why     string // why it is not up
	Since   Moment // since when it is up, or is not
	Seen    Moment // when the last status came
	Status  *control.Status
	// Generations are those that were seen, the oldest first.
	Generations []Generation
	Processes   map[int]Process // by pid
	CPU         CPU
	Drops       map[string]uint64 // packets that the kernel dropped, by the name of the UDP socket
	Counts      Counts
}

// MarshalJSON is for encoding/json: docs/monitor.md tells of each member.
func (v View) MarshalJSON() ([]byte, error) {
	serving, why := v.Serving()
	wire := struct {
		Control     string            `json:"control"`
		Up          bool              `json:"up"`
		Serving     bool              `json:"serving"`
		Why         string            `json:"why,omitempty"`
		Since       Moment            `json:"since"`
		Seen        Moment            `json:"seen"`
		Status      json.RawMessage   `json:"status,omitempty"`
		Generations []Generation      `json:"generations"`
		Processes   map[int]Process   `json:"processes"`
		Drops       map[string]uint64 `json:"dropped_packets,omitempty"`
	}{v.Control, v.Up, serving, why, v.Since, v.Seen, nil, v.Generations, v.Processes, v.Drops}
	if v.Status != nil {
		wire.Status = v.Status.JSON()
	}
	return json.Marshal(wire)
}

// Serving reports whether the superdaemon is there and a worker of it serves, and if not why.
func (v View) Serving() (serving bool, why string) {
	switch {
	case !v.Asked:
		return false, "it has not answered yet"
	case !v.Up:
		return false, v.Why
	}
	for _, w := range v.Status.Workers {
		if serves[w.State] {
			return true, ""
		}
	}
	why = "no worker serves: it is " + string(v.Status.State)
	if f := v.Status.Failure; f != nil {
		why += "; the last attempt: " + f.Reason
	}
	return false, why
}

// Memory returns the proportional set size of the superdaemon and of its workers, in bytes. It
// counts the processes that we may look at.
func (v View) Memory() (superdaemon, workers int64) {
	for _, p := range v.Processes {
		if p.worker {
			workers += p.PSS
		} else {
			superdaemon += p.PSS
		}
	}
	return superdaemon, workers
}

// Process is what a process uses, as /proc tells it.
type Process struct {
	PSS    int64   `json:"pss,omitempty"` // bytes; 0: it cannot be read
	CPU    float64 `json:"cpu"`           // part of a core, lately
	worker bool
}

// CPU is the CPU time that processes have used since the monitor first saw them, in seconds. It
// never goes back: what ended processes have used stays in it.
type CPU struct {
	Superdaemon, Workers float64
}

// Event is one event of a superdaemon, bounded and fit to be shown.
type Event struct {
	Seq        uint64       `json:"-"`
	Control    string       `json:"control"`
	Event      string       `json:"event"`
	Time       Moment       `json:"time"`
	Worker     *control.ID  `json:"-"`
	Workers    []control.ID `json:"-"`
	Generation int          `json:"generation,omitempty"`
	Pid        int          `json:"pid,omitempty"`
	Slot       *int         `json:"slot,omitempty"`
	Percent    *float64     `json:"percent,omitempty"`
	Seconds    float64      `json:"seconds,omitempty"`
	Signal     string       `json:"signal,omitempty"`
	Status     *int         `json:"status,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Text       string       `json:"text"`
}
