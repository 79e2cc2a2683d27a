package listener

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// wakeInterval is how long a listener may take to stop accepting before it is woken.
const wakeInterval = 100 * time.Millisecond

// Serve serves HTTP on the listeners until the process gets SIGTERM or ctx
// ends, then drains and returns nil. Serve closes the listeners. To serve on all
// inherited sockets, pass what [ListenAll] returns. For TLS, wrap each listener by
// tls.NewListener and pass it.
//
// Without listeners Serve takes the inherited stream socket, whatever srv.Addr says.
// If there are several, it takes those that srv.Addr names by the rules of [Listen],
// and leaves the others. For ":8080" it takes both "0.0.0.0" and "::". An empty Addr
// is ":http"; one with a slash is a path. If SERVER_STARTER_PORT is unset or empty,
// Serve binds srv.Addr.
//
// Once it accepts on all listeners it says so by [Ready], unless ctx has ended by then. If
// that fails, the error goes to srv.ErrorLog and Serve goes on.
//
// Draining loses no connection that was accepted. The listeners are closed
// first; connections that come later wait in the shared queue for another
// generation. Responses then say "Connection: close", and HTTP/2 connections get a
// GOAWAY. A new connection has 5 seconds to send the header of its first request. One
// that is kept alive has 1 second to send the next header. Each request that comes in
// time is served to its end. Serve sets no limit for a request that is being served;
// srv's timeouts or start_server's kill timeout may. Handlers learn of the drain at
// once by [DrainingContext]. Hijacked connections are not waited for; a [Server] waits for
// them, and has other limits. Further SIGTERMs while draining do nothing.
//
// If NOTIFY_SOCKET is set, Serve tells the superdaemon of the drain: STOPPING=1, and
// STATUS=draining, 12 requests. It does so at once, and repeats STATUS when that has changed,
// at most once a second; start_server --status shows it. If there are several servers in
// the process, this begins when all of them drain.
//
// If WATCHDOG_USEC is set too, and WATCHDOG_PID is this process or is not set
// (sd_watchdog_enabled(3)), Serve says WATCHDOG=1 at half that time. It is silent while a
// loop that accepts connections is stuck, or the Health handler of a [Server] is not well. If
// there are several servers in the process, all of them have to be well.
//
// Serve owns srv from the call on. It replaces the Handler, ConnState, ConnContext and
// BaseContext, and calls the ones that were set. It shuts srv down at the end, so srv
// cannot be used again. The signal is caught only while Serve runs.
//
// Serve returns an error at once if it has nothing to serve on. If srv.Addr names
// none of several sockets, the error lists them. If a listener fails while serving, all
// are drained before the error is returned. The error is http.ErrServerClosed if the
// program itself shut srv down.
func Serve(ctx context.Context, srv *http.Server, listeners ...net.Listener) error {
	return (&Server{HTTP: srv}).Serve(ctx, listeners...)
}

// closeAll closes the listeners and waits until the n that are still served have
// stopped accepting.
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

// defaultListeners returns the listeners to serve on if none are given.
func defaultListeners(addr string) ([]net.Listener, error) {
	network := "tcp"
	if strings.Contains(addr, "/") { // HOST:PORT has no slash
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
