package supervise

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// This file decides which generation gets connections, where each has its own sockets.

// All is the share of all connections.
const All = 10000

// ShareOf is a percentage as a share of All.
func ShareOf(percent float64) int { return int(math.Round(percent * All / 100)) }

// PercentOf is a share of All as a percentage.
func PercentOf(share int) float64 { return float64(share) * 100 / All }

// Traffic says where connections go when each generation has one of the two sides of the
// sockets, 0 or 1. At first all connections go to side 0.
type Traffic interface {
	// Split sends share of All new connections to a side, and the rest to the other side. It
	// is called by the loop, and must not block.
	Split(side, share int) error
	// Take says that a generation begins on a side. It is called by the loop, and must not block.
	Take(side int)
	// Drain blocks until no connection waits on a side that gets no new ones, or until they
	// have waited for as long as they may. It is called outside the loop.
	Drain(side int)
	// Clear closes the connections that wait on a side which gets no new ones and has no worker,
	// and returns how many there were. It is called outside the loop, and blocks for a moment.
	Clear(side int) int
	// Count counts the connections that come to a side from now on: counted returns how many
	// there were, at least. Count is called by the loop. Neither it nor what it returns may
	// block. stop is called once.
	Count(side int) (counted func() int, stop func())
}

// Step is a step of a canary: Share of All connections go to the new generation for the time For.
type Step struct {
	Share int
	For   time.Duration
}

type (
	// Canary tells that a new generation gets a share of the connections, and the live one the rest.
	Canary struct {
		Generation int
		Share      int // of All
		For        time.Duration
	}
	// RolledBack tells that the generation which stood by gets all connections again.
	RolledBack struct {
		Cause    string
		From, To int // generations
	}
	// Promoted tells that Promote has ended a wait: all connections go to the canary, or
	// the generation that stands by is told to go.
	Promoted struct {
		Cause      string
		Generation int
	}
	// StandbyOver tells that there is no way back to a generation any more, although its time is
	// not over.
	StandbyOver struct {
		Generation int
		Died       Worker // its worker that has ended; Pid is 0 if another restart needs its sockets
	}
	// SideBusy tells that the next generation waits until these workers have gone: it gets
	// their sockets.
	SideBusy struct{ Workers []Worker }
	// Cleared tells that connections which no worker had accepted were closed.
	Cleared struct{ Connections int }
	// SplitFailed tells that connections do not go where they should.
	SplitFailed struct{ Err error }
)

func (Canary) event()      {}
func (RolledBack) event()  {}
func (Promoted) event()    {}
func (StandbyOver) event() {}
func (SideBusy) event()    {}
func (Cleared) event()     {}
func (SplitFailed) event() {}

type (
	rollbackAsked struct {
		cause string
		reply chan<- Outcome
	}
	promoteAsked struct {
		cause string
		reply chan<- Outcome
	}
	drained struct{ side, serial int } // Traffic.Drain has returned
	emptied struct{ side, closed int } // Traffic.Clear has returned
)

func (rollbackAsked) message() {}
func (promoteAsked) message()  {}
func (drained) message()       {}
func (emptied) message()       {}

// Rollback gives the generation that stands by all connections again, and tells the live one
// to go. If there is a canary, Rollback makes it fail instead. It returns when that is done:
// the outcome has the generation that serves, or says why there is no way back.
func (s *Supervisor) Rollback(ctx context.Context, cause string) Outcome {
	reply := make(chan Outcome, 1)
	return s.ask(ctx, rollbackAsked{cause, reply}, reply)
}

// Promote gives a canary all connections, or tells a generation that stands by to go, before
// its time. It returns when the new generation is live, or has failed.
func (s *Supervisor) Promote(ctx context.Context, cause string) Outcome {
	reply := make(chan Outcome, 1)
	return s.ask(ctx, promoteAsked{cause, reply}, reply)
}

func (s *Supervisor) ask(ctx context.Context, m message, reply <-chan Outcome) Outcome {
	if err := s.post(ctx, m); err != nil {
		return Outcome{Err: err}
	}
	return <-reply
}

// side is one of the two sides.
type side struct {
	taken    bool // a generation has it, or connections still wait there
	drained  bool // it gets no connections any more, and Drain has returned
	draining bool
	serial   int // of the last Drain
	clearing bool
}

// sides is where connections go.
type sides struct {
	each [2]side
	live int // all connections go there, except the canary's share
	// counted returns how many connections the canary has got from this image; nil: there is
	// no canary. before is how many it has got from earlier images.
	counted func() int
	uncount func()
	before  int
	busy    bool // SideBusy was told
}

// send sends share of the connections to a side. It tells of an error.
func (l *loop) send(to, share int) error {
	if err := l.Traffic.Split(to, share); err != nil {
		l.tell(SplitFailed{err})
		return err
	}
	if share == All {
		l.sides.live = to
	}
	return nil
}

