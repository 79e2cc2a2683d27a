package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// world is a superdaemon in a synctest bubble whose processes are made up. It
// checks the invariants that can be seen from outside at every step.
type world struct {
	t       testing.TB
	sup     *Supervisor
	start   time.Time
	context context.Context // of Run
	cancel  context.CancelFunc

	result    chan error
	mu        sync.Mutex  // guards what follows: spawns run at the same time
	procs     []*fakeProc // every process there ever was
	events    []Event
	serving   []Worker
	proven    map[int]bool // pids
	wentLive  map[int]bool
	liveGen   int          // the newest generation that went live
	back      bool         // it is gone, and the workers that it has replaced are live again
	renewed   map[int]bool // pids that have had a successor
	heirs     map[int]bool // pids of successors
	memory    map[int]int64
	placed    map[int]bool // pids that took a slot over, or were started to refill one
	inFlight  int          // spawns that have not returned
	workers   int          // wanted in a generation
	shrunk    map[int]bool // slots that were once not wanted
	stopped   bool
	stopping  bool         // a stop was asked for with a delay
	failed    bool         // it ends by itself
	gaveUp    map[int]bool // attempts that failed
	tally     Tally
	tallies   int          // how often settle has run
	rests     bool         // there were so many processes that the loop may have rested, and told some things late
	begun     map[int]bool // generations
	asked     int          // restarts
	answered  int          // restarts that were answered
	restarted time.Time    // when a restart was last asked for and not refused
	askedAt   int          // the newest generation then

	traffic     *traffic      // nil: generations share their sockets
	catchUp     func()        // Config.CatchUp
	hurries     bool          // there is a Config.Hurry
	leaves      bool          // there is a Config.Leftovers
	hurried     chan struct{} // closed by Hurry
	heard       map[int]bool  // pids whose notice CatchUp has waited for
	groups      []*group
	slowSteer   time.Duration // how long Steer takes
	steered     int           // how many slots may have connections; without Steer 0
	image       int           // how often another image has taken over
	steers      []int         // what Steer was called with
	steeredAt   time.Time     // when it last returned
	steeredFrom int           // what steered was before that

	cancelled  bool          // the context has ended before Run
	failSignal error         // what Signal returns
	failSpawn  error         // what the next spawns return
	failsIn    int           // a slot whose spawns fail, too; 0: none
	failBegin  error         // what Begin returns
	slowBegin  time.Duration // how long Begin takes
	slowSpawn  time.Duration // how long a spawn takes
	blockOn    time.Duration // how long the loop's next event keeps it busy
	slow       time.Duration // how long each event keeps it busy
	settings   Settings
	spawns     map[int][]time.Time // by slot, when they began
	generation int                 // the newest begun
}

type fakeProc struct {
	w       *world
	id      Worker
	side    int
	began   time.Time
	exit    chan int
	waited  int
	gone    bool // it has ended
	reaped  bool // Wait has told that
	signals []os.Signal
}

func (p *fakeProc) Pid() int { return p.id.Pid }

func (p *fakeProc) Ended() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.gone
}

func (p *fakeProc) Wait() int {
	p.waited++
	assert.Equal(p.w.t, 1, p.waited, "invariant 2: process %v waited for twice", p.id)
	return <-p.exit
}

func (p *fakeProc) Signal(sig os.Signal) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if sig != otherSignal {
		assert.NotContains(p.w.t, p.signals, sig, "invariant 5: %v signalled again", p.id)
	}
	p.signals = append(p.signals, sig)
	if sig == retireSignal || sig == hungSignal {
		p.w.checkRetire(p)
		p.w.checkSteered(p)
		if p.w.traffic != nil {
			p.w.traffic.checkTold(p)
		}
	}
	return p.w.failSignal
}

// The purposes are told apart by their signals.
const (
	retireSignal fakeSignal = "retire"
	abortSignal  fakeSignal = "abort"
	stopSignal   fakeSignal = "stop"
	hungSignal   fakeSignal = "hung"
	otherStop    fakeSignal = "stop, too"
	otherSignal  fakeSignal = "other" // one that is passed on
)

type fakeSignal string

func (fakeSignal) Signal() {}

func (s fakeSignal) String() string { return string(s) }

func (w *world) Begin(generation int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.False(w.t, w.begun[generation], "generation %d is begun twice", generation)
	w.begun[generation] = true
	w.generation = max(w.generation, generation)
	if generation > w.askedAt {
		w.restarted = time.Time{}
	}
	if err := w.takes(w.slowBegin); err != nil {
		return err
	}
	return w.failBegin
}

