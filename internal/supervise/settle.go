package supervise

import (
	"cmp"
	"os"
	"slices"
	"time"
)

// settle does everything that the state and the clock call for, and sets the
// alarm for what they will call for later. It runs after every message; each
// step is idempotent, and a step only enables those after it.
func (l *loop) settle() {
	l.now = time.Now()
	l.alarm = time.Time{}
	if l.stopLater != nil && !l.stopping && l.due(l.stopAt) {
		l.onStop(stopAsked{l.stopLater.cause, l.stopLater.signal, 0})
	}
	if l.stopping {
		if l.stopWhy == toAbort {
			l.abort() // first, as who serves is told in another way
		}
		l.signalAll(l.stopWhy, l.stopSignal, l.generations())
	} else {
		l.grow()
		l.prove()
		l.promote()
		l.steer()
		l.shrink()
		l.retire()
		l.autoRestart()
		l.begin()
		l.fill()
	}
	l.abort()
	l.kill()
	l.publish()
	l.tellSteps()
	l.timer.Stop()
	if !l.alarm.IsZero() {
		l.timer.Reset(l.alarm.Sub(l.now))
	}
}

// due reports whether t has come, and if not sees to it that settle runs then.
func (l *loop) due(t time.Time) bool {
	if !t.After(l.now) {
		return true
	}
	if l.alarm.IsZero() || t.Before(l.alarm) {
		l.alarm = t
	}
	return false
}

// steer has as many slots get connections as are wanted, once those are served.
func (l *loop) steer() {
	if l.Steer == nil || l.steering || l.steered == l.target || l.live == nil || !l.live.whole(l.target) {
		return
	}
	slots := l.target
	l.steering, l.steered = true, max(l.steered, slots)
	go func() {
		l.Steer(slots)
		select {
		case l.mail <- steered{slots}:
		case <-l.done:
		}
	}()
}

// grow gives the starting and the live generation as many slots as there are to
// be workers.
func (l *loop) grow() {
	for _, g := range []*generation{l.starting, l.live} {
		for g != nil && len(g.slots) < l.Workers {
			g.slots = append(g.slots, nil)
		}
	}
}

// shrink tells the workers to go that are more than there are to be: those of
// the live generation as soon as the others are whole, for the reason that
// retire has.
func (l *loop) shrink() {
	for _, g := range []*generation{l.starting, l.live} {
		if g == nil || g == l.live && !g.whole(l.Workers) {
			continue
		}
		if len(g.slots) > l.Workers {
			g.excess = append(g.excess, g.slots[l.Workers:]...)
			g.excess = slices.DeleteFunc(g.excess, func(w *worker) bool { return w == nil })
			g.slots = slices.Clone(g.slots[:l.Workers])
		}
		// One that is not proven may not understand the signal yet, or never.
		l.sendAway(g.excess, true, toRetire, l.RetireSignal)
		l.sendAway(g.excess, false, toAbort, l.AbortSignal)
	}
}

// sendAway tells the workers in excess to go that are proven, or those that are not.
func (l *loop) sendAway(excess []*worker, proven bool, why purpose, sig os.Signal) {
	going := func(w *worker) bool { return w.proven == proven && w.told&(toRetire|toAbort) == 0 }
	if told := list([]*generation{{excess: excess}}, going); len(told) > 0 {
		l.Observe(Shrinking{told, sig})
	}
	for _, w := range excess {
		if w.process != nil && going(w) {
			l.signalOnce(w, why, sig)
		}
	}
}

// prove marks the workers that have lived through the interval, or have said
// that they are ready, and gives up those that have not said so in time.
func (l *loop) prove() {
	for _, g := range []*generation{l.starting, l.live} {
		if g == nil {
			continue
		}
		for _, w := range g.slots[:l.Workers] {
			if w == nil || w.process == nil || w.proven || w.told&toAbort != 0 {
				continue
			}
			switch {
			case l.hasProved(w):
				w.proven, w.after = true, l.now.Sub(w.began)
				l.slots[w.slot].failures = 0
				l.Observe(Proven{w.id(), w.after})
			case l.ReadyTimeout > 0 && l.due(w.began.Add(l.ReadyTimeout)):
				l.late(w)
			}
			if g.state == Failed {
				break
			}
		}
	}
}

func (l *loop) hasProved(w *worker) bool {
	if l.ReadyTimeout > 0 {
		return w.ready
	}
	return l.due(w.began.Add(l.Interval))
}

// late gives up a worker that is not ready in time: with its generation, or
// alone if that is live.
func (l *loop) late(w *worker) {
	why := Failure{Worker: w.id(), Lived: l.now.Sub(w.began), Said: w.status, Late: true}
	if w.generation == l.starting {
		l.attemptFailed(why)
		return
	}
	l.stepFailed(w, why)
	l.Observe(NotReady{why})
	l.signalOnce(w, toAbort, l.AbortSignal)
}

