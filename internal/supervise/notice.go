package supervise

import (
	"slices"
	"time"
)

// notices holds what cannot be told yet, and counts what is ignored.
type notices struct {
	unsaid    []*worker // whose STATUS line is to be told when statusPause is over
	early     []Notice  // the sender may be a worker whose spawn is in the mail
	strangeAt time.Time // the last StrangeNotice
	strange   int       // ignored since
}

// strangePause is the least time between two StrangeNotice: any process of the
// machine may send as many as it likes, and must not flood the log.
const strangePause = time.Minute

// maxEarly bounds how many notices are kept that came before their workers.
const maxEarly = 1000

// onNotice finds the worker that a notice is for: the sender, or its nearest ancestor that
// is a worker.
func (l *loop) onNotice(n Notice) {
	for _, pid := range n.Pids {
		w := l.find(pid)
		if w == nil {
			continue
		}
		n.answer(true)
		w.ready = w.ready || n.Ready && !l.Proof.probe // a probe alone decides
		w.stopping = w.stopping || n.Stopping
		if n.Alive || n.Ready {
			w.saysAlive(l.now)
		}
		if n.Status != nil {
			w.said = *n.Status
			l.says(w)
		}
		if n.Abort {
			l.saysUnfit(w)
		}
		return
	}
	if l.spawning() && len(l.notices.early) < maxEarly {
		l.notices.early = append(l.notices.early, n)
		return
	}
	n.answer(false)
	switch {
	case len(n.Pids) > 0 && l.now.Before(l.notices.strangeAt.Add(strangePause)):
		l.notices.strange++
	case len(n.Pids) > 0:
		l.tell(StrangeNotice{n.Pids[0], l.notices.strange})
		l.notices.strange, l.notices.strangeAt = 0, l.now
	}
}

// statusPause is the least time between two Noticed of a worker. Of the STATUS lines that
// come in between only the last one is told.
const statusPause = 100 * time.Millisecond

// says tells what a worker says, at once or when statusPause is over.
func (l *loop) says(w *worker) {
	switch {
	case !l.now.Before(w.saidAt.Add(statusPause)):
		w.saidAt = l.now
		l.tell(Noticed{w.id(), w.said})
	case !slices.Contains(l.notices.unsaid, w):
		l.notices.unsaid = append(l.notices.unsaid, w)
	}
}

// sayRest tells what workers have said during statusPause.
func (l *loop) sayRest() {
	l.notices.unsaid = slices.DeleteFunc(l.notices.unsaid, func(w *worker) bool {
		if l.find(w.process.Pid()) != w {
			return true // it has gone
		}
		if !l.due(w.saidAt.Add(statusPause)) {
			return false
		}
		w.saidAt = l.now
		l.tell(Noticed{w.id(), w.said})
		return true
	})
}

func (n Notice) answer(counts bool) {
	if n.counts != nil {
		n.counts <- counts
	}
}

// reconsider looks again at the early notices when a spawn is over.
func (l *loop) reconsider() {
	early := l.notices.early
	l.notices.early = nil
	for _, n := range early {
		l.onNotice(n)
	}
}

// spawning tells whether the pid of some worker is not known yet.
func (l *loop) spawning() bool {
	for w := range l.workers() {
		if w.process == nil {
			return true
		}
	}
	return false
}

// find returns the worker of that pid, nil if there is none.
func (l *loop) find(pid int) *worker {
	for w := range l.workers() {
		if w.process != nil && w.process.Pid() == pid {
			return w
		}
	}
	return nil
}
