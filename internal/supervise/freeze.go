package supervise

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"
)

// This file is how one image of the superdaemon hands all state over to the next.

// Frozen is all state of a Supervisor at a moment when nothing is being started. Only
// requests that wait for an answer are not in it.
type Frozen struct {
	Began       time.Time
	Deadline    time.Time
	Settings    Settings
	Number      int // of the newest generation
	Wanted      bool
	Asked       bool
	Failures    int // attempts in a row
	LastSpawn   time.Time
	RestedAt    time.Time
	Restarts    int
	Sides       []FrozenSide
	LiveSide    int
	Given       int            // connections that the canary has got
	Last        FrozenFailure  // how the last worker that ended did so
	Failure     *FrozenFailure // of the last attempt
	FailedAt    time.Time
	GivenUp     bool
	Starting    *FrozenGeneration
	Live        *FrozenGeneration
	Standby     *FrozenGeneration
	StandbyEnds time.Time
	Workers     []FrozenWorker // first those that leave, in their order
	Leftovers   []FrozenLeftover
	HeirsFailed int // in a row
	LastHeir    time.Time
	Slots       []FrozenSlot
	Configured  int // Config.Workers
	Target      int // workers wanted
	Size        int // slots
	Steered     int
	StrangeAt   time.Time
	Strange     int
	StopCause   string // of a stop that is delayed
	StopSignal  os.Signal
	StopAt      time.Time // zero: there is none
}

// FrozenFailure is a Failure. An error is kept as its text.
type FrozenFailure struct {
	Generation, Slot, Pid int
	Status                int
	Lived                 time.Duration
	Said                  string
	Late, Last            bool
	Err                   string
	Probe, RolledBack     string
	Unfit                 bool
	Share, Given          int
}

// FrozenSide is one of the two sides of the sockets.
type FrozenSide struct{ Taken, Drained, Draining bool }

// FrozenGeneration is the starting generation, the live one, or the one that stands by.
type FrozenGeneration struct {
	Number   int
	Asked    bool
	Slots    int
	Missed   []os.Signal
	Side     int
	Step     int
	StepEnds time.Time
}

// FrozenWorker is a worker. Its process is handed over beside it.
type FrozenWorker struct {
	Generation, Slot, Pid int

	In       uint8 // one of the following
	Role     uint8
	Serves   bool
	Began    time.Time
	Ready    bool
	Stopping bool
	Proven   bool
	After    time.Duration
	Said     string
	Unsaid   bool
	Told     uint8
	Sent     os.Signal
	RetireAt time.Time
	KillAt   time.Time
	Side     int
	Drains   bool
	AliveAt  time.Time
	Hung     bool
	Unfit    bool
	First    int64 // memory
	Large    bool
	Unwell   bool // TooLarge was told
	Aged     bool // TooOld was
	Lot      uint64
}

// FrozenLeftover is a process group that is waited for. The worker was its leader.
type FrozenLeftover struct {
	Generation, Slot, Pid int

	Side   int
	KillAt time.Time // zero: it was killed
	Pids   []int     // of Leftovers
}

// Where a worker is.
const (
	inLeaving uint8 = iota
	inLive
	inStarting
	inStandby
	inHeir
)

// FrozenSlot is what is remembered of a slot.
type FrozenSlot struct {
	LastSpawn time.Time
	Failures  int
	Starts    int
	Ended     *Exit
}

// ErrFreezing is what Freeze returns while another one is under way.
var ErrFreezing = errors.New("the superdaemon is being replaced already")

// errHandedOver answers the requests that still wait when the state is handed over.
var errHandedOver = errors.New("the superdaemon is being upgraded: the new image carries this out, and its status tells how it went")

// freezeAsked is a request to call do.
type freezeAsked struct {
	do    func(*Frozen, []Process) error
	reply chan<- error
}

func (freezeAsked) message() {}

// snapshotAsked is a request for the state as it is.
type snapshotAsked struct{ reply chan<- *Frozen }

func (snapshotAsked) message() {}

