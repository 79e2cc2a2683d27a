package listener

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// wakeInterval is how long a listener may take to stop accepting.
const wakeInterval = 100 * time.Millisecond

// Serve serves HTTP on the listeners until the process gets SIGTERM or ctx
// ends, then drains and returns nil. Without listeners it takes the inherited
// stream socket whatever srv.Addr says or, if there are several, those that
// srv.Addr (":http" if that is empty; a path has a slash in it) names by the rules
// of [Listen]: both ports of "0.0.0.0" and "::" for ":8080". The others are left
// to whoever listens there. If SERVER_STARTER_PORT is unset or empty it binds
// srv.Addr. To serve on all of them, pass what [ListenAll] returns; for TLS, wrap
// each listener by tls.NewListener and pass it. Serve closes the listeners.
//
// Once all listeners are accepting it says so by [Ready], unless ctx has ended by then. If
// that fails, the error goes to srv.ErrorLog and Serve goes on.
//
// Draining loses no connection that was accepted. The listeners are closed
// first; connections yet to come wait in the shared queue for another
// generation. Responses then say "Connection: close", and HTTP/2 connections get a
// GOAWAY. A new connection has 5 seconds to send the header of its first request, and
// one that is kept alive 1 second for that of its next; each request that comes in time
// is served to its end. There is no limit for a request that is being served: srv's
// timeouts or start_server's kill timeout, if any, set one. Handlers hear of the drain at
// once by [DrainingContext]. Hijacked connections are not waited for; a [Server] waits for
// them, and has other limits. Further SIGTERMs while draining do nothing.
//
// While it drains it tells the superdaemon, if NOTIFY_SOCKET is set: STOPPING=1, and
// STATUS=draining, 12 requests, at once and when that has changed, once a second at most;
// start_server --status shows it. If WATCHDOG_USEC is set, and WATCHDOG_PID is this process
// or is not set (sd_watchdog_enabled(3)), it says WATCHDOG=1 at half that time, unless the
// loop that accepts connections is stuck, or the [Server] has a Health handler that is. Of
// several servers in a process all have to drain, or be well, for that.
//
// Serve owns srv from the call on: it replaces, and calls, its Handler,
// ConnState, ConnContext and BaseContext, and shuts it down at the end, so srv
// cannot be used again. The signal is caught only while Serve runs.
//
// Serve returns an error at once if it has nothing to serve on; if srv.Addr names
// none of several sockets, the error lists them. If a listener
// fails while serving, all are drained before the error is returned;
// http.ErrServerClosed is such an error if srv was shut down by someone else.
func Serve(ctx context.Context, srv *http.Server, listeners ...net.Listener) error {
	return (&Server{HTTP: srv}).Serve(ctx, listeners...)
}

// closeAll closes the listeners and waits until none of the n that are still
// served accepts.
//
// Other superdaemons in Go clear O_NONBLOCK when they spawn. The worker's accept(2) then
// blocks, and its Close too, until a connection comes. So closeAll makes connections,
// until this process has accepted one on each listener.
func closeAll(listeners []net.Listener, served <-chan error, n int) {
	for _, ln := range listeners {
		go ln.Close()
	}
	wake := time.NewTicker(wakeInterval)
	defer wake.Stop()
	for n > 0 {
		select {
		case <-served:
			n--
		case <-wake.C:
			for _, ln := range listeners {
				addr := ln.Addr()
				if conn, err := net.DialTimeout(addr.Network(), addr.String(), wakeInterval); err == nil {
					conn.Close()
				}
			}
		}
	}
}

// defaultListeners are those to serve on if none are given.
func defaultListeners(addr string) ([]net.Listener, error) {
	network := "tcp"
	if strings.Contains(addr, "/") { // which no host and port have
		network = "unix"
	}
	if spec := GetPortsSpecification(); spec != "" {
		return takeNamed(spec, network, addr)
	}
	ln, err := net.Listen(network, addr)
	if err != nil {
		return nil, fmt.Errorf("bind %s: %w", addr, err)
	}
	return []net.Listener{ln}, nil
}

// takeNamed takes the stream sockets of spec that network and address ask for, or the
// only one there is.
func takeNamed(spec, network, address string) ([]net.Listener, error) {
	ports, err := parse(spec)
	if err != nil {
		return nil, err
	}
	streams, err := ofKind(ports, stream)
	if err != nil {
		return nil, err
	}
	if len(streams) > 1 {
		if streams, err = findAll(streams, network, address); err != nil {
			return nil, fmt.Errorf("serve on %s: %w; set the server's Addr to one of them, or pass Serve the listeners", address, err)
		}
	}
	return takeEach(streams, take)
}
