package runfile

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// Orphan is a worker of a superdaemon that was killed. Its handle stays that of this process,
// even if another one gets its pid later.
type Orphan struct {
	Pid    int
	Handle int // a pidfd
	Parent int
}

// Orphans are those workers that a status file lists. The zero value has none.
type Orphans struct {
	All []*Orphan // changes from Retire until Close returns
	Log func(format string, args ...any)

	mu     sync.Mutex
	closed bool
	cancel context.CancelFunc
	done   chan struct{} // closed when they are gone, or left alone; nil: they are not to go yet

	acting   sync.Mutex // held while something is done to them
	plan     Retirement
	killedAt time.Time // zero: they were not
}

// Retirement is how they are told to go.
type Retirement struct {
	Signal  os.Signal
	At      time.Time // zero: they are not to go yet
	Told    bool
	Timeout time.Duration // from Signal to KILL; 0: never
	KillAt  time.Time     // zero: never, not known yet, or KILL was sent
}

// Keep closes the handles of those orphans that are not wanted.
func (o *Orphans) Keep(wanted func(*Orphan) bool) {
	o.All = slices.DeleteFunc(o.All, func(p *Orphan) bool {
		if wanted(p) {
			return false
		}
		p.close()
		return true
	})
}

func (o *Orphans) String() string {
	var pids []string
	for _, p := range o.All {
		pids = append(pids, fmt.Sprint(p.Pid))
	}
	return strings.Join(pids, ",")
}

// Retire tells them to go after a delay. It kills those that are still there a timeout after
// that; 0: it does not. It does not block. It does nothing the second time, after Close, and
// for nil.
func (o *Orphans) Retire(sig os.Signal, delay, timeout time.Duration) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.done != nil || len(o.All) == 0 {
		return
	}
	o.acting.Lock()
	o.plan = Retirement{Signal: sig, At: time.Now().Add(delay), Timeout: timeout}
	o.acting.Unlock()
	o.begin()
}

// begin carries out the plan in another goroutine.
func (o *Orphans) begin() {
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	o.done = make(chan struct{})
	go func() {
		defer close(o.done)
		o.retire(ctx)
	}()
}

func (o *Orphans) retire(ctx context.Context) {
	select {
	case <-time.After(time.Until(o.plan.At)):
	case <-ctx.Done():
		return
	}
	o.tell()
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for !o.reap() {
		stop := ctx.Done()
		if !o.plan.KillAt.IsZero() || time.Since(o.killedAt) < dying {
			stop = nil // Close waits for KILL
		}
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		o.kill()
	}
}

// tell tells them to go.
func (o *Orphans) tell() {
	o.acting.Lock()
	defer o.acting.Unlock()
	if o.plan.Told {
		return
	}
	o.plan.Told = true
	o.Log("sending %s to workers of a %s:%s", text.SignalName(o.plan.Signal), killed, o)
	for _, p := range o.All {
		p.signal(o.plan.Signal)
	}
	if o.plan.Timeout > 0 {
		o.plan.KillAt = time.Now().Add(o.plan.Timeout)
	}
}

// kill kills those that are left, when their time is over.
func (o *Orphans) kill() {
	o.acting.Lock()
	defer o.acting.Unlock()
	if o.plan.KillAt.IsZero() || time.Now().Before(o.plan.KillAt) {
		return
	}
	o.plan.KillAt, o.killedAt = time.Time{}, time.Now()
	o.Log("workers of a %s are still there %s secs after they were told to go, sending KILL:%s", killed, text.Seconds(o.plan.Timeout), o)
	for _, p := range o.All {
		p.signal(os.Kill)
	}
}

// killed is whose workers they are.
const killed = "superdaemon that was killed"

// dying is how long a killed process may take to be gone: it may wait for a disk.
const dying = time.Second

// orphanPoll is how often reap looks whether they are gone.
const orphanPoll = 20 * time.Millisecond

// reap drops those that are gone, and tells whether all are.
func (o *Orphans) reap() bool {
	o.acting.Lock()
	defer o.acting.Unlock()
	o.Keep(func(p *Orphan) bool {
		gone := p.gone()
		if gone {
			o.Log("worker %d of a %s is gone", p.Pid, killed)
		}
		return !gone
	})
	return len(o.All) == 0
}

// Close leaves them alone. If they were told to go and a timeout is to kill them, it first
// blocks until they are gone, or for up to 1 s after KILL.
func (o *Orphans) Close() error {
	o.mu.Lock()
	o.closed = true
	done := o.done
	if done != nil {
		o.cancel()
	}
	o.mu.Unlock()
	if done != nil {
		<-done
	}
	if len(o.All) > 0 {
		o.Log("workers of a %s go on:%s", killed, o)
	}
	o.Keep(func(*Orphan) bool { return false })
	return nil
}

// HeldOrphans are Orphans as one image of this program hands them over to the next.
type HeldOrphans struct {
	Orphans []Orphan
	Plan    Retirement
}

// Hand returns them as they are; nil: there are none. Nothing is done to them until again is
// called.
func (o *Orphans) Hand() (h *HeldOrphans, again func()) {
	if o == nil {
		return nil, func() {}
	}
	o.acting.Lock()
	if len(o.All) == 0 {
		return nil, o.acting.Unlock
	}
	h = &HeldOrphans{Plan: o.plan}
	for _, orphan := range o.All {
		h.Orphans = append(h.Orphans, *orphan)
	}
	return h, o.acting.Unlock
}

// AdoptOrphans takes over those of the last image. Nothing is done to them until GoOn is called.
func AdoptOrphans(h *HeldOrphans, log func(format string, args ...any)) *Orphans {
	o := &Orphans{Log: log, plan: h.Plan}
	for _, orphan := range h.Orphans {
		o.All = append(o.All, &orphan)
	}
	return o
}

// Asked tells whether they are to go, at once or after a delay.
func (o *Orphans) Asked() bool {
	o.acting.Lock()
	defer o.acting.Unlock()
	return !o.plan.At.IsZero()
}

// GoOn carries out the plan of the last image. It does nothing after Close, and for nil.
func (o *Orphans) GoOn() {
	if o == nil || !o.Asked() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed && o.done == nil {
		o.begin()
	}
}