// Snapshot is the state as it is. Workers that are being started are not in it.
func (s *Supervisor) Snapshot(ctx context.Context) (*Frozen, error) {
	reply := make(chan *Frozen, 1)
	if err := s.post(ctx, snapshotAsked{reply}); err != nil {
		return nil, err
	}
	return <-reply, nil
}

// Freeze calls do with all state, and with the processes of Frozen.Workers, when no start
// is under way. From the request on nothing new is started. The loop stands still while do
// runs. A do that hands the state over does not return. If it does, the supervisor goes on
// as if nothing had happened, and Freeze returns do's error. ErrStopping, ErrFreezing, or
// that ctx has ended say that do was not called.
func (s *Supervisor) Freeze(ctx context.Context, do func(*Frozen, []Process) error) error {
	reply := make(chan error, 1)
	if err := s.post(ctx, freezeAsked{do, reply}); err != nil {
		return err
	}
	select {
	case err := <-reply:
		return err
	case <-s.done:
		return ErrStopping
	}
}

// Resume is Run with the state of a Supervisor that was frozen, the processes of its workers
// and the groups of its Leftovers. As many workers are wanted as before or, if Config.Workers
// has changed, as that says.
func (s *Supervisor) Resume(ctx context.Context, stopSignal os.Signal, f *Frozen, processes []Process, groups []Leftovers) error {
	defer s.Close()
	l := newLoop(s)
	l.thaw(f, processes)
	l.thawLeftovers(f, groups)
	return l.run(ctx, stopSignal)
}

func (l *loop) onFreeze(m freezeAsked) {
	switch {
	case l.ending.stopping:
		m.reply <- ErrStopping
	case l.freezing != nil:
		m.reply <- ErrFreezing
	default:
		l.freezing = &m
	}
}

// freeze hands the state over when nothing is being started any more.
func (l *loop) freeze() {
	m := l.freezing
	if m == nil {
		return
	}
	switch {
	case l.ending.stopping:
		l.freezing = nil
		m.reply <- ErrStopping
		return
	case l.spawning(), l.starting != nil && !l.starting.begun, l.looking > 0:
		return
	}
	l.freezing = nil
	l.tellHandedOver()
	l.sendAnswers()
	f, processes := l.frozen()
	m.reply <- m.do(f, processes)
	l.timer.Reset(0) // to do what was put off
}

// tellHandedOver answers all requests that wait.
func (l *loop) tellHandedOver() {
	l.answer(l.waiting, Outcome{Err: errHandedOver})
	l.waiting = nil
	if l.starting != nil {
		l.answer(l.starting.waiting, Outcome{Err: errHandedOver})
		l.starting.waiting = nil
	}
	for _, r := range l.sizes.resizes {
		r.reply <- Resizing{Err: errHandedOver}
	}
	l.sizes.resizes = nil
}

// frozen is the state.
func (l *loop) frozen() (*Frozen, []Process) {
	f := &Frozen{
		Began: l.began, Deadline: l.deadline, Settings: l.settings, Number: l.number, Wanted: l.wanted, Asked: l.asked,
		Failures: l.attempts.failures, LastSpawn: l.attempts.last, RestedAt: l.restedAt, Restarts: l.restarts,
		Last: frozenFailure(l.last), Starting: l.starting.frozen(), Live: l.live.frozen(),
		Standby: l.standby.frozen(), StandbyEnds: l.standbyEnds, LiveSide: l.sides.live, Given: l.given(),
		Configured: l.Workers, Target: l.sizes.target, Size: l.sizes.size, Steered: l.sizes.steered,
		StrangeAt: l.notices.strangeAt, Strange: l.notices.strange,
	}
	if l.failure != nil {
		failure := frozenFailure(l.failure.Failure)
		f.Failure, f.FailedAt, f.GivenUp = &failure, l.failure.At, l.failure.GivenUp
	}
	if end := l.ending.later; end != nil {
		f.StopCause, f.StopSignal, f.StopAt = end.cause, end.signal, l.ending.at
	}
	if l.renewal.failures > 0 {
		f.HeirsFailed, f.LastHeir = l.renewal.failures, l.renewal.last
	}
	for _, o := range l.leftovers {
		f.Leftovers = append(f.Leftovers, FrozenLeftover{o.of.Generation, o.of.Slot, o.of.Pid, o.side, o.killAt, o.group.Pids()})
	}
	for _, r := range l.slots {
		f.Slots = append(f.Slots, FrozenSlot{r.last, r.failures, r.starts, r.ended})
	}
	for _, s := range l.sides.each {
		f.Sides = append(f.Sides, FrozenSide{s.taken, s.drained, s.draining})
	}
	var processes []Process
	for w := range l.workers() {
		if w.process == nil {
			continue
		}
		frozen := w.frozen()
		frozen.Unsaid = slices.Contains(l.notices.unsaid, w)
		switch w {
		case l.live.in(w.slot):
			frozen.In = inLive
		case l.starting.in(w.slot):
			frozen.In = inStarting
		case l.standby.in(w.slot):
			frozen.In = inStandby
		case l.renewal.heir:
			frozen.In = inHeir
		}
		f.Workers, processes = append(f.Workers, frozen), append(processes, w.process)
	}
	return f, processes
}

