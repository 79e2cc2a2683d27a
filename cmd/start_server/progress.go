package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// redraw is how often the running time is updated on a terminal.
const redraw = 100 * time.Millisecond

// progress shows how a restart goes: a line for each step, and on a terminal
// one below them that is kept up to date.
type progress struct {
	out      io.Writer
	terminal bool
	stop     func() // the updates

	mu         sync.Mutex  // guards what follows
	began      time.Time   // the state that is shown
	wanted     int         // workers
	generation int         // the newest
	live       bool        // and it is
	proven     int         // workers of it
	workers    map[int]int // generations by pid
}

func newProgress(out io.Writer, s *control.Status) *progress {
	p := &progress{out: out, terminal: isTerminal(out), stop: func() {}, began: time.Now(), wanted: s.WantedWorkers}
	p.take(s)
	if p.terminal {
		p.stop = every(redraw, p.draw)
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// every calls do again and again, until the function it returns is called.
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

// close takes the last line away.
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

// draw writes the line that is kept up to date.
func (p *progress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	since := time.Since(p.began).Round(redraw)
	switch {
	case p.live:
		fmt.Fprintf(p.out, "draining for %v: %s left", since, count(p.old(), "old worker"))
	case p.generation == 0:
		fmt.Fprintf(p.out, "waiting for %v", since)
	default:
		fmt.Fprintf(p.out, "generation %d proving for %v: %d of %d", p.generation, since, p.proven, p.wanted)
	}
}

func (p *progress) printf(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// take starts from how things stand.
func (p *progress) take(s *control.Status) {
	p.workers = map[int]int{}
	for _, w := range s.Workers {
		p.workers[w.Pid] = w.Generation
	}
}

func (p *progress) event(e control.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch w := e.Worker; e.Event {
	case "started":
		if w.Generation > p.generation && !p.live {
			p.generation, p.proven, p.began = w.Generation, 0, time.Now()
		}
		p.workers[w.Pid] = w.Generation
		p.printf("generation %d: worker %d started in slot %d", w.Generation, w.Pid, w.Slot)
	case "proven":
		if w.Generation == p.generation {
			p.proven++
		}
		p.printf("generation %d: worker %d proved itself after %s", w.Generation, w.Pid, age(e.Seconds))
	case "failed":
		p.printf("generation %d failed: %s", e.Generation, printableLine(e.Reason))
		p.generation, p.began = 0, time.Now()
	case "resized":
		p.wanted = e.Wanted
	case "exited":
		delete(p.workers, w.Pid)
		if p.live {
			p.printf("old worker %d is gone, %s left", w.Pid, count(p.old(), "old worker"))
		}
	}
}

// isLive tells that a generation is, and how things stand then.
func (p *progress) isLive(generation int, s *control.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(s)
	p.generation, p.live = generation, true
	p.printf("generation %d is live, draining: %s left", generation, count(p.old(), "old worker"))
	p.began = time.Now()
}

// left is how many old workers there are.
func (p *progress) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.old()
}

func (p *progress) old() int {
	n := 0
	for _, generation := range p.workers {
		if generation < p.generation {
			n++
		}
	}
	return n
}
