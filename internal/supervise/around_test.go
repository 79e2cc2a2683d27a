package supervise

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
)

// This file has the functions of Config that the loop calls, other than the Spawner.

// hurry is Config.Hurry.
func (w *world) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	assert.False(w.t, w.isHurried(), "hurried twice")
	close(w.hurried)
}

func (w *world) isHurried() bool {
	select {
	case <-w.hurried:
		return true
	default:
		return false
	}
}

var errHurried = errors.New("hurried")

// takes takes d, unless a stop hurries it. It is called with the lock held.
func (w *world) takes(d time.Duration) error {
	if d == 0 {
		return nil
	}
	w.mu.Unlock()
	defer w.mu.Lock()
	select {
	case <-time.After(d):
		return nil
	case <-w.hurried:
		return errHurried
	}
}

// hearRest is Config.CatchUp: the notice that it waits for says that a worker is ready.
func (w *world) hearRest() {
	var said *fakeProc
	var sup *Supervisor
	var image int
	w.locked(func() {
		sup, image = w.sup, w.image
		if i := slices.IndexFunc(w.procs, func(p *fakeProc) bool { return !p.gone && !w.proven[p.id.Pid] }); i >= 0 && w.procs[i].id.Pid%2 == 0 {
			said = w.procs[i]
		}
	})
	<-time.After(200 * time.Millisecond)
	if said == nil {
		return
	}
	sup.Notify(w.t.Context(), Notice{Pids: []int{said.Pid()}, Ready: true})
	w.locked(func() { w.heard[said.id.Pid] = w.image == image }) // the last image hears nothing
}

// checkLate checks that no worker counts as late that was heard in time.
func (w *world) checkLate(f Failure) {
	assert.False(w.t, w.sup.config.Proof.notice && f.Late && w.heard[f.Pid], "%v is late, and was heard", f.Worker)
}

// group is what a process has left behind.
type group struct {
	w       *world
	of      Worker
	signals []os.Signal
	waited  int
	gone    chan struct{}
}

// leave is Config.Leftovers. One process of three leaves nothing behind. One leaves a group
// that goes when it is told to, and one a group that goes only at KILL.
func (w *world) leave(p Process) Leftovers {
	<-time.After(50 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Pid()%3 == 0 {
		return nil
	}
	g := &group{w: w, of: Worker{Pid: p.Pid()}, gone: make(chan struct{})}
	w.groups = append(w.groups, g)
	if slices.Contains(w.process(p.Pid()).signals, os.Kill) {
		close(g.gone) // the group was sent KILL, too
	}
	return g
}

func (g *group) Pids() []int { return []int{1000 + g.of.Pid} }

func (g *group) Signal(sig os.Signal) error {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	assert.NotContains(g.w.t, g.signals, sig, "invariant 5: the group of %d signalled again", g.of.Pid)
	g.signals = append(g.signals, sig)
	switch {
	case g.isGone():
	case sig == os.Kill:
		close(g.gone)
	case g.of.Pid%3 == 1:
		go func() {
			<-time.After(time.Second)
			g.w.locked(func() {
				if !g.isGone() {
					close(g.gone)
				}
			})
		}()
	}
	return nil
}

func (g *group) isGone() bool {
	select {
	case <-g.gone:
		return true
	default:
		return false
	}
}

func (g *group) Wait() {
	g.w.locked(func() { g.waited++ })
	<-g.gone
}

// checkGroups is invariant 2 for what is left behind: it is told to go. If it was killed, or
// there is a KillTimeout, it is also waited for.
func (w *world) checkGroups() {
	for _, g := range w.groups {
		killed := slices.Contains(w.process(g.of.Pid).signals, os.Kill)
		assert.True(w.t, killed || len(g.signals) > 0, "the group of %d was not told to go", g.of.Pid)
		if killed || w.sup.config.KillTimeout > 0 {
			assert.Equal(w.t, 1, g.waited, "the group of %d was not waited for once", g.of.Pid)
			assert.True(w.t, g.isGone(), "the group of %d is left", g.of.Pid)
		}
	}
}