func (g *generation) frozen() *FrozenGeneration {
	if g == nil {
		return nil
	}
	return &FrozenGeneration{g.number, g.asked, len(g.slots), g.missed, g.side, g.step, g.stepEnds}
}

func (w *worker) frozen() FrozenWorker {
	return FrozenWorker{
		Generation: w.number, Slot: w.slot, Pid: w.process.Pid(), Role: uint8(w.role), Serves: w.serves, Began: w.began,
		Ready: w.ready, Stopping: w.stopping, Proven: w.proven, After: w.after, Said: w.said,
		Told: uint8(w.told), Sent: w.sent, RetireAt: w.retireAt, KillAt: w.killAt,
		Side: w.side, Drains: w.drains,
		AliveAt: w.health.aliveAt, Hung: w.health.hung, Unfit: w.health.unfit, First: w.health.first, Large: w.health.large, Unwell: w.health.told, Aged: w.health.aged, Lot: w.health.lot,
	}
}

func frozenFailure(f Failure) FrozenFailure {
	frozen := FrozenFailure{f.Generation, f.Slot, f.Pid, f.Status, f.Lived, f.Said, f.Late, f.Last, "", f.Probe, f.RolledBack, f.Unfit, f.Share, f.Given}
	if f.Err != nil {
		frozen.Err = f.Err.Error()
	}
	return frozen
}

func (f FrozenFailure) thawed() Failure {
	failure := Failure{Worker: Worker{f.Generation, f.Slot, f.Pid}, Status: f.Status, Lived: f.Lived, Said: f.Said, Late: f.Late, Last: f.Last,
		Probe: f.Probe, RolledBack: f.RolledBack, Unfit: f.Unfit, Share: f.Share, Given: f.Given}
	if f.Err != "" {
		failure.Err = errors.New(f.Err)
	}
	return failure
}