func (w *world) Spawn(generation, slot, side int) (Process, Settings, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	assert.False(w.t, w.stopped, "invariant 4: spawn after a stop")
	assert.True(w.t, w.begun[generation], "generation %d has not begun", generation)
	if last := w.spawns[slot]; len(last) > 0 {
		assert.GreaterOrEqual(w.t, now.Sub(last[len(last)-1]), w.sup.config.Interval, "invariant 8: slot %d", slot)
	}
	trace(w, "SPAWN %d.%d", generation, slot)
	w.checkSurge(slot)
	if w.traffic != nil {
		w.traffic.checkSpawn(generation, side)
	}
	w.inFlight++
	defer func() { w.inFlight-- }()
	w.spawns[slot] = append(w.spawns[slot], now)
	err := w.failSpawn
	if w.failsIn > 0 && slot == w.failsIn {
		err = errors.New("no such program")
	}
	if err := cmp.Or(w.takes(w.slowSpawn), err); err != nil {
		return nil, Settings{}, err
	}
	p := &fakeProc{w: w, id: Worker{generation, slot, 100 + len(w.procs)}, side: side, began: time.Now(), exit: make(chan int, 1)}
	w.procs = append(w.procs, p)
	w.rests = w.rests || w.there() >= many
	return p, w.settings, nil
}

func (w *world) Hear(e Event) {
	if tally, is := e.(Tally); is {
		w.tally = tally
		w.tallies++
		return
	}
	if w.blockOn > 0 {
		<-time.After(w.blockOn)
		w.blockOn = 0
	}
	if w.slow > 0 {
		<-time.After(w.slow)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
	trace(w, "%T%+v", e, e)
	switch e := e.(type) {
	case Serving:
		w.serving = e.Workers
	case Started:
		if e.Refill {
			w.placed[e.Pid] = true
		}
		w.heirs[e.Pid] = e.Heir
	case Renewed:
		w.placed[e.Pid], w.renewed[e.Old.Pid] = true, true
	case TookOver:
		w.placed[e.Pid] = true
	case Proven:
		if proof := w.sup.config.Proof; !proof.notice && !proof.probe {
			assert.GreaterOrEqual(w.t, e.After, w.sup.config.Proof.time, "%v was proven too early", e.Worker)
		}
		w.proven[e.Pid] = true
		assert.False(w.t, w.process(e.Pid).gone, "%v was proven when it had ended", e.Worker)
	case Canary:
		w.traffic.canaries[e.Generation] = true
	case RolledBack:
		w.liveGen = e.To
		w.traffic.back[e.From] = true
	case WentLive:
		w.liveGen, w.back = e.Generation, false
		w.wentLive[e.Generation] = true
	case Resized:
		for slot := e.Workers; slot < w.workers; slot++ {
			w.shrunk[slot] = true
		}
		w.workers = e.Workers
	case SideBusy:
		assert.NotEmpty(w.t, e.Workers)
	case StopDelayed:
		w.stopping = true
	case StopAsked:
		w.stopped = w.stopped || !e.Repeated // a repeated one may come during a delay
	case NotReady:
		w.checkLate(e.Failure)
	case AttemptFailed:
		w.checkLate(e.Failure)
		w.gaveUp[e.Generation] = true
		w.failed = w.failed || e.Hopeless
	case GaveUp:
		w.failed = w.failed || !e.Serving
		w.back = w.back || !slices.ContainsFunc(w.procs, func(p *fakeProc) bool { return p.id.Generation == w.liveGen && w.listed(p) })
	}
}

// simulate runs what in a bubble, in which a supervisor has just started its
// first generation. At its end everything is stopped and accounted for.
func simulate(t *testing.T, c Config, prepare func(*world), what func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, start: time.Now(), spawns: map[int][]time.Time{}, wentLive: map[int]bool{}, placed: map[int]bool{}, heirs: map[int]bool{}, renewed: map[int]bool{}, memory: map[int]int64{}, proven: map[int]bool{}, shrunk: map[int]bool{}, gaveUp: map[int]bool{}, begun: map[int]bool{}, heard: map[int]bool{}, hurried: make(chan struct{}), result: make(chan error, 1)}
		if prepare != nil {
			prepare(w)
		}
		if w.slowSteer > 0 {
			c.Steer, w.steered = w.steer, max(c.Workers, 1)
		}
		c.CatchUp = w.catchUp
		if w.hurries {
			c.Hurry = w.hurry
		}
		if w.leaves {
			c.Leftovers = w.leave
		}
		if w.traffic != nil {
			w.traffic.w, w.traffic.share = w, All
			w.traffic.canaries, w.traffic.back = map[int]bool{}, map[int]bool{}
			c.Traffic, c.Probe = w.traffic, w.traffic.probe
		}
		c.Spawner, c.Observers = w, []Observer{w}
		c.RetireSignal, c.AbortSignal, c.HungSignal, c.Measure = retireSignal, abortSignal, hungSignal, w.measure
		if c.Interval == 0 {
			c.Interval = time.Second
		}
		w.sup = New(c)
		w.workers = w.sup.config.Workers
		ctx, cancel := context.WithCancel(t.Context())
		w.context, w.cancel = ctx, cancel
		defer cancel()
		if w.cancelled {
			cancel()
		}
		go func() { w.result <- w.sup.Run(ctx, stopSignal) }()
		synctest.Wait()
		what(w)
		w.finish()
	})
}

