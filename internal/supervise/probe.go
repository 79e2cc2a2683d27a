package supervise

import (
	"context"
	"errors"
	"time"
)

// This file asks workers whether they serve.

// probed is the answer to Config.Probe: why a worker has not passed; nil: it has.
type probed struct {
	worker *worker
	err    error
}

// rivalsAsked is a request for Rivals.
type rivalsAsked struct {
	of    Worker
	reply chan<- []int
}

func (probed) message()      {}
func (rivalsAsked) message() {}

// ErrNotAsked is what Config.Probe returns when its answer says nothing about the worker.
var ErrNotAsked = errors.New("the worker was not asked")

// probeGrace is how long after its time the answer to a probe may still come.
const probeGrace = 5 * time.Second

// probe asks a worker that has just been started.
func (l *loop) probe(w *worker) {
	if l.Proof.probe && l.Probe != nil {
		l.ask(w, l.Proof.time, false)
	}
}

// ask asks a worker, for limit at most.
func (l *loop) ask(w *worker, limit time.Duration, again bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	w.probing, w.noProbe, w.askedAt = true, cancel, l.now
	id, side := w.id(), w.side
	go func() {
		defer cancel()
		l.mailBack(probed{w, l.Probe(ctx, id, side, again)})
	}()
}

// Rivals are the pids of processes that have the same sockets as a worker, and may answer in
// its place: other workers in its slot and on its side, such as the one that it replaces, and
// the leftovers of such workers that are waited for. After the end, or when ctx ends, it is nil.
func (s *Supervisor) Rivals(ctx context.Context, w Worker) []int {
	reply := make(chan []int, 1)
	if s.post(ctx, rivalsAsked{w, reply}) != nil {
		return nil
	}
	select {
	case pids := <-reply:
		return pids
	case <-s.done:
		return nil
	}
}

func (l *loop) rivals(of Worker) (pids []int) {
	w := l.find(of.Pid)
	if w == nil {
		return nil
	}
	for _, o := range list(l.workers(), func(o *worker) bool { return o != w && o.slot == w.slot && o.side == w.side }) {
		pids = append(pids, o.Pid)
	}
	for _, o := range l.leftovers {
		if o.of.Slot == w.slot && o.side == w.side {
			pids = append(pids, o.group.Pids()...)
		}
	}
	return pids
}

// endProbe ends the question to a worker that need not answer any more.
func (w *worker) endProbe() {
	if w.noProbe != nil {
		w.noProbe()
	}
	w.noProbe = nil
}

// passes tells whether a worker has passed its probes after it had lived for the interval. One
// that has passed them earlier is asked once more: it may be about to end.
func (l *loop) passes(w *worker) bool {
	if !w.ready || !l.due(w.began.Add(l.Interval)) || w.process.Ended() {
		return false
	}
	if !w.passed {
		w.ready = false
		if !w.probing {
			l.probe(w)
		}
	}
	return w.passed
}

// watch asks the workers of a canary again, and with ProbeLive the live ones.
func (l *loop) watch() {
	if l.ProbeInterval == 0 || l.Probe == nil {
		return
	}
	for _, g := range []*generation{l.starting, l.live} {
		if g == l.live && !l.ProbeLive || g == l.starting && !g.canary() {
			continue
		}
		for w := range g.workers() {
			if w.proven && !w.probing && l.due(w.probeAt) {
				l.ask(w, l.Proof.time, true)
			}
		}
	}
}

func (l *loop) onProbed(m probed) {
	w := m.worker
	if l.ending.stopping || w.noProbe == nil || l.find(w.process.Pid()) != w {
		return // nobody waits for it any more
	}
	w.probing, w.noProbe = false, nil
	w.probeAt = l.now.Add(l.ProbeInterval)
	switch {
	case errors.Is(m.err, ErrNotAsked) && !w.proven:
		l.probe(w)
	case errors.Is(m.err, ErrNotAsked):
		l.renewal.asked = false
	case m.err == nil:
		w.ready = true
		if w.health.unfit {
			w.health.hung, w.health.unfit = false, false
		}
		w.passed = w.passed || !l.now.Before(w.began.Add(l.Interval))
	case !w.proven:
		w.unfit = m.err.Error()
	case w.role == live && l.ProbeLive:
		if w.health.hung {
			return // that was told before
		}
		w.health.hung, w.health.unfit = true, true
		l.tell(Hung{Worker: w.id(), Probe: m.err.Error()})
	case w.role == starting && !l.inExcess(w) && l.starting.canary():
		l.attemptFailed(Failure{Worker: w.id(), Lived: l.now.Sub(w.began), Probe: m.err.Error()})
	}
}

// saysUnfit gives the starting generation up if one of its workers says that it is not fit.
func (l *loop) saysUnfit(w *worker) {
	if !l.ending.stopping && w.role == starting && !l.inExcess(w) && l.starting.in(w.slot) == w {
		l.attemptFailed(Failure{Worker: w.id(), Lived: l.now.Sub(w.began), Said: w.said, Unfit: true})
	}
}
