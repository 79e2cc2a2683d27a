package collect

import (
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// maxGenerations is how many generations of a superdaemon are remembered.
const maxGenerations = 40

// Generation is the life of a generation as far as it was seen. A moment that is not set has
// not come, or was not seen.
type Generation struct {
	Generation int     `json:"generation"`
	Began      Moment  `json:"began"`    // its first worker was started
	Proved     Moment  `json:"proved"`   // its last worker so far to do so proved itself
	Canary     Moment  `json:"canary"`   // it got its first share of the connections
	Percent    float64 `json:"percent"`  // of the connections, as a canary
	Live       Moment  `json:"live"`     // it took over
	Standby    Moment  `json:"standby"`  // it was replaced, and stands by
	Retiring   Moment  `json:"retiring"` // its workers were told to go
	Failed     Moment  `json:"failed"`
	Reason     string  `json:"reason,omitempty"` // of the failure
	Gone       Moment  `json:"gone"`             // its last worker ended

	workers map[int]bool // those that exist, by pid
}

// history is the generations of one superdaemon.
type history struct {
	generations []Generation   // the oldest first
	first       int            // index of the first generation of the superdaemon that runs now
	last        control.Status // zero: none has come
	stated      time.Time      // when last came
}

// view is a copy for others.
func (h *history) view() []Generation {
	all := slices.Clone(h.generations)
	for i := range all {
		all[i].workers = nil
	}
	return all
}

// of returns the record of a generation, and makes it if there is none; nil if the number is none
// of a generation.
func (h *history) of(generation int, now time.Time) *Generation {
	if generation <= 0 {
		return nil
	}
	for i := len(h.generations) - 1; i >= h.first; i-- {
		if h.generations[i].Generation == generation {
			return &h.generations[i]
		}
	}
	h.generations = append(h.generations, Generation{Generation: generation, Began: Moment{now}, workers: map[int]bool{}})
	if over := len(h.generations) - maxGenerations; over > 0 {
		h.generations = slices.Delete(h.generations, 0, over)
		h.first = max(0, h.first-over)
	}
	return &h.generations[len(h.generations)-1]
}

// hear works an event in.
func (h *history) hear(e Event) {
	now := e.Time.Time
	g := h.of(e.Generation, now)
	if g == nil {
		g = &Generation{} // for events of no generation
	}
	switch e.Event {
	case "started":
		g.join(e.Pid)
	case "proven":
		g.Proved.Time = now
	case "canary":
		g.Canary.once(now)
		if e.Percent != nil {
			g.Percent = *e.Percent
		}
	case "took-over":
		g.Live.once(now)
	case "live":
		g.Live.once(now)
	case "failed":
		g.Failed.once(now)
		g.Reason = e.Reason
	case "rolled-back": // the generation that has all connections again
		g.Live.once(now)
		g.Standby = Moment{}
	case "exited":
		if delete(g.workers, e.Pid); len(g.workers) == 0 && !(g.Retiring.IsZero() && g.Failed.IsZero()) {
			g.Gone.once(now)
		}
	case "retiring", "stopping":
		for _, w := range e.Workers {
			if old := h.of(w.Generation, now); old != nil {
				old.Retiring.once(now)
			}
		}
	}
}

func (g *Generation) join(pid int) {
	if pid > 0 && len(g.workers) < maxWorkers {
		g.workers[pid] = true
		g.Gone = Moment{}
	}
}

// restate works in how things stand: what was before the monitor came, or what it missed.
func (h *history) restate(s *control.Status, now time.Time) {
	if !s.SameAs(&h.last, now.Sub(h.stated)) {
		for i := range h.generations {
			h.generations[i].Gone.once(now)
		}
		h.first = len(h.generations)
	}
	h.last, h.stated = *s, now
	there := map[int]map[int]bool{s.Generation: {}, s.Starting: {}} // workers by generation
	for _, w := range s.Workers {
		if w.Pid <= 0 {
			continue
		}
		if there[w.Generation] == nil {
			there[w.Generation] = map[int]bool{}
		}
		there[w.Generation][w.Pid] = true
		if len(there) <= maxGenerations {
			h.restateWorker(w, w.Generation == s.Generation, now)
		}
	}
	for i := h.first; i < len(h.generations); i++ {
		g := &h.generations[i]
		if workers, is := there[g.Generation]; is {
			g.workers, g.Gone = workers, Moment{}
		} else {
			g.Gone.once(now)
		}
	}
}

// restateWorker works in one worker.
func (h *history) restateWorker(w control.Worker, live bool, now time.Time) {
	began := now.Add(-time.Duration(w.Age * float64(time.Second)))
	g := h.of(w.Generation, began)
	if g == nil {
		return
	}
	if began.Before(g.Began.Time) {
		g.Began.Time = began
	}
	if w.ReadyAfter != nil {
		g.Proved.once(began.Add(time.Duration(*w.ReadyAfter * float64(time.Second))))
	}
	switch w.State {
	case supervise.StateCanary:
		g.Canary.once(now)
	case supervise.StateStandby:
		g.Standby.once(now)
	case supervise.StateDraining:
		g.Retiring.once(now)
	case supervise.StateFailed:
		g.Failed.once(now)
	}
	if live && !g.Proved.IsZero() {
		g.Live.once(g.Proved.Time)
		g.Standby = Moment{}
	}
}