// thaw is the reverse of frozen, for a loop that has not run.
func (l *loop) thaw(f *Frozen, processes []Process) {
	l.began, l.deadline, l.settings = f.Began, f.Deadline, f.Settings
	l.number, l.wanted, l.asked = f.Number, f.Wanted, f.Asked
	l.attempts, l.renewal.pace = pace{f.LastSpawn, f.Failures}, pace{f.LastHeir, f.HeirsFailed}
	l.restedAt, l.restarts, l.last = f.RestedAt, f.Restarts, f.Last.thawed()
	if f.Failure != nil {
		l.failure = &FailureStatus{f.Failure.thawed(), f.FailedAt, f.GivenUp}
	}
	l.notices.strangeAt, l.notices.strange = f.StrangeAt, f.Strange
	if !f.StopAt.IsZero() {
		l.ending.later, l.ending.at = &stopAsked{f.StopCause, f.StopSignal, 0}, f.StopAt
	}
	l.slots = nil
	for _, s := range f.Slots {
		l.slots = append(l.slots, record{pace{s.LastSpawn, s.Failures}, s.Starts, s.Ended})
	}
	l.sizes = sizes{target: f.Target, size: f.Size, steered: f.Steered}
	if l.Workers != f.Configured {
		l.sizes.target = l.Workers
	}
	if l.Steer == nil {
		l.sizes.steered = l.sizes.target
	}
	l.fit()
	l.starting, l.live = f.Starting.thawed(), f.Live.thawed()
	l.standby, l.standbyEnds = f.Standby.thawed(), f.StandbyEnds
	for i, frozen := range f.Workers {
		w := frozen.thawed(processes[i])
		switch frozen.In {
		case inLive:
			l.live.slots[w.slot] = w
		case inStarting:
			l.starting.slots[w.slot] = w
		case inHeir:
			l.renewal.heir = w
		case inStandby:
			l.standby.slots[w.slot] = w
		default:
			l.leaving = append(l.leaving, w)
		}
		if !w.proven && w.told == 0 {
			l.probe(w)
		}
		if frozen.Unsaid {
			l.notices.unsaid = append(l.notices.unsaid, w)
		}
		l.pending++
		l.waitFor(w)
	}
	l.thawSides(f)
}

// thawLeftovers waits for what workers have left behind, which is killed when its time is over.
func (l *loop) thawLeftovers(f *Frozen, groups []Leftovers) {
	for i, o := range f.Leftovers {
		l.pending++
		l.groups[o.Side]++
		l.waitForLeftover(&leftover{Worker{o.Generation, o.Slot, o.Pid}, o.Side, groups[i], o.KillAt})
	}
}

// thawSides sends connections where they went before, and begins again what was under way.
func (l *loop) thawSides(f *Frozen) {
	if l.Traffic == nil {
		l.shareSockets()
		return
	}
	l.sides.live = f.LiveSide
	for n, s := range f.Sides {
		l.sides.each[n] = side{taken: s.Taken || l.hasWorkers(n), drained: s.Drained}
		if s.Draining {
			l.leaveSide(n)
		}
	}
	to, share := l.sides.live, All
	if g := l.starting; g.canary() {
		if len(l.Canary) == 0 {
			g.stepEnds = l.now // no steps are left; it stays a canary, as it has had connections
		} else {
			g.step = min(g.step, len(l.Canary))
			g.share = l.Canary[g.step-1].Share
		}
		to, share = g.side, g.share
		l.sides.before = f.Given
		l.count()
	}
	_ = l.send(to, share) // it tells of an error
}

// shareSockets ends what needs sockets for each generation: a canary has to prove itself as
// others do, and there is no way back to a generation that stands by.
func (l *loop) shareSockets() {
	for w := range l.standby.workers() {
		l.leaves(w, retired)
		w.retireAt = l.now
	}
	l.standby = nil
	for _, g := range []*generation{l.starting, l.live} {
		if g != nil {
			g.side, g.step = 0, 0
		}
	}
	for w := range l.workers() {
		w.side, w.drains = 0, false
	}
}

func (f *FrozenGeneration) thawed() *generation {
	if f == nil {
		return nil
	}
	return &generation{number: f.Number, asked: f.Asked, slots: make([]*worker, f.Slots), begun: true, missed: f.Missed, side: f.Side, step: f.Step, stepEnds: f.StepEnds}
}

func (f *FrozenWorker) thawed(p Process) *worker {
	return &worker{
		number: f.Generation, slot: f.Slot, role: role(f.Role), serves: f.Serves, process: p, began: f.Began,
		ready: f.Ready, stopping: f.Stopping, proven: f.Proven, after: f.After, said: f.Said,
		told: purpose(f.Told), sent: f.Sent, retireAt: f.RetireAt, killAt: f.KillAt,
		side: f.Side, drains: f.Drains, health: health{aliveAt: f.AliveAt, hung: f.Hung, unfit: f.Unfit, first: f.First, large: f.Large, told: f.Unwell, aged: f.Aged, lot: f.Lot},
	}
}
