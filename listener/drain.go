package listener

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// newGrace is how long a connection may take to send its first request,
	// counted from the start of the drain. http.Server.Shutdown has the same.
	newGrace = 5 * time.Second

	// idleGrace is how long a kept-alive connection may take to send one more
	// request, and how long a request may run before Shutdown is called.
	idleGrace = time.Second

	drainPoll = 10 * time.Millisecond
)

// drainer follows the connections of a server until Shutdown drops nothing: until each
// connection left has a request inside the handler.
type drainer struct {
	srv         *http.Server
	handler     http.Handler
	connState   func(net.Conn, http.ConnState)
	connContext func(context.Context, net.Conn) context.Context
	draining    atomic.Bool

	mu    sync.Mutex
	began time.Time
	conns map[net.Conn]*connection
}

// connection is guarded by drainer.mu, but for the atomic fields.
type connection struct {
	state    http.ConnState
	since    time.Time    // when state was entered
	cut      bool         // the read deadline was set to the past
	handling atomic.Int32 // requests inside the handler, several with HTTP/2
	http2    atomic.Bool
}

type connectionKey struct{}

// newDrainer puts itself into the hooks of srv, in front of the user's.
func newDrainer(srv *http.Server) *drainer {
	d := &drainer{
		srv:         srv,
		handler:     srv.Handler,
		connState:   srv.ConnState,
		connContext: srv.ConnContext,
		conns:       make(map[net.Conn]*connection),
	}
	if d.handler == nil {
		d.handler = http.DefaultServeMux
	}
	srv.Handler, srv.ConnState, srv.ConnContext = d, d.changed, d.accepted
	return d
}

// accepted is called by the goroutine that accepts, before it goes on.
func (d *drainer) accepted(ctx context.Context, conn net.Conn) context.Context {
	if d.connContext != nil {
		ctx = d.connContext(ctx, conn)
	}
	c := &connection{state: http.StateNew, since: time.Now()}
	d.mu.Lock()
	d.conns[conn] = c
	d.mu.Unlock()
	return context.WithValue(ctx, connectionKey{}, c)
}

// changed is called by the goroutine that serves the connection.
func (d *drainer) changed(conn net.Conn, state http.ConnState) {
	if d.connState != nil {
		d.connState(conn, state)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(d.conns, conn)
		return
	}
	c, ok := d.conns[conn]
	if !ok {
		return
	}
	c.state, c.since = state, time.Now()
	if c.cut && state == http.StateActive {
		// The request came just before the cut: let its body be read.
		c.cut = false
		var deadline time.Time
		if d.srv.ReadTimeout > 0 {
			deadline = c.since.Add(d.srv.ReadTimeout)
		}
		conn.SetReadDeadline(deadline)
	}
}

func (d *drainer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connectionKey{}).(*connection)
	c.http2.Store(r.ProtoMajor == 2)
	c.handling.Add(1)
	defer c.handling.Add(-1)
	// A proxied upgrade would answer with two Connection headers.
	if d.draining.Load() && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close")
	}
	d.handler.ServeHTTP(w, r)
}

func (d *drainer) begin() {
	d.mu.Lock()
	d.began = time.Now()
	d.mu.Unlock()
	d.draining.Store(true)
}

// wait returns when Shutdown may be called.
func (d *drainer) wait() {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	for !d.settled(time.Now()) {
		<-poll.C
	}
}

// settled reports whether every connection left has a request inside the handler. It cuts
// connections whose grace is over.
func (d *drainer) settled(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	settled := true
	for conn, c := range d.conns {
		if c.http2.Load() {
			continue // Shutdown ends these in good order, by GOAWAY
		}
		if c.handling.Load() > 0 && now.Sub(d.began) >= idleGrace {
			continue
		}
		settled = false
		if d.overdue(c, now) {
			// Unlike Close, a deadline only ends the wait for a request: a request
			// that is read already, or at this moment, is served.
			c.cut = true
			conn.SetReadDeadline(time.Unix(1, 0))
		}
	}
	return settled
}

func (d *drainer) overdue(c *connection, now time.Time) bool {
	waited := now.Sub(d.began)
	if c.since.After(d.began) {
		waited = now.Sub(c.since)
	}
	switch c.state {
	case http.StateNew:
		return waited >= newGrace
	case http.StateIdle:
		return waited >= idleGrace
	}
	return false
}
