//go:build unix

package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/probe/wire"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// errLate is why a try ends when its time is over.
var errLate = errors.New("the time is over")

// ask tries a probe. If ctx ends meanwhile the error is its cause. A probe of a port that the
// worker lacks passes: an upgrade has added that port after the worker was started.
func (c *Checker) ask(ctx context.Context, p *Probe, t Target) error {
	err := c.tryOnce(ctx, p, t)
	if errors.Is(err, socket.ErrLacks) {
		return nil
	}
	return err
}

func (c *Checker) tryOnce(ctx context.Context, p *Probe, t Target) error {
	if p.kind == "" {
		ctx, done := context.WithTimeoutCause(ctx, c.timeout(), errLate)
		defer done()
		return c.explain(ctx, p, c.await(ctx, p, t))
	}
	prober, err := c.prober(ctx)
	if err != nil {
		return c.explain(ctx, p, err)
	}
	end := time.Now().Add(c.timeout())
	within, done := context.WithDeadlineCause(ctx, end, errLate)
	defer done()
	r := &wire.Request{Kind: p.kind}
	fds, err := c.fill(within, r, p, t)
	defer func() { fd.ClosePassed(fds) }()
	if err != nil {
		return c.explain(within, p, err)
	}
	if r.Timeout = time.Until(end); r.Timeout < time.Millisecond {
		return c.explain(within, p, errLate)
	}
	answer, err := prober.ask(ctx, r, fds)
	switch {
	case err != nil:
		return c.explain(ctx, p, err)
	case answer.Result == wire.Passed:
		return nil
	}
	reason := printable(answer.Reason)
	if answer.Result == wire.Late {
		late := p.late(c.timeout())
		if reason != "" {
			late += ": " + reason
		}
		reason = late
	}
	return p.fault("%s", cmp.Or(reason, "it failed"))
}

// explain is why the probe has failed, if it has.
func (c *Checker) explain(ctx context.Context, p *Probe, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLate) || errors.Is(context.Cause(ctx), errLate):
		return p.fault("%s", p.late(c.timeout()))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return p.fault("refused")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return p.fault("the connection was closed")
	}
	return p.fault("%w", err)
}

// maxReason bounds what start_server_probe says, in bytes.
const maxReason = wire.MaxReason

func printable(s string) string { return text.Line(s[:min(len(s), maxReason)]) }

// fill fills in what is asked for. The caller closes the descriptors, also after an error.
func (c *Checker) fill(ctx context.Context, r *wire.Request, p *Probe, t Target) (fds []int, err error) {
	if p.kind == wire.Exec {
		return c.fillExec(ctx, r, p, t)
	}
	r.Path, r.Host = p.path, p.host
	if a, ok := c.Sockets[p.Socket].Addr.(*net.TCPAddr); ok && r.Host == "" {
		r.Host = "localhost:" + strconv.Itoa(a.Port)
	}
	n, err := c.connect(ctx, p.Socket, t)
	if err != nil {
		return nil, err
	}
	return []int{n}, nil
}

// firstPassed is the first descriptor of a command's connections.
const firstPassed = 3

func (c *Checker) fillExec(ctx context.Context, r *wire.Request, p *Probe, t Target) (fds []int, err error) {
	r.Command = p.command
	r.Env = append([]string{"SERVER_STARTER_PID=" + strconv.Itoa(t.Pid), "SERVER_STARTER_GENERATION=" + strconv.Itoa(t.Generation)}, fdenv.Slot(t.Slot)[0])
	if !p.private {
		return nil, nil
	}
	var told []fdenv.Socket
	for place, s := range c.Sockets {
		if !isTCP(s) {
			continue
		}
		n, err := c.connect(ctx, place, t)
		if errors.Is(err, socket.ErrLacks) {
			continue
		}
		if err != nil {
			return fds, fmt.Errorf("no connection to %s: %w", s.Name, err)
		}
		told = append(told, fdenv.Socket{Name: s.Name, FD: firstPassed + len(fds)})
		fds = append(fds, n)
	}
	r.Env = append(r.Env, fdenv.Probe(told))
	return fds, nil
}

// await connects, and blocks until the connection was accepted or ctx ends.
func (c *Checker) await(ctx context.Context, p *Probe, t Target) error {
	n, err := c.connect(ctx, p.Socket, t)
	if err != nil {
		return err
	}
	defer syscall.Close(n)
	return c.awaitAccepted(ctx, n)
}

// connect opens a connection that no rival accepts. While there are rivals it waits until the
// connection was accepted, and tries again if a rival has accepted it. When ctx has ended rivals
// are not known, and the connection proves nothing.
func (c *Checker) connect(ctx context.Context, place int, t Target) (int, error) {
	for {
		n, err := t.Connect(ctx, place)
		if err != nil || len(t.rivals(ctx)) == 0 && ctx.Err() == nil {
			return n, err
		}
		err = c.awaitAccepted(ctx, n)
		if err == nil && !acceptedByAny(n, t.rivals(ctx)) && ctx.Err() == nil {
			return n, nil
		}
		syscall.Close(n)
		if err != nil {
			return -1, err
		}
		if pause(ctx, maxPoll); ctx.Err() != nil {
			return -1, context.Cause(ctx)
		}
	}
}

func (t *Target) rivals(ctx context.Context) []int {
	if t.Rivals == nil {
		return nil
	}
	return t.Rivals(ctx)
}

func acceptedByAny(n int, pids []int) bool {
	return slices.ContainsFunc(pids, func(pid int) bool { return socket.AcceptedBy(n, proc.Tree(pid)) })
}

// awaitAccepted blocks until a connection was accepted, or ctx ends.
func (c *Checker) awaitAccepted(ctx context.Context, n int) error {
	accepted := c.Accepted
	if accepted == nil {
		accepted = socket.Accepted
	}
	for wait := time.Millisecond; ; wait = min(2*wait, maxPoll) {
		if done, err := accepted(n); done || err != nil {
			return err
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// maxPoll is how long it may go unnoticed that a connection was accepted.
const maxPoll = 20 * time.Millisecond
