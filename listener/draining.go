package listener

import (
	"context"
	"errors"
)

// ErrDraining is the context.Cause of a [DrainingContext] that ended because its server drains.
var ErrDraining = errors.New("the server drains")

// drains is done when the first server of this process drains. Done is called here to make
// its channel: a channel made in a testing/synctest bubble would belong to that bubble.
var drains, announce = func() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ctx.Done()
	return ctx, func() { cancel(ErrDraining) }
}()

// Draining returns a channel that is closed when the process begins to drain. The first
// server to drain closes it, be it of [Serve] or a [Server]: at SIGTERM, when the context of
// that server ends, or when one of its listeners fails. The channel is always the same, and
// stays closed. It is for work beside requests: to end a poller, to write a cache. Draining
// does not block.
func Draining() <-chan struct{} { return drains.Done() }

type drainerKey struct{}

// DrainingContext returns a copy of parent that also ends when the server begins to drain,
// which is when it closes its listeners. It follows the server if parent comes from the
// context of a request, or of a connection, that [Serve] made. With any other parent it
// follows the process, as [Draining] does. A handler that streams, or waits, selects on it:
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
// handler returns. The caller calls cancel when it no longer needs the context.
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
