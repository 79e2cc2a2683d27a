package listener

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	defaultNewGrace  = 5 * time.Second // http.Server.Shutdown has the same
	defaultIdleGrace = time.Second
)

// ErrDrainTimeout says that a [Server] closed what was left when its DrainTimeout was over.
var ErrDrainTimeout = errors.New("drain timeout")

// Server serves as [Serve] does, and lets its program steer the drain. Set its fields before
// Serve or ServeTLS is called, and do not change them afterwards. It serves once.
type Server struct {
	// HTTP is the server, which Serve owns from the call on. Nil stands for
	// &http.Server{}.
	HTTP *http.Server

	// DrainTimeout is how long the drain may take in all. Then the connections that are
	// left, hijacked ones too, are closed; their handlers are not waited for. 0: no limit.
	DrainTimeout time.Duration

	// NewGrace is how long a connection that has not sent a request may take to send the
	// header of its first one, from the start of the drain. 0: 5 seconds; negative: none.
	NewGrace time.Duration

	// IdleGrace is how long a connection that is kept alive may take to send another
	// request, from the start of the drain or the end of its last request. 0: 1 second;
	// negative: none. While an HTTP/1.1 request runs, the functions of
	// http.Server.RegisterOnShutdown are called no earlier than IdleGrace after the start
	// of the drain; [DrainingContext] ends at once.
	IdleGrace time.Duration

	// TellHijacked tells a hijacked connection, such as a websocket, that the server
	// drains. It is called once for each open connection, in a goroutine of its own, with
	// what Hijack returned. That is at the start of the drain, but not before IdleGrace
	// after the hijack, so that the answer to the upgrade goes first. TellHijacked need
	// not close the connection; the code that hijacked it has to. A handler that still
	// has the connection should use [DrainingContext] instead.
	//
	// Hijacked connections are counted and waited for if TellHijacked or DrainTimeout is
	// set. The server learns by SyscallConn that a connection was closed: by its own, or
	// by that of the connection which its NetConn method returns. A connection without
	// SyscallConn is not waited for.
	TellHijacked func(net.Conn)

	// Health, if set, is asked for GET / before each WATCHDOG=1, inside the process. If it
	// answers 400 or more, panics, or does not return, the notice is not sent. See
	// Serve.
	Health http.Handler

	program *program // nil: that of this process
}

// Serve serves HTTP on the listeners until the process gets SIGTERM or ctx ends, then
// drains and returns; the function [Serve] says how. It blocks until then, and closes the
// listeners. The errors are those of the function; if DrainTimeout was over, the error wraps
// [ErrDrainTimeout], and says how many requests and connections were closed.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	return s.run(ctx, ":http", listeners, (*http.Server).Serve)
}

// ServeTLS is Serve for HTTPS: it wraps the listeners itself, and speaks HTTP/2 and
// HTTP/1.1 to clients, as HTTP.Protocols and HTTP.TLSNextProto allow. The files are those of
// http.Server.ServeTLS: they may be "" if HTTP.TLSConfig has a certificate. An Addr that is
// empty is ":https". A file that cannot be read is an error at once.
func (s *Server) ServeTLS(ctx context.Context, certFile, keyFile string, listeners ...net.Listener) error {
	return s.run(ctx, ":https", listeners, func(srv *http.Server, ln net.Listener) error {
		return srv.ServeTLS(ln, certFile, keyFile)
	})
}

// run calls serve for each listener, and drains.
func (s *Server) run(ctx context.Context, addr string, listeners []net.Listener, serve func(*http.Server, net.Listener) error) error {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	defer signal.Stop(terminated)

	d := newDrainer(s)
	d.ctx = ctx
	if len(listeners) == 0 {
		if d.srv.Addr != "" {
			addr = d.srv.Addr
		}
		var err error
		if listeners, err = defaultListeners(addr); err != nil {
			return err
		}
	}
	d.program.join(d)
	defer d.program.leave(d)
	served := make(chan error, len(listeners))
	for _, ln := range d.follow(listeners) {
		go func() { served <- serve(d.srv, ln) }()
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
	// Every accepted connection is known to d by now.
	err := d.drain()
	if failure != nil && err != nil {
		return errors.Join(failure, err)
	}
	return cmp.Or(failure, err)
}

// drain returns when no connection is left, or when the timeout is over and the rest was
// closed.
func (d *drainer) drain() error {
	ctx := context.Background()
	if d.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, d.began.Add(d.timeout))
		defer cancel()
	}
	err := d.wait(ctx)
	if err == nil || ctx.Err() == nil {
		return err
	}
	left := d.tally()
	d.cut()
	return fmt.Errorf("%w of %v: closed with %v", ErrDrainTimeout, d.timeout, left)
}

// wait returns when no connection is left, ctx has ended, or Shutdown has failed.
func (d *drainer) wait(ctx context.Context) error {
	poll := time.NewTicker(drainPoll)
	defer poll.Stop()
	shutdown := make(chan error, 1)
	asked, shut := false, false // Shutdown was called; it has returned
	for {
		d.tellHijacked(time.Now())
		switch {
		case shut && d.openHijacked() == 0:
			return nil
		case !asked && d.settled(time.Now()):
			asked = true
			go func() { shutdown <- d.srv.Shutdown(ctx) }()
			poll.Reset(shutdownPoll)
		}
		select {
		case err := <-shutdown:
			if err != nil {
				return err
			}
			shut = true
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}