// rolling tells that the starting generation takes over slot by slot.
func (l *loop) rolling() bool {
	return l.Surge > 0 && l.starting != nil && l.live != nil
}

// promote makes the starting generation the live one when all its workers are
// proven, or with FirstServes one is and nothing serves that it would replace.
func (l *loop) promote() {
	g, old := l.starting, l.live
	switch {
	case g == nil:
		return
	case l.rolling():
		l.takeOver()
		if !old.replaced(l.Workers, g.number) {
			return
		}
		old.excess = slices.AppendSeq(old.excess, g.workers()) // in excess too, as all others have moved
		for _, w := range old.excess {
			w.generation = old
		}
	case !g.whole(l.Workers) && !(l.FirstServes && old == nil && len(l.unsignalled(l.leaving)) == 0 && g.begun()):
		return
	default:
		l.live, g.state = g, Live
		if old != nil {
			l.retireLater(old)
		}
	}
	l.starting, l.restedAt, l.failure = nil, l.now, nil
	l.attempts.failures = 0
	if g.number > 1 {
		l.restarts++
	}
	for _, g := range l.leaving {
		if g.state == Retired && g.retireAt.IsZero() {
			g.retireAt = l.now.Add(l.settings.KillOldDelay)
		}
	}
	l.Observe(WentLive{
		Generation: g.number,
		Asked:      g.asked,
		Rolled:     old != nil && l.live == old,
		Old:        l.unsignalled(l.leaving),
		Delay:      l.settings.KillOldDelay,
	})
	l.tell(g.waiting, Outcome{Generation: g.number})
}

// takeOver moves the workers of the starting generation that are proven into
// the live one, in the place of the old ones there.
func (l *loop) takeOver() {
	for _, w := range l.starting.slots[:l.Workers] {
		if w == nil || !w.proven {
			continue
		}
		took := TookOver{Worker: w.id(), Delay: l.settings.KillOldDelay}
		if old := l.starting.move(w, l.live); old != nil {
			took.Old = old.id()
			alone := &generation{number: old.number, excess: []*worker{old}}
			old.generation = alone
			l.retireLater(alone)
			alone.retireAt = l.now.Add(took.Delay)
		}
		l.live.number = w.number
		l.Observe(took)
	}
}

// retireLater puts a generation among those that are to go.
func (l *loop) retireLater(g *generation) {
	g.state = Retired
	l.leaving = append(l.leaving, g)
}

// retire tells the workers of old generations to go, as long as the live one
// is whole: were one of its workers gone, an old one may be all that serves.
func (l *loop) retire() {
	if l.live == nil || !l.live.whole(l.Workers) || l.RetireSignal == nil {
		return
	}
	var ripe []*generation
	for _, g := range l.leaving {
		if g.state == Retired && !g.retireAt.IsZero() && l.due(g.retireAt) {
			ripe = append(ripe, g)
		}
	}
	if workers := l.unsignalled(ripe); len(workers) > 0 {
		l.Observe(Retiring{workers, l.RetireSignal})
		l.signalAll(toRetire, l.RetireSignal, ripe)
	}
}

// unsignalled lists the workers of retired generations not yet told to go.
func (l *loop) unsignalled(gs []*generation) []Worker {
	return list(gs, func(w *worker) bool {
		return w.generation.state == Retired && w.told&toRetire == 0
	})
}

// autoRestart asks for a restart when the last one is long ago: once old
// workers are gone, or whether they are or not after twice the time.
func (l *loop) autoRestart() {
	after := l.settings.AutoRestart
	if after <= 0 || l.live == nil || l.starting != nil || l.wanted || l.stopLater != nil {
		return
	}
	forced := l.due(l.restedAt.Add(2 * after))
	if !forced && (!l.due(l.restedAt.Add(after)) || len(l.leaving) > 0) {
		return
	}
	l.Observe(AutoRestart{after, forced})
	l.wanted, l.asked = true, true
}

// begin starts the generation that is wanted, when the pace allows, with fill
// to give it workers. Without any worker one is always wanted.
func (l *loop) begin() {
	if l.live == nil && l.starting == nil && len(l.leaving) == 0 {
		if l.NoRefill && l.number > 0 && !l.wanted {
			l.stop(toAbort, l.AbortSignal)
			return
		}
		l.wanted = true
	}
	if !l.wanted || l.starting != nil || !l.due(l.attempts.next(l.Interval)) {
		return
	}
	l.number++
	l.starting = &generation{
		number:  l.number,
		asked:   l.asked,
		slots:   make([]*worker, l.Workers),
		waiting: l.waiting,
	}
	l.wanted, l.asked, l.waiting = false, false, nil
	for i := range l.slots {
		l.slots[i].failures = 0 // they were another generation's
	}
}

