package supervise

import (
	"os"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
)

// checkRetire is invariant 1. A worker in excess goes without a newer generation,
// but if its own is the live one, not before the others are whole.
func (w *world) checkRetire(p *fakeProc) {
	if w.gaveUp[p.id.Generation] && !w.wentLive[p.id.Generation] && !w.placed[p.id.Pid] {
		return // a proven worker of an attempt that failed
	}
	if w.traffic != nil && w.traffic.canDoWithout(p) {
		return
	}
	if w.renews() && p.id.Generation == w.liveGen {
		succeeded := slices.ContainsFunc(w.procs, func(q *fakeProc) bool {
			return q != p && q.id.Slot == p.id.Slot && w.listed(q) && !q.told() && w.proven[q.id.Pid]
		})
		if succeeded || p.id.Slot < w.workers {
			assert.True(w.t, succeeded || w.shrunk[p.id.Slot], "%v is told to go, and its slot is empty", p.id)
			return
		}
	}
	if w.sup.config.Replace.surge > 0 || w.back {
		w.checkReplaced(p)
		return
	}
	rolledBack := w.traffic != nil && w.traffic.back[p.id.Generation]
	if p.id.Slot < w.workers {
		// A slot that was emptied and asked for again may still have had a worker
		// in excess.
		assert.True(w.t, p.id.Generation < w.liveGen || w.shrunk[p.id.Slot] || rolledBack, "invariant 1: no newer generation is live")
	}
	if p.id.Generation > w.liveGen && !rolledBack {
		return
	}
	whole := map[int]bool{}
	for _, q := range w.procs {
		if q.id.Generation == w.liveGen && q.id.Slot < w.workers && !q.gone && w.proven[q.id.Pid] && !q.told() {
			whole[q.id.Slot] = true
		}
	}
	assert.Len(w.t, whole, w.workers, "invariant 1: a worker of live generation %d is missing", w.liveGen)
}

// renews tells whether workers are replaced between restarts.
func (w *world) renews() bool {
	c := w.sup.config
	return c.Watchdog > 0 || c.MaxAge > 0 || c.MaxMemory > 0 || c.ProbeLive
}

// checkReplaced is invariant 1 when the live workers may be of several generations:
// another worker serves in this slot, and one in each other slot.
func (w *world) checkReplaced(p *fakeProc) {
	holders := map[int]bool{}
	for _, q := range w.procs {
		if q != p && w.listed(q) && !q.told() && w.proven[q.id.Pid] && q.id.Slot < w.workers {
			holders[q.id.Slot] = true
		}
	}
	if p.id.Generation > w.liveGen && !w.placed[p.id.Pid] && !(w.traffic != nil && w.traffic.back[p.id.Generation]) {
		assert.True(w.t, w.shrunk[p.id.Slot], "invariant 1: %v is starting", p.id)
		return // it is in excess before it has served
	}
	assert.Len(w.t, holders, w.workers, "invariant 1: %v told to go, and a slot is empty", p.id)
}

// checkSteered checks that no connections go to a slot in which no worker is left.
func (w *world) checkSteered(p *fakeProc) {
	if w.traffic != nil && w.traffic.of(p.side) == 0 {
		return // see traffic.checkTold
	}
	if p.id.Slot >= w.steered || p.id.Generation > w.liveGen && !w.placed[p.id.Pid] {
		return
	}
	assert.True(w.t, slices.ContainsFunc(w.procs, func(q *fakeProc) bool {
		return q != p && q.id.Slot == p.id.Slot && w.listed(q) && w.proven[q.id.Pid] && !q.told()
	}), "%v told to go, and connections go to its slot", p.id)
}

// steer is Config.Steer: until it returns connections wait in the old slots, too.
func (w *world) steer(slots int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steers = append(w.steers, slots)
	w.steered = max(w.steered, slots)
	if image := w.image; w.slowSteer > 0 {
		w.mu.Unlock()
		<-time.After(w.slowSteer)
		w.mu.Lock()
		if w.image != image {
			return // its image is gone
		}
	}
	w.steeredFrom, w.steeredAt = w.steered, time.Now()
	w.steered = slots
}

// listed tells whether a process is there, and among those that serve.
func (w *world) listed(p *fakeProc) bool { return !p.gone && w.serves(p) }

// serves tells whether a process is or was among those that serve.
func (w *world) serves(p *fakeProc) bool {
	return w.wentLive[p.id.Generation] && !w.heirs[p.id.Pid] || w.placed[p.id.Pid]
}

// told tells whether p was told to go.
func (p *fakeProc) told() bool {
	return slices.ContainsFunc(p.signals, func(sig os.Signal) bool { return sig != otherSignal })
}

// checkSurge checks the bound of Rolling for spawns that replace a worker. It leaves out
// slots that were emptied and asked for again: the worker there may be in excess.
func (w *world) checkSurge(slot int) {
	there := w.there()
	var holder *fakeProc
	for _, p := range w.procs {
		if p.id.Slot == slot && (w.wentLive[p.id.Generation] || w.placed[p.id.Pid]) {
			holder = p
		}
	}
	surge := w.sup.config.Replace.surge
	if surge > 0 && !w.renews() && holder != nil && !holder.gone && !holder.told() && !w.shrunk[slot] {
		workers := max(w.workers, w.steered)
		if time.Now().Equal(w.steeredAt) {
			workers = max(workers, w.steeredFrom) // the loop may not know yet
		}
		assert.Less(w.t, there, workers+surge, "more than %d processes beyond %d", surge, workers)
	}
}

// there is how many processes are there or are being started.
func (w *world) there() int {
	there := w.inFlight
	for _, p := range w.procs {
		if !p.reaped {
			there++
		}
	}
	return there
}

// checkServing is invariant 7, as far as the loop is concerned: exactly the
// processes of generations that have been live are listed.
func (w *world) checkServing() {
	var want []Worker
	for _, p := range w.procs {
		if !p.reaped && w.serves(p) {
			want = append(want, p.id)
		}
	}
	assert.ElementsMatch(w.t, want, w.serving, "invariant 7")
}
