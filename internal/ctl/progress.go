package ctl

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// redraw is how often a terminal is updated.
const redraw = 100 * time.Millisecond

// progress shows how a restart goes: a line for each step and, on a terminal, a last line
// that is kept up to date.
type progress struct {
	out      io.Writer
	terminal bool
	stop     func() // stops the updates

	mu         sync.Mutex     // guards what follows
	began      time.Time      // of what the last line shows
	wanted     int            // number of workers
	newest     int            // generation
	first      int            // generation that was live in the beginning
	generation int            // the starting or the new live one; 0: none, or it has failed
	live       bool           // generation is live
	asked      int            // generation that was asked for; 0: it is not live yet
	back       int            // generation that serves again in the place of asked; 0: none does
	share      float64        // per cent of the connections that generation gets as a canary
	until      time.Time      // then a canary gets more; a live generation has told all old workers to go
	workers    map[int]*shown // those that exist, by pid
	handedOver bool           // another image of the superdaemon goes on
}

// shown is what is known of a worker.
type shown struct {
	generation int
	proven     bool
	told       bool // to go
}

func newProgress(out io.Writer, s *control.Status) *progress {
	p := &progress{
		out: out, terminal: isTerminal(out), stop: func() {}, began: time.Now(),
		wanted: s.WantedWorkers, newest: max(s.Generation, s.Starting), generation: s.Starting,
		workers: shownOf(s), first: s.Generation,
	}
	if p.terminal {
		p.stop = every(redraw, p.draw)
	}
	return p
}

// every calls do each d, until stop is called.
func every(d time.Duration, do func()) (stop func()) {
	ticker := time.NewTicker(d)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-ticker.C:
				do()
			case <-end:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		ticker.Stop()
		close(end)
		<-ended
	})
}

// close stops the updates and clears the last line.
func (p *progress) close() {
	p.stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.terminal = false
}

func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// draw writes the last line.
func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	since := time.Since(p.began).Round(redraw)
	proven := p.count(func(w *shown) bool { return w.generation == p.generation && w.proven })
	proving := p.count(func(w *shown) bool { return w.generation == p.generation && !w.proven })
	told := p.count(func(w *shown) bool { return w.told })
	switch {
	case p.live && p.stays():
		fmt.Fprintf(p.out, "%s left, to be told to go within %v", text.Count(p.old(), "old worker"), time.Until(p.until).Round(redraw))
	case p.live:
		fmt.Fprintf(p.out, "draining for %v: %s left", since, text.Count(p.old(), "old worker"))
	case p.share > 0:
		fmt.Fprintf(p.out, "generation %d gets %s %% of the connections for another %v", p.generation, strconv.FormatFloat(p.share, 'f', -1, 64), max(0, time.Until(p.until)).Round(redraw))
	case p.generation == 0:
		fmt.Fprintf(p.out, "waiting for %v for the next attempt", since)
	case told > 0 && proving == 0:
		fmt.Fprintf(p.out, "generation %d, %d of %d proven: waiting for %v for %s to go", p.generation, proven, p.wanted, since, text.Count(told, "old worker"))
	default:
		fmt.Fprintf(p.out, "generation %d proving for %v: %d of %d", p.generation, since, proven, p.wanted)
	}
}

func (p *progress) printf(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *progress) event(e control.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := e.Worker
	if w == nil {
		w = &control.ID{}
	}
	switch e.Event {
	case "started":
		p.started(w)
	case "proven":
		if v := p.workers[w.Pid]; v != nil {
			v.proven, p.began = true, time.Now()
		}
		p.printf("generation %d: worker %d proved itself after %s", w.Generation, w.Pid, age(e.Seconds))
	case "retiring":
		if p.live && p.stays() {
			p.began = time.Now()
		}
		for _, old := range e.Workers {
			if v := p.workers[old.Pid]; v != nil {
				v.told = true
			}
		}
	case "failed":
		p.share = 0
		p.printf("generation %d failed: %s", e.Generation, oneLine(e.Reason))
		p.generation, p.began = 0, time.Now()
	case "canary":
		p.began = time.Now()
		if e.Percent != nil {
			p.share, p.until = *e.Percent, p.began.Add(time.Duration(e.Seconds*float64(time.Second)))
			p.printf("generation %d gets %s %% of the connections for %s", e.Generation, strconv.FormatFloat(p.share, 'f', -1, 64), age(e.Seconds))
		}
	case "waiting":
		p.printf("waiting for %s to go: the next generation needs their sockets", text.Count(len(e.Workers), "old worker"))
	case "live":
		p.share = 0
		p.generation, p.live, p.began = e.Generation, true, time.Now()
		p.until = p.began.Add(time.Duration(e.Seconds * float64(time.Second)))
		if p.stays() {
			p.printf("generation %d is live, %s left, to be told to go within %s", e.Generation, text.Count(p.old(), "old worker"), age(e.Seconds))
			return
		}
		p.printf("generation %d is live, draining: %s left", e.Generation, text.Count(p.old(), "old worker"))
	case "rolled-back":
		p.rolledBack(e.Generation)
	case "resized":
		p.wanted = e.Wanted
	case "missed":
		if e.Now != nil {
			p.restate(e.Now)
		}
	case "exited":
		p.exited(w)
	case "handed-over":
		p.handedOver = true
	}
}

