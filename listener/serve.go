package listener

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
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
// Once all listeners are accepting it says so by [Ready]. If that fails, the
// error goes to srv.ErrorLog and Serve goes on.
//
// Draining loses no connection that was accepted. The listeners are closed
// first; connections yet to come wait in the shared queue for another
// generation. Responses then say "Connection: close". A new connection has 5
// seconds to send the header of its first request, and one that is kept alive
// 1 second for that of its next; each request that comes in time is served to
// its end. There is no limit for a request that is being served: srv's timeouts
// or start_server's kill timeout, if any, set one. A request that takes longer
// than a second hears of the drain through srv.RegisterOnShutdown. Hijacked
// connections are not waited for. Further SIGTERMs while draining do nothing.
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
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	defer signal.Stop(terminated)

	if len(listeners) == 0 {
		var err error
		if listeners, err = defaultListeners(srv.Addr); err != nil {
			return err
		}
	}
	d := newDrainer(srv)
	sayReady(srv, len(listeners))
	served := make(chan error, len(listeners))
	for _, ln := range listeners {
		go func() { served <- srv.Serve(ln) }()
	}

	var failure error
	serving := len(listeners)
	select {
	case <-terminated:
	case <-ctx.Done():
	case failure = <-served:
		serving--
	}

	// Not yet srv.Shutdown: once it begins, net/http drops a request whose header is
	// still being read.
	d.begin()
	closeAll(listeners, served, serving)
	d.wait() // every accepted connection is known to d by now
	if err := srv.Shutdown(context.Background()); err != nil && failure == nil {
		return err
	}
	return failure
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
	switch {
	case addr == "":
		addr = ":http"
	case strings.Contains(addr, "/"): // which no host and port have
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
