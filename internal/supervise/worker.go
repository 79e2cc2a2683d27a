package supervise

import (
	"iter"
	"os"
	"slices"
	"time"
)

// role is where a worker stands. It moves from starting to live and on to retired, with
// Traffic by way of standby, or from starting to failed. excess may follow starting and
// live. An heir becomes live or failed. Two roles can be live again: standby, when
// connections go back to it, and retired, if it was not told to go and a restart is
// given up with no live worker left.
type role uint8

const (
	starting role = iota // in a slot of the starting generation
	live                 // in a slot of the live one
	retired              // replaced; told to go at retireAt
	failed               // of an attempt that failed; told to go
	excess               // one too many, as fewer are wanted now; told to go
	standby              // of the generation that stands by: it has no connections and can be live again
	heir                 // the successor of a live worker, which does not have the slot yet
)

// worker is one process, from the decision to spawn it until its exit.
type worker struct {
	number   int // of the generation that it was started for
	slot     int
	side     int // of the sockets
	role     role
	serves   bool    // it is or was live, so it may serve clients
	process  Process // nil while it is being spawned
	began    time.Time
	ready    bool      // it has said so
	hearing  bool      // CatchUp runs, as its time is over
	heard    bool      // CatchUp has returned
	stopping bool      // it has said so
	proven   bool      // it has proved itself
	succeeds bool      // it was started as an heir
	drains   bool      // it is told to go only when no connection waits on its side
	probing  bool      // it is being asked
	askedAt  time.Time // when that began
	passed   bool      // it has passed its probes after it had lived for the interval
	probeAt  time.Time // when it is asked again
	unfit    string    // why it has failed its probes
	health   health
	noProbe  func()        // ends the question; nil: there is none
	after    time.Duration // from its start until it was proven
	said     string        // its last STATUS line
	saidAt   time.Time     // when observers were last told one
	told     purpose       // what it was signalled for
	sent     os.Signal     // the last signal for that, not counting the KILL of the clock; nil: none
	missed   []os.Signal   // passed on before it was spawned: it gets them then
	retireAt time.Time     // retired: it is told to go then; zero: not before the next success
	killAt   time.Time     // zero: never
}

// purpose is a reason to send a worker a signal, as a bit set: a worker is
// signalled once per purpose.
type purpose uint8

const (
	toRetire purpose = 1 << iota
	toAbort
	toStop
	toKill
)

// exists tells whether w has a process: while it is being spawned it has none.
func (w *worker) exists() bool { return w != nil && w.process != nil }

func (w *worker) id() Worker {
	id := Worker{Generation: w.number, Slot: w.slot}
	if w.process != nil {
		id.Pid = w.process.Pid()
	}
	return id
}

// waits tells whether w was replaced and not yet told to go.
func (w *worker) waits() bool {
	return (w.role == retired || w.role == standby) && w.told&toRetire == 0
}

// generation is the starting one, the live one, or the one that stands by. While a restart
// rolls, the live one has workers of several numbers.
type generation struct {
	number   int              // the newest of its workers' numbers
	side     int              // of the sockets
	asked    bool             // a restart asked for it
	slots    []*worker        // nil where a worker is missing
	waiting  []chan<- Outcome // told when this attempt is decided
	begun    bool             // Spawner.Begin has returned: workers may be spawned
	step     int              // the step of its canary, from 1; 0: it gets no connections
	share    int              // the share of All that it gets now: when Promote has skipped steps, not that of step
	stepEnds time.Time
	missed   []os.Signal // passed on while it starts; workers that are spawned later get them
}

// workers are the workers of g by slot, also those being spawned. A nil generation has none.
func (g *generation) workers() iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		if g == nil {
			return
		}
		for _, w := range g.slots {
			if w != nil && !yield(w) {
				return
			}
		}
	}
}

// in is the worker in a slot; nil if there is none.
func (g *generation) in(slot int) *worker {
	if g == nil || slot >= len(g.slots) {
		return nil
	}
	return g.slots[slot]
}

// remove takes a worker out, if it is in.
func (g *generation) remove(w *worker) {
	if g.in(w.slot) == w {
		g.slots[w.slot] = nil
	}
}

// empty tells whether no worker is there, not even one being spawned.
func (g *generation) empty() bool {
	for range g.workers() {
		return false
	}
	return true
}

// intact tells whether a worker is in each of the first n slots that is proven and has not
// ended just now.
func (g *generation) intact(n int) bool {
	return g != nil && g.whole(n, 0) && !slices.ContainsFunc(g.slots[:n], func(w *worker) bool { return w.process.Ended() })
}

// whole tells whether a worker is in each of the first n slots that is proven and of
// generation number or a later one.
func (g *generation) whole(n, number int) bool {
	lacking := func(w *worker) bool { return w == nil || !w.proven || w.number < number }
	return len(g.slots) >= n && !slices.ContainsFunc(g.slots[:n], lacking)
}

// anyProven tells whether one of its workers is proven.
func (g *generation) anyProven() bool {
	return slices.ContainsFunc(g.slots, func(w *worker) bool { return w != nil && w.proven })
}

// serves tells whether one of its workers is proven and has not ended just now.
func (g *generation) serves() bool {
	for w := range g.workers() {
		if w.proven && !w.process.Ended() {
			return true
		}
	}
	return false
}

// record is what is remembered of a slot from worker to worker.
type record struct {
	pace
	starts int   // of processes
	ended  *Exit // how the last worker that ended did so; nil: none has yet
}

// maxPause caps the growing pause between failing attempts: an outage is not prolonged
// by more than this. A longer interval stays as it is.
const maxPause = 10 * time.Second

// pace spaces the spawns of one slot, or the attempts of the whole supervisor.
type pace struct {
	last     time.Time // of the last spawn
	failures int       // in a row
}

// next is the earliest time for another spawn: one interval after the last,
// and under repeated failure twice as much each time, up to a cap.
func (p pace) next(interval time.Duration) time.Time {
	if p.last.IsZero() {
		return p.last
	}
	pause := interval
	for range p.failures - 1 {
		if pause *= 2; pause >= maxPause {
			break
		}
	}
	return p.last.Add(min(pause, max(interval, maxPause)))
}

// wait is how long it is until the next spawn, and whether that is longer than the
// first pause.
func (p pace) wait(now time.Time, interval time.Duration) (pause time.Duration, slow bool) {
	pause = max(0, p.next(interval).Sub(now))
	return pause, pause > interval
}