// fill starts a worker in each slot that lacks one.
func (l *loop) fill() {
	for _, g := range []*generation{l.starting, l.live} {
		if g == nil || g == l.live && l.NoRefill {
			continue
		}
		extra := l.extra()
		for _, slot := range l.oldestFirst() {
			if l.lacks(g, slot, extra) && l.due(l.slots[slot].next(l.Interval)) {
				if l.rolling() && l.live.slots[slot] != nil {
					extra++
				}
				l.spawn(g, slot)
			}
		}
	}
}

// oldestFirst are the slots in the order in which they are filled: the empty
// ones first, and then those with the oldest workers. So what was replaced by
// an attempt that failed in the middle is not replaced again before the slot
// in which that has failed is.
func (l *loop) oldestFirst() []int {
	order := make([]int, l.Workers)
	for slot := range order {
		order[slot] = slot
	}
	if !l.rolling() {
		return order
	}
	number := func(slot int) int {
		if l.live.slots[slot] == nil {
			return 0
		}
		return l.live.slots[slot].number
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(number(a), number(b)) })
	return order
}

// lacks tells that a worker is to be started in a slot of a generation. While
// one is rolling it fills the empty slots, and replaces old workers as far as
// there may be more processes than are to serve.
func (l *loop) lacks(g *generation, slot, extra int) bool {
	switch {
	case g.slots[slot] != nil:
		return false
	case !l.rolling():
		return true
	case g == l.live:
		return false
	}
	old := l.live.slots[slot]
	return old == nil || old.number != g.number && extra < l.Surge
}

// extra is how many processes there are beyond one for each slot, when the
// empty slots have theirs.
func (l *loop) extra() int {
	if !l.rolling() {
		return 0
	}
	extra := l.pending - l.Workers
	for slot, w := range l.live.slots[:l.Workers] {
		if w == nil && l.starting.slots[slot] == nil {
			extra++
		}
	}
	return extra
}

// spawn starts a worker in the background, since starting a program reads
// files; the answer comes by mail.
func (l *loop) spawn(g *generation, slot int) {
	w := &worker{generation: g, number: g.number, slot: slot}
	g.slots[slot] = w
	l.slots[slot].last = l.now
	l.attempts.last = l.now
	l.pending++
	go func() {
		process, settings, err := l.Spawner.Spawn(g.number, slot)
		l.mail <- spawned{w, process, settings, err}
	}()
}

// abort tells what is left of failed generations to go; those that are proven by
// LeaveSignal, as they serve.
func (l *loop) abort() {
	for _, g := range l.leaving {
		if g.state != Failed {
			continue
		}
		for w := range g.workers() {
			switch {
			case w.process == nil:
			case w.proven && l.LeaveSignal != nil:
				if w.told&(toRetire|toStop) == 0 { // or it has been told already
					l.signalOnce(w, toAbort, l.LeaveSignal)
				}
			default:
				l.signalOnce(w, toAbort, l.AbortSignal)
			}
		}
	}
}

// signalAll signals each worker of gs that was not yet signalled for this
// purpose.
func (l *loop) signalAll(why purpose, sig os.Signal, gs []*generation) {
	for _, g := range gs {
		for w := range g.workers() {
			if w.process != nil {
				l.signalOnce(w, why, sig)
			}
		}
	}
}

// signalOnce signals a worker unless it was for this purpose, and has it killed
// if it stays.
func (l *loop) signalOnce(w *worker, why purpose, sig os.Signal) {
	if w.told&why != 0 {
		return
	}
	w.told |= why
	l.signal(w, sig)
	if l.KillTimeout > 0 && w.killAt.IsZero() {
		w.killAt = l.now.Add(l.KillTimeout)
	}
}

func (l *loop) signal(w *worker, sig os.Signal) {
	if err := w.process.Signal(sig); err != nil {
		l.Observe(SignalFailed{w.id(), sig, err})
	}
}

// kill ends workers that were told to go and are still there.
func (l *loop) kill() {
	if l.KillTimeout == 0 {
		return
	}
	for _, g := range l.generations() {
		for w := range g.workers() {
			if w.killAt.IsZero() || w.told&toKill != 0 || !l.due(w.killAt) {
				continue
			}
			w.told |= toKill
			l.Observe(Killed{w.id(), l.KillTimeout})
			l.signal(w, os.Kill)
		}
	}
}

// publish tells the observer who serves, when that has changed.
func (l *loop) publish() {
	serving := list(l.generations(), func(w *worker) bool { return w.generation.serves() })
	if !slices.Equal(serving, l.serving) {
		l.serving = serving
		l.Observe(Serving{serving})
	}
}