// takeSide gives a side to the generation that begins. While nothing is live it is the one
// where clients wait. ok is false while the last generation that had the side still has it.
func (l *loop) takeSide() (n int, ok bool) {
	if l.Traffic == nil {
		return 0, true
	}
	n = l.sides.live
	if l.live != nil {
		n = 1 - n
		if l.sides.each[n].taken {
			l.sideIsBusy(n)
			return n, false
		}
	}
	l.sides.each[n] = side{taken: true, serial: l.sides.each[n].serial}
	l.sides.busy = false
	l.Traffic.Take(n)
	return n, true
}

// waitsForSide tells whether a generation is wanted whose sockets an older one still has.
func (l *loop) waitsForSide() bool {
	return l.Traffic != nil && l.wanted && l.starting == nil && l.live != nil && l.sides.each[1-l.live.side].taken
}

// sideIsBusy tells once which workers have the sockets that are wanted.
func (l *loop) sideIsBusy(n int) {
	there := list(l.workers(), func(w *worker) bool { return w.side == n })
	if len(there) > 0 && !l.sides.busy {
		l.sides.busy = true
		l.tell(SideBusy{there})
	}
}

// leaveSide lets the workers of a side accept what waits there. They are told to go after that.
func (l *loop) leaveSide(n int) {
	s := &l.sides.each[n]
	for _, w := range l.leaving {
		w.drains = w.drains || w.side == n && w.told == 0
	}
	s.serial++
	s.drained, s.draining = false, true
	serial := s.serial
	go func() {
		l.Traffic.Drain(n)
		l.mailBack(drained{n, serial})
	}()
}

func (l *loop) onDrained(m drained) {
	if s := &l.sides.each[m.side]; s.serial == m.serial {
		s.drained, s.draining = true, false
	}
}

// mailBack posts the result of what was called outside the loop. The loop may have ended.
func (l *loop) mailBack(m message) {
	select {
	case l.mail <- m:
	case <-l.done:
	}
}

// waitsForQueue tells whether connections wait for a worker, so that it must not be told to go.
func (l *loop) waitsForQueue(w *worker) bool {
	return w.drains && !l.sides.each[w.side].drained
}

// release closes what waits on a side that has no worker any more, and no leftovers, which
// could still accept. The side is free then.
func (l *loop) release() {
	for n := range l.sides.each {
		s := &l.sides.each[n]
		if l.Traffic == nil || l.ending.stopping || !s.taken || s.clearing || n == l.sides.live || l.starting != nil && l.starting.side == n || l.hasWorkers(n) || l.groups[n] > 0 {
			continue
		}
		s.clearing = true
		go func() { l.mailBack(emptied{n, l.Traffic.Clear(n)}) }()
	}
}

func (l *loop) hasWorkers(n int) bool {
	for w := range l.workers() {
		if w.side == n {
			return true
		}
	}
	return false
}

func (l *loop) onEmptied(m emptied) {
	l.sides.each[m.side] = side{serial: l.sides.each[m.side].serial}
	if m.closed > 0 {
		l.tell(Cleared{m.closed})
	}
}

// onTrial tells whether the starting generation, which is whole, must not get all connections
// yet. It gives the generation the share of the canary's step.
func (l *loop) onTrial() bool {
	g := l.starting
	if l.Traffic == nil || l.live == nil || !l.live.anyProven() {
		return false
	}
	for g.step == 0 || l.due(g.stepEnds) {
		if g.step >= len(l.Canary) {
			return false
		}
		step := l.Canary[g.step]
		g.step, g.stepEnds = g.step+1, l.now.Add(step.For)
		if err := l.send(g.side, step.Share); err != nil {
			l.attemptFailed(Failure{Worker: Worker{Generation: g.number}, Err: err})
			return true
		}
		g.share = step.Share
		l.count()
		l.progressed(step.For)
		l.tell(Canary{g.number, step.Share, step.For})
	}
	return true
}

// count counts the connections of a canary from now on.
func (l *loop) count() {
	if l.sides.counted == nil {
		l.sides.counted, l.sides.uncount = l.Traffic.Count(l.starting.side)
	}
}

// given is how many connections the canary has got.
func (l *loop) given() int {
	if l.sides.counted == nil {
		return 0
	}
	return l.sides.before + l.sides.counted()
}

// countNoMore ends the count at the end of a canary.
func (l *loop) countNoMore() {
	if l.sides.uncount != nil {
		l.sides.uncount()
	}
	l.sides.counted, l.sides.uncount, l.sides.before = nil, nil, 0
}

// share is the share of All that a generation gets.
func (l *loop) share(g *generation) int {
	switch {
	case g == nil:
		return 0
	case g == l.live && l.starting.canary():
		return All - l.starting.share
	case g == l.live:
		return All
	case g == l.starting: // one that stands by keeps the share that it had as a canary
		return g.share
	}
	return 0
}

// canary tells whether a starting generation gets connections already.
func (g *generation) canary() bool { return g != nil && g.step > 0 }

