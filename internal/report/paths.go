package report

import (
	"sync/atomic"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Paths looks whether the sockets are still at their paths, and tells of those that are
// not. It looks when a worker has died, as some remove paths when they end. It also looks
// when a restart is asked for: without the control socket an operator has only HUP.
type Paths struct {
	Out  *output.Output
	Name string // of the superdaemon
	// Lost returns the paths of bound sockets that are gone. Lost and Renew are called from
	// the output's goroutine.
	Lost func() []string
	// Renew makes the control socket anew if it is gone, and returns whether it was.
	Renew func() (lost bool, err error)

	waiting atomic.Bool     // look is in the output's queue
	told    map[string]bool // paths and faults that were told; touched in the output's queue only
}

// Hear has the paths looked at when an event calls for that.
func (p *Paths) Hear(e supervise.Event) {
	switch e.(type) {
	case supervise.Died, supervise.RestartAsked, supervise.Refused:
		if !p.waiting.Swap(true) {
			p.Out.Do(p.look)
		}
	}
}

// look tells once of each path that is gone, and each time that the control socket is made anew.
func (p *Paths) look() {
	p.waiting.Store(false)
	for _, path := range p.Lost() {
		if p.isNews(path) {
			p.Out.Warnf("%s was removed: new connections to it fail until %s is restarted", path, p.Name)
		}
	}
	switch lost, err := p.Renew(); {
	case err != nil:
		if p.isNews(err.Error()) {
			p.Out.Warnf("the control socket was removed, and could not be made anew: %v", err)
		}
	case lost:
		p.Out.Warnf("the control socket was removed: it was made anew")
	}
}

// isNews tells whether a path or a fault was not told yet.
func (p *Paths) isNews(what string) bool {
	if p.told == nil {
		p.told = map[string]bool{}
	}
	told := p.told[what]
	p.told[what] = true
	return !told
}