// finish stops what still runs and checks that nothing is left.
func (w *world) finish() {
	synctest.Wait() // a spawn that has been decided on begins before the stop
	w.cancel()
	synctest.Wait()
	for _, p := range w.alive() {
		w.exit(p, 15)
	}
	w.sleep(time.Minute) // slow spawns and steering
	for _, p := range w.alive() {
		w.exit(p, 15)
	}
	w.sleep(time.Minute) // what these leave behind
	select {
	case <-w.result:
	default:
		w.t.Error("Run has not returned although all workers are gone")
	}
	for _, p := range w.procs {
		assert.Equal(w.t, 1, p.waited, "invariant 2: process %v not waited for", p.id)
	}
	w.checkGroups()
	assert.Equal(w.t, w.asked, w.answered, "restarts asked for and answered")
}

func (w *world) sleep(d time.Duration) {
	w.locked(func() {}) // for the race detector: the test has read before others write
	<-time.After(d)
	synctest.Wait()
}

func (w *world) locked(what func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what()
}

func (w *world) exit(p *fakeProc, status int) { w.exitLate(p, status, 0) }

// exitLate ends a process. Its Wait returns only after late.
func (w *world) exitLate(p *fakeProc, status int, late time.Duration) {
	w.locked(func() { p.gone = true })
	if late > 0 {
		go func() {
			<-time.After(late)
			w.locked(func() { p.reaped = true })
			p.exit <- status
		}()
		synctest.Wait()
		return
	}
	w.locked(func() { p.reaped = true })
	p.exit <- status
	synctest.Wait()
	if !w.rests {
		w.checkServing()
	}
}

func (w *world) alive() []*fakeProc {
	var ps []*fakeProc
	for _, p := range w.procs {
		if !p.gone {
			ps = append(ps, p)
		}
	}
	return ps
}

// process finds a process by its pid.
func (w *world) process(pid int) *fakeProc {
	i := slices.IndexFunc(w.procs, func(p *fakeProc) bool { return p.id.Pid == pid })
	return w.procs[i]
}

// worker finds the newest process of a generation and slot.
func (w *world) worker(generation, slot int) *fakeProc {
	for _, p := range slices.Backward(w.procs) {
		if p.id.Generation == generation && p.id.Slot == slot {
			return p
		}
	}
	w.t.Fatalf("no worker in generation %d, slot %d", generation, slot)
	return nil
}

func (w *world) restart() <-chan error {
	w.locked(func() {
		if !w.stopped && !w.stopping && !w.failed {
			w.restarted, w.askedAt = time.Now(), w.generation
		}
	})
	reply := w.sup.Restart(w.t.Context(), "test")
	answer := make(chan error, 1)
	w.asked++
	go func() {
		how := <-reply
		w.locked(func() { w.answered++ })
		assert.Equal(w.t, how.Err == nil, how.Generation > 0)
		answer <- how.Err
	}()
	synctest.Wait()
	return answer
}

func (w *world) stop() { w.stopAfter(0) }

func (w *world) stopAfter(delay time.Duration) {
	w.sup.Stop(w.t.Context(), "test", stopSignal, delay)
	synctest.Wait()
}

func (w *world) resize(by int) { w.step(by) }

func (w *world) status() Status {
	s, err := w.sup.Status(w.t.Context())
	assert.NoError(w.t, err)
	s.inBubble()
	return s
}

// lives lists "generation.slot" of all processes that are there.
func (w *world) lives() []string {
	var ids []string
	for _, p := range w.alive() {
		ids = append(ids, fmt.Sprintf("%d.%d", p.id.Generation, p.id.Slot))
	}
	slices.Sort(ids)
	return ids
}

// served lists "generation.slot" of what the status file would hold.
func (w *world) served() []string {
	ids := []string{}
	for _, s := range w.serving {
		ids = append(ids, fmt.Sprintf("%d.%d", s.Generation, s.Slot))
	}
	return ids
}

// seen returns the events of type E so far.
func seen[E Event](w *world) []E {
	var es []E
	for _, e := range w.events {
		if e, ok := e.(E); ok {
			es = append(es, e)
		}
	}
	return es
}

// answered returns the answer to a restart, or errSilence.
func answered(reply <-chan error) error {
	select {
	case err := <-reply:
		return err
	default:
		return errSilence
	}
}

var errSilence = errors.New("not answered yet")

// trace tells what happens, and when, with TRACE=1. It is of most use with -run and one
// input of FuzzLoop.
func trace(w *world, format string, args ...any) {
	if os.Getenv("TRACE") != "" {
		w.t.Logf("%8v %s", time.Since(w.start), fmt.Sprintf(format, args...))
	}
}
