package supervise

import (
	"iter"
	"os"
	"slices"
	"time"
)

// State is where a generation stands. It only ever moves from Starting to Live
// and on to Retired, or from Starting to Failed.
type State int

const (
	Starting State = iota // its workers are being started, or proving themselves
	Live                  // it serves
	Retired               // a newer one serves; its workers are told to go, or will be
	Failed                // it did not come up; the rest of its workers are told to go
)

func (s State) String() string {
	return [...]string{"starting", "live", "retired", "failed"}[s]
}

// generation is one attempt to serve with Config.Workers new processes. With
// Config.Surge its workers become live one by one: the live generation then
// has workers of several numbers until the last of the old ones is replaced.
type generation struct {
	number   int // the newest of its workers'
	state    State
	asked    bool             // a restart asked for it
	slots    []*worker        // nil where a worker is missing
	excess   []*worker        // told to go because there are to be fewer; their slots may be others' by now
	retireAt time.Time        // when Retired: its workers are told to go then; zero: not before the next success
	waiting  []chan<- Outcome // who is told when this attempt is decided
}

// worker is one process, from the decision to spawn it until its exit.
type worker struct {
	generation *generation // where it stands
	number     int         // of the generation that it was started for
	slot       int
	process    Process // nil while it is being spawned
	began      time.Time
	ready      bool          // it has said so
	leaving    bool          // it has said that it is
	proven     bool          // after
	after      time.Duration // from its start
	status     string        // what it last said of itself
	told       purpose       // what it was sent
	missed     []os.Signal   // passed on while it was being spawned
	killAt     time.Time     // zero: never
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

func (w *worker) id() Worker {
	id := Worker{Generation: w.number, Slot: w.slot}
	if w.process != nil {
		id.Pid = w.process.Pid()
	}
	return id
}

// serves tells that its workers are those that clients are served by.
func (g *generation) serves() bool { return g.state == Live || g.state == Retired }

// workers are all there are, also those being spawned: first those in excess,
// then by slot.
func (g *generation) workers() iter.Seq[*worker] {
	return func(yield func(*worker) bool) {
		for _, workers := range [][]*worker{g.excess, g.slots} {
			for _, w := range workers {
				if w != nil && !yield(w) {
					return
				}
			}
		}
	}
}

// remove takes a worker out.
func (g *generation) remove(w *worker) {
	if g.holds(w) {
		g.slots[w.slot] = nil
	}
	g.excess = slices.DeleteFunc(g.excess, func(o *worker) bool { return o == w })
}

// holds tells that a worker is not in excess.
func (g *generation) holds(w *worker) bool {
	return w.slot < len(g.slots) && g.slots[w.slot] == w
}

// empty tells that no worker is there, not even one being spawned.
func (g *generation) empty() bool {
	for range g.workers() {
		return false
	}
	return true
}

// whole tells that every one of n workers is there and proven.
func (g *generation) whole(n int) bool { return g.replaced(n, 0) }

// begun tells that one of its workers is proven.
func (g *generation) begun() bool {
	return slices.ContainsFunc(g.slots, func(w *worker) bool { return w != nil && w.proven })
}

// replaced tells that they are of that number or a later one, too.
func (g *generation) replaced(n, number int) bool {
	lacking := func(w *worker) bool { return w == nil || !w.proven || w.number < number }
	return len(g.slots) >= n && !slices.ContainsFunc(g.slots[:n], lacking)
}

// move puts a worker from the slot of one generation into that of another, and
// returns the one that was there.
func (g *generation) move(w *worker, to *generation) (displaced *worker) {
	displaced = to.slots[w.slot]
	g.slots[w.slot] = nil
	to.slots[w.slot], w.generation = w, to
	return displaced
}

// record is what is remembered of a slot from worker to worker.
type record struct {
	pace
	starts int   // of processes
	ended  *Exit // how its last worker did; nil: no worker of it has ended yet
}

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