// switchOver gives the starting generation all connections. The live one stands by or, if none
// of its workers has proved itself, is told to go.
func (l *loop) switchOver() error {
	if l.Traffic == nil {
		return nil
	}
	if err := l.send(l.starting.side, All); err != nil {
		return err
	}
	l.countNoMore()
	if l.live == nil {
		return nil // the side stays the same
	}
	old := l.live
	l.live = nil
	stands := old.anyProven()
	if stands {
		l.standby, l.standbyEnds = old, l.now.Add(max(l.KeepOld, l.settings.KillOldDelay))
	}
	for w := range old.workers() {
		w.role, w.drains = standby, true
		if !stands {
			l.leaves(w, retired)
		}
	}
	l.leaveSide(old.side)
	return nil
}

// endStandby retires the generation that stands by when its time is over, or when another one
// is wanted, which gets its sockets.
func (l *loop) endStandby() {
	g := l.standby
	if g == nil || l.live == nil {
		return
	}
	if l.wanted && !l.due(l.standbyEnds) {
		l.endStandbyNow(Worker{})
	}
	if !l.due(l.standbyEnds) || !l.sides.each[g.side].drained || !l.canDoWithout(g.side) {
		return
	}
	l.standby = nil
	for w := range g.workers() {
		l.leaves(w, retired)
		w.retireAt = l.now
	}
}

// canDoWithout tells whether old workers of a side may be told to go: the live generation is
// whole, or it serves, and these have no connections and are in the way of the next generation.
func (l *loop) canDoWithout(side int) bool {
	return l.live.intact(l.sizes.size) || side != l.live.side && l.wanted && l.live.serves()
}

// endStandbyNow ends the way back, and tells so if that is before its time.
func (l *loop) endStandbyNow(died Worker) {
	if l.KeepOld > 0 && l.standbyEnds.After(l.now) {
		l.tell(StandbyOver{l.standby.number, died})
	}
	l.standbyEnds = l.now
}

// standbyWorkerGone ends the way back: what is left may be too little to serve all.
func (l *loop) standbyWorkerGone(w *worker) {
	if l.standby == nil {
		return
	}
	l.endStandbyNow(w.id())
	if l.standby.empty() {
		l.standby = nil
	}
}

// canGoBack tells whether a generation stands by with a proven worker in every slot that gets
// connections.
func (l *loop) canGoBack() bool {
	return l.standby != nil && l.standby.intact(max(l.sizes.steered, l.sizes.target))
}

// goBack gives the generation that stands by all connections again.
func (l *loop) goBack(cause string) error {
	old := l.live
	if err := l.send(l.standby.side, All); err != nil {
		return err
	}
	l.live, l.standby = l.standby, nil
	l.tell(RolledBack{cause, old.number, l.live.number})
	for w := range l.live.workers() {
		w.role, w.drains = live, false
	}
	for w := range old.workers() {
		l.leaves(w, retired)
		w.drains, w.retireAt = true, l.now
	}
	l.leaveSide(old.side)
	l.restedAt = l.now
	return nil
}

func (l *loop) onRollback(m rollbackAsked) {
	switch {
	case l.ending.stopping || l.ending.later != nil:
		l.tell(Refused{m.cause})
		m.reply <- Outcome{Err: ErrStopping}
	case l.starting.canary():
		l.attemptFailed(Failure{Worker: Worker{Generation: l.starting.number}, RolledBack: m.cause})
		l.answer([]chan<- Outcome{m.reply}, Outcome{Generation: l.live.number})
	case !l.canGoBack():
		m.reply <- Outcome{Err: errors.New("there is no generation to go back to: " + l.noWay())}
	default:
		if err := l.goBack(m.cause); err != nil {
			m.reply <- Outcome{Err: err}
			return
		}
		l.answer([]chan<- Outcome{m.reply}, Outcome{Generation: l.live.number})
	}
}

// noWay is why there is no generation to go back to.
func (l *loop) noWay() string {
	switch {
	case l.Traffic == nil:
		return "generations share their sockets; a way back needs blue/green"
	case l.live == nil:
		return "none is live"
	case l.starting != nil:
		return fmt.Sprintf("generation %d serves, and generation %d has had no connection yet", l.live.number, l.starting.number)
	}
	if l.standby != nil {
		return fmt.Sprintf("generation %d stands by, but has fewer workers than are wanted now", l.standby.number)
	}
	return fmt.Sprintf("generation %d serves, and none stands by", l.live.number)
}

func (l *loop) onPromote(m promoteAsked) {
	switch {
	case l.ending.stopping || l.ending.later != nil:
		l.tell(Refused{m.cause})
		m.reply <- Outcome{Err: ErrStopping}
	case l.starting.canary():
		l.tell(Promoted{m.cause, l.starting.number})
		l.starting.step, l.starting.stepEnds = max(l.starting.step, len(l.Canary)), l.now
		l.starting.waiting = append(l.starting.waiting, m.reply)
	case l.standby != nil && l.live != nil:
		l.tell(Promoted{m.cause, l.live.number})
		l.standbyEnds = l.now
		l.answer([]chan<- Outcome{m.reply}, Outcome{Generation: l.live.number})
	default:
		m.reply <- Outcome{Err: errors.New("there is no canary, and no old generation stands by")}
	}
}
