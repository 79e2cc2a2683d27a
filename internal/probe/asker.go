package probe

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Asker asks the workers of a superdaemon for its loop. Its fields are set before its first use,
// and not changed after that. A nil Asker has nothing to ask and nothing to open.
//
// It has one Checker after the other: the process that asks ends before another image of the
// superdaemon goes on, because that image could not reap it.
type Asker struct {
	// New makes a Checker that lacks its Sockets.
	New func() *Checker
	// Sockets returns the bound sockets. It is called from Open on.
	Sockets func() []fdenv.Socket
	// Connect opens a connection that only workers of a slot and side can accept; see Target.
	Connect func(ctx context.Context, place, slot, side int) (fd int, err error)
	// Rivals returns other processes that have the sockets of a worker.
	Rivals func(ctx context.Context, w supervise.Worker) []int

	now atomic.Pointer[Checker] // nil: it is not open
}

// Try says why Open would fail.
func (a *Asker) Try() error {
	if a == nil {
		return nil
	}
	return a.New().Check()
}

// Open makes it ready to ask, when the sockets are bound.
func (a *Asker) Open() error {
	if err := a.Try(); err != nil || a == nil {
		return err
	}
	a.begin()
	return nil
}

func (a *Asker) begin() {
	c := a.New()
	c.Sockets = a.Sockets()
	a.now.Store(c)
}

// Close closes the Checker. Without an Open before it does nothing.
func (a *Asker) Close() error {
	if c := a.checker(); c != nil {
		c.Close()
	}
	return nil
}

func (a *Asker) checker() *Checker {
	if a == nil {
		return nil
	}
	return a.now.Load()
}

// Hand is Close before another image goes on. again makes the Asker ready again, if that image
// does not go on.
func (a *Asker) Hand() (again func()) {
	if a.checker() == nil {
		return func() {}
	}
	_ = a.Close()
	return a.begin
}

// Ask is supervise.Config.Probe. It blocks as Pass does and, with again, as Still.
func (a *Asker) Ask(ctx context.Context, w supervise.Worker, side int, again bool) error {
	target := Target{Pid: w.Pid, Generation: w.Generation, Slot: w.Slot}
	target.Connect = func(ctx context.Context, place int) (int, error) {
		return a.Connect(ctx, place, w.Slot, side)
	}
	target.Rivals = func(ctx context.Context) []int { return a.Rivals(ctx, w) }
	c := a.checker()
	do := c.Pass
	if again {
		do = c.Still
	}
	err := do(ctx, target)
	if errors.Is(err, ErrClosed) { // another image is to go on
		return supervise.ErrNotAsked
	}
	return err
}
