package listener

import (
	"context"
	"errors"
)

// ErrDraining is the cause of the end of a [DrainingContext] whose server drains.
var ErrDraining = errors.New("the server drains")

// drains is done when the first server of this process drains. Its channel is made here:
// in a bubble of testing/synctest it would belong to that.
var drains, announce = func() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ctx.Done()
	return ctx, func() { cancel(ErrDraining) }
}()

// Draining returns a channel that is closed when the process begins to drain: when the
// first [Serve] of it, or Serve of a [Server], gets SIGTERM, its context ends, or a listener
// of it fails. The channel is always the same, and stays closed. It is for what runs beside
// requests: a poller ends, a cache is written. Draining does not block.
func Draining() <-chan struct{} { return drains.Done() }

type drainerKey struct{}

// DrainingContext returns a copy of parent that also ends when the server drains, from the
// moment that it closes its listeners. parent is the context of a request, or of one
// that [Serve] has made a connection for; of any other, the process counts as for
// [Draining]. A handler that streams, or waits, selects on it:
//
//	ctx, cancel := listener.DrainingContext(r.Context())
//	defer cancel()
//	select {
//	case event := <-events:
//	case <-ctx.Done(): // the client has gone, or the server drains
//	}
//
// context.Cause tells which: it is [ErrDraining] if the server drains. The request itself
// goes on, and its own context is not touched; after Hijack that context ends when the
// handler returns. The caller calls cancel when it needs the context no more.
// DrainingContext does not block.
func DrainingContext(parent context.Context) (context.Context, context.CancelFunc) {
	server := drains
	if d, ok := parent.Value(drainerKey{}).(*drainer); ok {
		server = d.draining
	}
	ctx, cancel := context.WithCancelCause(parent)
	stop := context.AfterFunc(server, func() { cancel(ErrDraining) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}
