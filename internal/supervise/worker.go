package supervise

import (
	"iter"
	"os"
	"slices"
	"time"
)

// role is where a worker stands. It only ever moves from starting to live and on
// to retired, or from starting to failed; excess may follow starting and live.
// Only when a restart is given up with no live worker left, retired ones that were
// not told to go are live again.
type role uint8

const (
	starting role = iota // in a slot of the starting generation
	live                 // in a slot of the live one
	retired              // replaced; told to go at retireAt
	failed               // of an attempt that failed; told to go
	excess               // one too many since there are to be fewer; told to go
	standby              // of the generation that stands by, which has no connections and can be live again
	heir                 // started to have the slot of a live one
)

// worker is one process, from the decision to spawn it until its exit.
type worker struct {
	number   int // of the generation that it was started for
	slot     int
	side     int // of the sockets
	role     role
	serves   bool    // it is or was of the live generation, so clients may be served by it
	process  Process // nil while it is being spawned
	began    time.Time
	ready    bool      // it has said so
	hearing  bool      // what it has said is being read, as its time is over
	heard    bool      // and has been
	stopping bool      // it has said that it is
	proven   bool      // after
	succeeds bool      // it was started to have the slot of a live one
	drains   bool      // it is told to go when nobody waits on its side
	probing  bool      // it is being asked
	askedAt  time.Time // since then
	passed   bool      // since it has lived for the interval
	probeAt  time.Time // and is asked again then
	unfit    string    // why it has failed its probes
	health   health
	noProbe  func()        // ends the question; nil: it never was asked
	after    time.Duration // from its start
	said     string        // its last STATUS line
	saidAt   time.Time     // when one was told last
	told     purpose       // what it was sent
	sent     os.Signal     // the last of those but KILL; nil: none
	missed   []os.Signal   // passed on before it was spawned
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

// exists tells that there is a process, which is not so while it is being spawned.
func (w *worker) exists() bool { return w != nil && w.process != nil }

func (w *worker) id() Worker {
	id := Worker{Generation: w.number, Slot: w.slot}
	if w.process != nil {
		id.Pid = w.process.Pid()
	}
	return id
}

// waits tells that it was replaced, and not yet told to go.
func (w *worker) waits() bool {
	return (w.role == retired || w.role == standby) && w.told&toRetire == 0
}

// generation is the starting or the live one. While a restart rolls, the live one has
// workers of several numbers.
type generation struct {
	number   int              // the newest of its workers'
	side     int              // of the sockets
	asked    bool             // a restart asked for it
	slots    []*worker        // nil where a worker is missing
	waiting  []chan<- Outcome // told when this attempt is decided
	begun    bool             // Spawner.Begin has returned: workers may be spawned
	step     int              // of the canary that it is in, from 1; 0: it gets no connections
	share    int              // of All that it gets by that: not the last one's when Promote has skipped some
	stepEnds time.Time
	missed   []os.Signal // passed on while it starts; workers yet to be spawned get them
}

// workers are those that are there, also those being spawned, by slot. A nil
// generation has none.
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

// empty tells that no worker is there, not even one being spawned.
func (g *generation) empty() bool {
	for range g.workers() {
		return false
	}
	return true
}

// intact tells that every one of its first n workers is there, proven, and has not ended
// just now.
func (g *generation) intact(n int) bool {
	return g != nil && g.whole(n, 0) && !slices.ContainsFunc(g.slots[:n], func(w *worker) bool { return w.process.Ended() })
}

// whole tells that every one of n workers is there and proven, and of that number or
// a later one.
func (g *generation) whole(n, number int) bool {
	lacking := func(w *worker) bool { return w == nil || !w.proven || w.number < number }
	return len(g.slots) >= n && !slices.ContainsFunc(g.slots[:n], lacking)
}

// anyProven tells that one of its workers is.
func (g *generation) anyProven() bool {
	return slices.ContainsFunc(g.slots, func(w *worker) bool { return w != nil && w.proven })
}

// serves tells that one of its workers is proven, and has not ended just now.
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
	ended  *Exit // how its last worker did; nil: no worker of it has ended yet
}

// maxPause caps the growing pause between failing attempts, for intervals
// shorter than it: an outage is not prolonged by more than this.
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