func (p *progress) isHandedOver() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handedOver
}

// goesOn continues with the status of another image of the superdaemon.
func (p *progress) goesOn(s *control.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handedOver = false
	p.restate(s)
}

// restate begins anew from how things stand, because some events were missed.
func (p *progress) restate(s *control.Status) {
	p.wanted, p.workers = s.WantedWorkers, shownOf(s)
	if s.Generation > 0 {
		p.rolledBack(s.Generation)
	}
	switch {
	case s.Starting > 0:
		p.newest, p.generation, p.live = max(p.newest, s.Starting), s.Starting, false
	case s.Generation > p.first:
		p.isLive(s.Generation)
	default:
		p.generation, p.live = 0, false
	}
}

// answered notes that a generation is live, in case that event was missed.
func (p *progress) answered(generation int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = generation
	if p.generation < generation {
		p.isLive(generation)
	}
}

// rolledBack notes that an older generation than the one that was asked for is live.
func (p *progress) rolledBack(to int) {
	if to < p.asked && p.back == 0 {
		p.back = to
	}
}

// isBack returns the generation that serves again in the place of the one that was asked for; 0:
// none does.
func (p *progress) isBack() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.back
}

// drained reports whether there is nothing left to wait for once the generation that was asked for
// has gone live.
func (p *progress) drained() bool { return p.isBack() > 0 || p.left() == 0 }

// isLive notes which generation is live.
func (p *progress) isLive(generation int) {
	p.newest = max(p.newest, generation)
	p.generation, p.live = generation, true
}

// shownOf are the workers of a status.
func shownOf(s *control.Status) map[int]*shown {
	workers := map[int]*shown{}
	for _, w := range s.Workers {
		if w.State == supervise.StateMissing {
			continue // it does not exist, so it need not go
		}
		workers[w.Pid] = &shown{generation: w.Generation, proven: w.State != supervise.StateProving, told: w.State == supervise.StateDraining}
	}
	return workers
}

func (p *progress) started(w *control.ID) {
	if w.Generation > p.newest {
		p.newest, p.generation, p.live = w.Generation, w.Generation, false
		p.began = time.Now()
	}
	p.workers[w.Pid] = &shown{generation: w.Generation}
	p.printf("generation %d: worker %d started in slot %d", w.Generation, w.Pid, w.Slot)
}

func (p *progress) exited(w *control.ID) {
	delete(p.workers, w.Pid)
	if p.live && w.Generation < p.generation {
		p.printf("old worker %d is gone, %s left", w.Pid, text.Count(p.old(), "old worker"))
	}
}

// left is how many workers still exist that are older than the generation that was asked for.
// Later generations do not matter.
func (p *progress) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count(func(w *shown) bool { return w.generation < cmp.Or(p.asked, p.generation) })
}

// old is how many workers are older than the generation that is shown.
func (p *progress) old() int {
	return p.count(func(w *shown) bool { return w.generation < p.generation })
}

// stays reports whether a new generation is live, and no old worker was told to go yet.
func (p *progress) stays() bool {
	told := p.count(func(w *shown) bool { return w.generation < p.generation && w.told })
	return told == 0 && p.old() > 0 && time.Now().Before(p.until)
}

func (p *progress) count(match func(*shown) bool) int {
	n := 0
	for _, w := range p.workers {
		if match(w) {
			n++
		}
	}
	return n
}
