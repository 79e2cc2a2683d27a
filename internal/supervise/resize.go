package supervise

import (
	"errors"
	"fmt"
	"slices"
)

// sizes are how many workers there are, and how many are wanted.
type sizes struct {
	target   int      // how many workers are wanted
	size     int      // how many slots there are: more than target while connections wait in them
	steered  int      // in how many slots connections may wait
	steering bool     // steered is being changed
	resizes  []resize // not done yet
}

func newSizes(n int) sizes {
	return sizes{target: n, size: n, steered: n}
}

// resize is a change of the number of workers that is not done yet.
type resize struct {
	from, to int // the slots to be filled or emptied
	more     bool
	worker   Worker // the one in the last of these slots
	reply    chan<- Resizing
}

func (l *loop) onResize(m resizeAsked) {
	wanted := m.size.Number
	if wanted == 0 {
		wanted = l.sizes.target + m.size.Change
	}
	limited := min(max(1, wanted), MaxWorkers)
	var refused error
	switch {
	case l.ending.stopping:
		l.tell(Refused{m.cause})
		refused = ErrStopping
	case l.Follow && wanted > l.sizes.target:
		refused = errors.New("more workers can be started by a restart only")
	case limited == l.sizes.target && wanted > limited:
		refused = fmt.Errorf("there are %d workers, the most there can be", limited)
	case limited == l.sizes.target && wanted < limited:
		refused = errors.New("there is one worker, the least there can be")
	}
	m.refused <- refused
	if refused != nil {
		return
	}
	l.await(limited, m.reply)
	l.sizes.target = limited
	l.fit()
	l.tell(Resized{m.cause, limited})
}

// await sends a message to reply when there are n workers.
func (l *loop) await(n int, reply chan<- Resizing) {
	r := resize{from: min(n, l.sizes.target), to: max(n, l.sizes.target), more: n > l.sizes.target, reply: reply}
	if w := l.inSlot(r.to - 1); r.from < r.to && w != nil && w.process != nil {
		r.worker = w.id()
	}
	l.sizes.resizes = append(l.sizes.resizes, r)
}

// fit makes the number of slots the one that is wanted. It takes slots away only when
// they get no connections any more. Until then they are slots like the others, and are
// refilled.
func (l *loop) fit() {
	s := &l.sizes
	s.size = s.target
	if l.Steer != nil {
		s.size = max(s.target, s.steered)
	}
	for len(l.slots) < s.size {
		l.slots = append(l.slots, record{})
	}
}

// steer sends connections to as many slots as are wanted, once each has a proven worker.
func (l *loop) steer() {
	s := &l.sizes
	if l.Steer == nil || s.steering || s.steered == s.target || l.live == nil || !l.live.whole(s.target, 0) || l.starting.canary() && !l.starting.whole(s.target, 0) {
		return
	}
	slots := s.target
	s.steering, s.steered = true, max(s.steered, slots)
	go func() {
		l.Steer(slots)
		l.mailBack(steered{slots})
	}()
}

func (l *loop) onSteered(m steered) {
	l.sizes.steering, l.sizes.steered = false, m.slots
	l.fit()
}

// inSlot is a worker in a slot of the live or the starting generation, or one in excess
// that is on its way out; nil if there is none.
func (l *loop) inSlot(slot int) *worker {
	for w := range l.workers() {
		if w.slot == slot && w.role != retired && w.role != failed && w.role != standby && w.role != heir {
			return w
		}
	}
	return nil
}

// tellResizes tells of each change that is done.
func (l *loop) tellResizes() {
	l.sizes.resizes = slices.DeleteFunc(l.sizes.resizes, func(r resize) bool {
		how := Resizing{Worker: r.worker, Workers: l.sizes.target}
		switch {
		case r.more && r.to > l.sizes.target || !r.more && r.from < l.sizes.target:
			how.Err = fmt.Errorf("another request has changed the number of workers to %d meanwhile", l.sizes.target)
		case r.more && !l.filled(r) || !r.more && !l.emptied(r):
			return false
		case r.more:
			how.Worker = l.live.in(r.to - 1).id()
		}
		r.reply <- how
		return true
	})
}

// filled tells whether a proven worker is in each of the new slots.
func (l *loop) filled(r resize) bool {
	for slot := r.from; slot < r.to; slot++ {
		if w := l.live.in(slot); w == nil || !w.proven {
			return false
		}
	}
	return true
}

// emptied tells whether no worker is left in the slots to be emptied.
func (l *loop) emptied(r resize) bool {
	for slot := r.from; slot < r.to; slot++ {
		if l.inSlot(slot) != nil {
			return false
		}
	}
	return true
}

// resizeFailed answers each change that waits for the worker that has failed.
func (l *loop) resizeFailed(w *worker, why Failure) {
	l.sizes.resizes = slices.DeleteFunc(l.sizes.resizes, func(r resize) bool {
		if !r.more || w.slot < r.from || w.slot >= r.to {
			return false
		}
		r.reply <- Resizing{Worker: w.id(), Workers: l.sizes.target, Err: &why}
		return true
	})
}

// resizesEnd answers each change that waits: everything stops.
func (l *loop) resizesEnd() {
	for _, r := range l.sizes.resizes {
		r.reply <- Resizing{Err: ErrStopping}
	}
	l.sizes.resizes = nil
}
