package listener

import (
	"cmp"
	"context"
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	drainPoll    = 10 * time.Millisecond
	shutdownPoll = 100 * time.Millisecond // from the call of Shutdown on
)

// drainer follows the connections of a server until Shutdown would drop no request: until
// each connection left has a request inside the handler.
type drainer struct {
	srv         *http.Server
	program     *program
	handler     http.Handler
	health      http.Handler
	baseContext func(net.Listener) context.Context
	connState   func(net.Conn, http.ConnState)
	connContext func(context.Context, net.Conn) context.Context

	timeout, newGrace, idleGrace time.Duration

	ctx       context.Context // of Serve
	acceptors []*acceptor
	accepting atomic.Int64
	ill       bool // the last answer of health was bad

	draining context.Context // done from begin on
	announce context.CancelCauseFunc

	mu       sync.Mutex
	began    time.Time
	conns    map[net.Conn]*connection
	hijacked hijacked
}

// connection is guarded by drainer.mu, except for its atomic fields.
type connection struct {
	state    http.ConnState
	since    time.Time    // when state was entered
	cut      bool         // the read deadline was set to the past
	handling atomic.Int32 // requests inside the handler, several with HTTP/2
	http2    atomic.Bool
}

type connectionKey struct{}

// newDrainer makes the drainer the handler and the hooks of the server. It calls the user's.
func newDrainer(s *Server) *drainer {
	srv := s.HTTP
	if srv == nil {
		srv = &http.Server{}
	}
	d := &drainer{
		srv:         srv,
		program:     s.program,
		handler:     srv.Handler,
		health:      s.Health,
		baseContext: srv.BaseContext,
		connState:   srv.ConnState,
		connContext: srv.ConnContext,
		timeout:     s.DrainTimeout,
		newGrace:    cmp.Or(s.NewGrace, defaultNewGrace),
		idleGrace:   cmp.Or(s.IdleGrace, defaultIdleGrace),
		conns:       make(map[net.Conn]*connection),
		hijacked:    hijacked{counted: s.DrainTimeout > 0 || s.TellHijacked != nil, tell: s.TellHijacked},
	}
	if d.program == nil {
		d.program = this
	}
	if d.handler == nil {
		d.handler = http.DefaultServeMux
	}
	d.draining, d.announce = context.WithCancelCause(context.Background())
	srv.Handler, srv.BaseContext, srv.ConnState, srv.ConnContext = d, d.begun, d.changed, d.accepted
	return d
}

// begun is called when the server begins to accept on a listener.
func (d *drainer) begun(ln net.Listener) context.Context {
	ctx := context.Background()
	if a, ok := ln.(*acceptor); ok {
		ln = a.Listener
	}
	if d.baseContext != nil {
		ctx = d.baseContext(ln)
	}
	if d.accepting.Add(1) == int64(len(d.acceptors)) && d.ctx.Err() == nil && d.draining.Err() == nil {
		d.program.accepts(d)
	}
	return context.WithValue(ctx, drainerKey{}, d)
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
	case http.StateHijacked:
		d.hijacked.add(conn, time.Now())
		fallthrough
	case http.StateClosed:
		delete(d.conns, conn)
		return
	}
	c, ok := d.conns[conn]
	if !ok {
		return
	}
	if c.state == http.StateNew && speaksHTTP2(conn) {
		c.http2.Store(true)
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
	if d.draining.Err() != nil && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close")
	}
	d.handler.ServeHTTP(w, r)
}

// begin announces the drain: to contexts, to what waits for Draining, to the superdaemon.
func (d *drainer) begin() {
	d.mu.Lock()
	d.began = time.Now()
	d.mu.Unlock()
	d.announce(ErrDraining)
	announce()
	d.program.drains(d)
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
		if c.handling.Load() > 0 && now.Sub(d.began) >= d.idleGrace {
			continue
		}
		settled = false
		if d.overdue(c, now) {
			// Unlike Close, a deadline only ends the wait for a request. A request
			// that was read before, or is read at this moment, is served.
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
		return waited >= d.newGrace
	case http.StateIdle:
		return waited >= d.idleGrace
	}
	return false
}

// tally is what is left of a drain.
type tally struct{ requests, hijacked, idle int }

func (t tally) String() string {
	said := count(t.requests, "request")
	if t.hijacked > 0 {
		said += ", " + count(t.hijacked, "hijacked connection")
	}
	if t.idle > 0 {
		said += ", " + count(t.idle, "idle connection")
	}
	return said
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

func (t tally) plus(other tally) tally {
	return tally{t.requests + other.requests, t.hijacked + other.hijacked, t.idle + other.idle}
}

// tally counts what is left.
func (d *drainer) tally() tally {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := tally{hijacked: d.hijacked.open()}
	for _, c := range d.conns {
		if n := int(c.handling.Load()); n > 0 {
			t.requests += n
		} else {
			t.idle++
		}
	}
	return t
}

// cut closes all connections. A TLS connection would first wait for its peer to read the
// close notice, so cut closes the connection below it.
func (d *drainer) cut() {
	d.mu.Lock()
	left := slices.AppendSeq(slices.Collect(maps.Keys(d.conns)), maps.Keys(d.hijacked.conns))
	d.mu.Unlock()
	for _, conn := range left {
		underlying(conn).Close()
	}
	d.srv.Close()
}

// speaksHTTP2 reports whether TLS negotiated HTTP/2 for the connection.
func speaksHTTP2(conn net.Conn) bool {
	c, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && c.ConnectionState().NegotiatedProtocol == "h2"
}
