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

// Orphan is a worker that a superdaemon has left behind which was killed. Its handle is of
// that very process, whoever gets its pid later.
type Orphan struct {
	Pid    int
	Handle int // a pidfd
	Parent int
}

// Orphans are those workers that a status file lists. The zero Orphans are none.
type Orphans struct {
	All []*Orphan // changes until Close returns, once Retire was called
	Log func(format string, args ...any)

	mu     sync.Mutex
	closed bool
	cancel context.CancelFunc
	done   chan struct{} // closed when they are gone, or let be; nil: they were not told to go
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

// Retire tells them to go after a delay, and kills those that are still there a timeout after
// that; 0: it does not. It does not block, and does nothing the second time, after Close,
// and for nil.
func (o *Orphans) Retire(sig os.Signal, delay, timeout time.Duration) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.done != nil || len(o.All) == 0 {
		return
	}
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	o.done = make(chan struct{})
	go func() {
		defer close(o.done)
		o.retire(ctx, sig, delay, timeout)
	}()
}

func (o *Orphans) retire(ctx context.Context, sig os.Signal, delay, timeout time.Duration) {
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	o.Log("sending %s to workers of a %s:%s", text.SignalName(sig), killed, o)
	for _, p := range o.All {
		p.signal(sig)
	}
	var late <-chan time.Time
	stop := ctx.Done()
	if timeout > 0 {
		late, stop = time.After(timeout), nil // which bounds a stop, too
	}
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for !o.reap() {
		select {
		case <-tick.C:
		case <-stop:
			return
		case <-late:
			o.Log("workers of a %s are still there %s secs after they were told to go, sending KILL:%s", killed, text.Seconds(timeout), o)
			for _, p := range o.All {
				p.signal(os.Kill)
			}
			stop = ctx.Done()
		}
	}
}

// killed is whose workers they are.
const killed = "superdaemon that was killed"

// orphanPoll is how often it is looked whether they are gone.
const orphanPoll = 20 * time.Millisecond

// reap drops those that are gone, and tells whether all are.
func (o *Orphans) reap() bool {
	o.Keep(func(p *Orphan) bool {
		gone := p.gone()
		if gone {
			o.Log("worker %d of a %s is gone", p.Pid, killed)
		}
		return !gone
	})
	return len(o.All) == 0
}

// Close lets them be. Those that were told to go, and are to be killed by a timeout, are
// waited for until then.
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
