package supervise

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
)

// traffic is the sockets, and the clients, of a world whose generations have their own sockets.
type traffic struct {
	w         *world
	side      int // share of all connections go there
	share     int
	waiting   [2]int  // connections that no worker has accepted
	drained   [2]bool // Drain has returned since the side gets none
	slow      time.Duration
	failSplit error
	unfit     bool         // probes fail
	ill       int          // the pid of a worker whose probes fail
	canaries  map[int]bool // generations that had a share
	back      map[int]bool // generations that were rolled back
	cleared   int          // connections
	got       [2]int       // connections to each side
	counting  bool
}

var errUnfit = errors.New("status 500")

// of is the share of a side.
func (x *traffic) of(side int) int {
	if side == x.side {
		return x.share
	}
	return All - x.share
}

// Split checks that only proven workers get new connections while others serve.
func (x *traffic) Split(side, share int) error {
	w := x.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.failSplit != nil {
		return x.failSplit
	}
	assert.True(w.t, share >= 0 && share <= All, "share %d", share)
	before := [2]int{x.of(0), x.of(1)}
	x.side, x.share = side, share
	for n := range before {
		if x.of(n) > 0 {
			x.drained[n] = false
		}
		if before[n] > 0 || x.of(n) == 0 || !x.serves(1-n) {
			continue
		}
		for _, p := range w.alive() {
			excess := p.id.Slot >= min(w.workers, w.steered) || w.shrunk[p.id.Slot]
			beforeAll := w.gaveUp[p.id.Generation] && !x.canaries[p.id.Generation] // when nothing was live
			excess = excess || w.heirs[p.id.Pid] && !w.placed[p.id.Pid]
			if p.side == n && !excess && !x.succeeded(p) && !beforeAll {
				assert.True(w.t, w.proven[p.id.Pid], "%v gets connections, and has not proved itself", p.id)
				assert.False(w.t, p.told(), "%v gets connections, and was told to go", p.id)
			}
		}
	}
	trace(w, "SPLIT %d %d", side, share)
	return nil
}

// serves tells whether a worker serves on a side.
func (x *traffic) serves(side int) bool {
	return slices.ContainsFunc(x.w.procs, func(p *fakeProc) bool {
		return p.side == side && !p.gone && !p.told() && x.w.listed(p) && x.w.proven[p.id.Pid]
	})
}

// Take checks that no worker has the side, unless all connections go there.
func (x *traffic) Take(side int) {
	w := x.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if x.of(side) == 0 {
		assert.False(w.t, slices.ContainsFunc(w.alive(), func(p *fakeProc) bool { return p.side == side }), "side %d is taken", side)
	}
}

func (x *traffic) Drain(side int) {
	w := x.w
	w.mu.Lock()
	image := w.image
	w.mu.Unlock()
	<-time.After(x.slow)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.image != image || x.of(side) > 0 {
		return
	}
	if slices.ContainsFunc(w.alive(), func(p *fakeProc) bool { return p.side == side }) {
		x.waiting[side] = 0
	}
	x.drained[side] = true
}

func (x *traffic) Clear(side int) int {
	w := x.w
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.Zero(w.t, x.of(side), "side %d is cleared, and gets connections", side)
	n := x.waiting[side]
	x.waiting[side] = 0
	x.cleared += n
	return n
}

// Count checks that stop was called before Count is called again.
func (x *traffic) Count(side int) (counted func() int, stop func()) {
	x.w.locked(func() {
		assert.False(x.w.t, x.counting, "two count at once")
		x.counting = true
	})
	got := func() (n int) {
		x.w.locked(func() { n = x.got[side] })
		return n
	}
	began := got()
	return func() int { return got() - began }, func() { x.w.locked(func() { x.counting = false }) }
}

// connect makes one connection to each side that gets connections.
func (x *traffic) connect() {
	x.w.locked(func() {
		for side := range x.waiting {
			if x.of(side) > 0 {
				x.waiting[side]++
				x.got[side]++
			}
		}
	})
}

// probe is Config.Probe.
func (x *traffic) probe(ctx context.Context, worker Worker, _ int, again bool) error {
	<-time.After(200 * time.Millisecond)
	var unfit bool
	x.w.locked(func() { unfit = x.unfit || worker.Pid == x.ill })
	if unfit && !again {
		<-ctx.Done() // it is tried until then
	}
	if unfit {
		return errUnfit
	}
	return nil
}

// checkSpawn: a new generation gets no side that has connections while another one serves.
func (x *traffic) checkSpawn(generation, side int) {
	w := x.w
	if x.of(side) == 0 {
		assert.False(w.t, slices.ContainsFunc(w.alive(), func(p *fakeProc) bool {
			return p.side == side && p.id.Generation != generation
		}), "generation %d has the sockets of one that is there yet", generation)
		return
	}
	for _, p := range w.alive() {
		if p.side == side && w.listed(p) && !p.told() && p.id.Slot < w.workers && !w.renewed[p.id.Pid] {
			assert.Equal(w.t, generation, p.id.Generation, "it gets the connections of %v", p.id)
		}
	}
}

// checkTold: no worker is told to go that gets connections, or for which some wait.
func (x *traffic) checkTold(p *fakeProc) {
	w := x.w
	had := w.serves(p) || x.canaries[p.id.Generation]
	if w.stopped || w.failed || !had || p.id.Slot >= w.workers || w.shrunk[p.id.Slot] {
		return
	}
	if x.succeeded(p) {
		return
	}
	assert.Zero(w.t, x.of(p.side), "%v is told to go, and gets connections", p.id)
	assert.True(w.t, x.drained[p.side], "%v is told to go, and connections wait for it", p.id)
}

// succeeded tells whether a successor has the sockets of a process, too.
func (x *traffic) succeeded(p *fakeProc) bool {
	w := x.w
	return slices.ContainsFunc(w.alive(), func(q *fakeProc) bool {
		return q != p && q.side == p.side && q.id.Slot == p.id.Slot && w.listed(q) && w.proven[q.id.Pid] && !q.told()
	})
}

// canDoWithout tells whether a process has no connections, none wait for it, and others serve:
// it may be in the way of a generation that has to replace a live one which is not whole.
func (x *traffic) canDoWithout(p *fakeProc) bool {
	return x.of(p.side) == 0 && x.drained[p.side] && slices.ContainsFunc(x.w.procs, func(q *fakeProc) bool {
		return q.side != p.side && !q.gone && !q.told() && x.w.proven[q.id.Pid]
	})
}

// checkWaiting: in the end no connection waits where there is no worker.
func (x *traffic) checkWaiting() {
	w := x.w
	for side, n := range x.waiting {
		there := slices.ContainsFunc(w.alive(), func(p *fakeProc) bool { return p.side == side && w.proven[p.id.Pid] })
		assert.True(w.t, n == 0 || there, "%d connections wait on side %d, which has no worker", n, side)
	}
}

// rollBack checks that a rollback succeeds exactly when the status says that it can.
func (x *traffic) rollBack() Outcome {
	w := x.w
	s, err := w.sup.Status(w.t.Context())
	can := err == nil && slices.ContainsFunc(s.Shares, func(s Share) bool { return s.CanGoBack }) || s.Phase == PhaseCanary
	how := w.sup.Rollback(w.t.Context(), "test")
	if err == nil && s.Phase != PhaseStopping && s.Phase != PhaseStopDelay && x.failSplit == nil {
		assert.Equal(w.t, can, how.Err == nil, "%+v: %v", s, how.Err)
	}
	return how
}
