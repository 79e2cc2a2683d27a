package supervise

import (
	"cmp"
	"slices"
)

// This file starts workers.

// begin starts the generation that is wanted, when the pace allows; fill gives it
// workers. If there is no worker, one is always wanted, or with Follow everything ends.
func (l *loop) begin() {
	if l.live == nil && l.starting == nil && len(l.leaving) == 0 { // nothing stands by then
		if l.Follow && !l.wanted {
			l.stop(toAbort, l.AbortSignal)
			return
		}
		l.wanted = true
	}
	if !l.wanted || l.starting != nil || l.freezing != nil || !l.due(l.attempts.next(l.Interval)) {
		return
	}
	side, ok := l.takeSide()
	if !ok {
		return
	}
	l.number++
	l.starting = &generation{number: l.number, side: side, asked: l.asked, slots: make([]*worker, l.sizes.size), waiting: l.waiting}
	l.wanted, l.asked, l.waiting = false, false, nil
	for i := range l.slots {
		l.slots[i].failures = 0 // they were another generation's
	}
	l.attempts.last = l.now
	l.pending++
	number := l.number
	go func() { l.mail <- begun{l.Spawner.Begin(number)} }()
}

// fill starts a worker in each slot that lacks one.
func (l *loop) fill() {
	if l.freezing != nil {
		return
	}
	for _, g := range []*generation{l.starting, l.live} {
		if g == nil || !g.begun || g == l.live && l.Follow {
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
// ones first, and then those with the oldest workers. So after an attempt that
// failed in the middle, the slots that it did not reach come before those in
// which it has replaced the worker.
func (l *loop) oldestFirst() []int {
	order := make([]int, l.sizes.size)
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

// lacks tells whether a worker has to be started in a slot of a generation. A
// rolling one fills empty slots. It replaces old workers only while fewer than
// surge processes are there beyond one for each slot.
func (l *loop) lacks(g *generation, slot, extra int) bool {
	switch {
	case g.slots[slot] != nil:
		return false
	case g == l.live && l.Replace.surge > 0 && l.starting != nil && !l.starting.begun:
		return l.due(l.attempts.next(l.Interval)) // it would be replaced at once, unless Begin takes long
	case !l.rolling():
		return true
	case g == l.live:
		return false
	}
	old := l.live.slots[slot]
	return old == nil || old.number != g.number && extra < l.Replace.surge
}

// extra is how many processes there are beyond one for each slot. An empty slot
// counts as if it had one.
func (l *loop) extra() int {
	if !l.rolling() {
		return 0
	}
	extra := l.pending - l.sizes.size
	for slot, w := range l.live.slots[:l.sizes.size] {
		if w == nil && l.starting.slots[slot] == nil {
			extra++
		}
	}
	return extra
}

// spawn starts a worker in the background, since starting a program reads
// files; the answer comes by mail.
func (l *loop) spawn(g *generation, slot int) {
	w := &worker{number: g.number, slot: slot, side: g.side, missed: slices.Clone(g.missed)}
	if g == l.live {
		w.role, w.serves = live, true
	}
	g.slots[slot] = w
	l.slots[slot].last = l.now
	if g != l.live || !l.wanted { // with many workers some may end all the time, which must not put off a restart
		l.attempts.last = l.now
	}
	l.start(w)
}

// start calls Spawn for a worker.
func (l *loop) start(w *worker) {
	l.pending++
	go func() {
		process, settings, err := l.Spawner.Spawn(w.number, w.slot, w.side)
		l.mail <- spawned{w, process, settings, err}
	}()
}
