package report

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// unit is a superdaemon of made-up workers under a made-up service manager, in
// a synctest bubble.
type unit struct {
	t       *testing.T
	sup     *supervise.Supervisor
	manager *Manager
	ended   chan error

	mu       sync.Mutex
	heard    []string      // by the manager, a message each, lines joined by a blank
	logged   []string      // by us
	clock    int           // MONOTONIC_USEC
	pid      int           // of the newest worker
	broken   error         // workers cannot be started
	dies     time.Duration // new workers die after so long; 0: they do not
	drain    time.Duration // workers that are told to go take so long
	stubborn bool          // they go only at KILL
	busy     chan struct{} // the loop waits for it at its next event; nil: it does not
}

type madeUp struct {
	u    *unit
	pid  int
	exit chan int
}

func (p *madeUp) Pid() int { return p.pid }

func (p *madeUp) Ended() bool { return false }

func (p *madeUp) Wait() int { return <-p.exit }

func (p *madeUp) Signal(sig os.Signal) error {
	p.u.mu.Lock()
	defer p.u.mu.Unlock()
	switch {
	case sig == os.Kill:
		p.end(9, 0)
	case !p.u.stubborn:
		p.end(0, p.u.drain)
	}
	return nil
}

func (p *madeUp) end(status int, after time.Duration) {
	time.AfterFunc(after, func() {
		select {
		case p.exit <- status:
		default:
		}
	})
}

func (u *unit) Begin(int) error { return nil }

// Hear keeps the loop busy once, if busy is set.
func (u *unit) Hear(supervise.Event) {
	u.mu.Lock()
	busy := u.busy
	u.busy = nil
	u.mu.Unlock()
	if busy != nil {
		<-busy
	}
}

func (u *unit) Spawn(generation, slot, _ int) (supervise.Process, supervise.Settings, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.broken != nil {
		return nil, supervise.Settings{}, u.broken
	}
	u.pid++
	p := &madeUp{u: u, pid: u.pid, exit: make(chan int, 1)}
	if u.dies > 0 {
		p.end(1<<8, u.dies)
	}
	return p, supervise.Settings{}, nil
}

// runUnit runs a unit until the test stops it. prepare may change everything.
func runUnit(t *testing.T, c supervise.Config, prepare func(*unit)) *unit {
	t.Helper()
	u := &unit{t: t, ended: make(chan error, 1)}
	c.Spawner, c.RetireSignal, c.AbortSignal = u, syscall.SIGTERM, syscall.SIGTERM
	c.Interval = max(c.Interval, time.Second)
	u.manager = NewManager(func(format string, args ...any) { u.logged = append(u.logged, fmt.Sprintf(format, args...)) },
		func() { u.sup.Wake(context.Background()) })
	u.manager.send = u.hear
	u.manager.stamp = func() string {
		u.clock++
		return fmt.Sprintf("MONOTONIC_USEC=%d\n", u.clock)
	}
	c.Observers = []supervise.Observer{u, u.manager}
	if prepare != nil {
		prepare(u)
	}
	u.sup = supervise.New(c)
	go func() {
		err := u.sup.Run(context.Background(), syscall.SIGTERM)
		u.manager.End(err)
		u.ended <- err
	}()
	return u
}

func (u *unit) hear(text string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.heard = append(u.heard, strings.ReplaceAll(text, "\n", " "))
	return nil
}

// set changes what the workers do.
func (u *unit) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

// hears checks what the manager has heard since the last time, once d has passed.
func (u *unit) hears(d time.Duration, want ...string) {
	u.t.Helper()
	time.Sleep(d) // in the bubble
	synctest.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	assert.Equal(u.t, strings.Join(want, "\n"), strings.Join(u.heard, "\n"))
	u.heard = nil
}

func (u *unit) restart() { u.sup.Restart(context.Background(), "HUP") }

func (u *unit) stop(delay time.Duration) {
	u.sup.Stop(context.Background(), "TERM", syscall.SIGTERM, delay)
}

// starts runs u until its first generation is live.
func (u *unit) starts() {
	u.t.Helper()
	u.hears(0, "EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1 is starting")
	u.hears(time.Second, "READY=1 STATUS=generation 1: 1 worker serves")
}
