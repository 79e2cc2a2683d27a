// Package probe asks workers whether they do what they are for: by a request of HTTP, by a
// connection that they have to accept, by a command. net/http, TLS and commands run in a
// process of their own, start_server_probe, which is there only while it is needed: linked
// into the superdaemon they would cost it memory for as long as it lives.
package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Target is the worker that is asked.
type Target struct {
	Pid, Generation, Slot int
	// Connect opens a connection that only this worker and its rivals can accept. place is the
	// socket's place in Sockets. It may block until ctx ends. The caller closes the descriptor.
	Connect func(ctx context.Context, place int) (fd int, err error)
	// Rivals returns other processes that have the same sockets now, such as the worker that
	// this one is to replace; nil: there are none.
	Rivals func(ctx context.Context) []int
}

// Checker asks workers. Its fields are set before its first use, and not changed after that.
// Its methods may be called from any goroutine. All probes but tcp: need a process. It is
// started when it is first needed, serves all calls that are under way, and ends with the last.
type Checker struct {
	Probes  []Probe
	Sockets []fdenv.Socket // those that Parse was given, bound by now
	Timeout time.Duration  // of a try; 0: a second
	// Command is the path of start_server_probe; "": it stands beside our own executable,
	// or else in PATH.
	Command    string
	Credential *proc.Credential         // the user that the process runs as; nil: ours
	Dir        string                   // its working directory; "": ours
	Env        func() ([]string, error) // its environment, asked for at each start; nil: ours
	Stderr     func() int               // where it writes to, a descriptor of ours; nil: our stderr
	// Accepted tells whether a connection to a socket of ours was taken out of its queue;
	// nil: socket.Accepted.
	Accepted func(fd int) (bool, error)

	once   sync.Once
	turns  chan struct{} // holds a token for each try under way
	starts chan struct{} // holds a token while a process is started
	all    context.Context
	cancel context.CancelCauseFunc // of all

	mu     sync.Mutex
	closed bool
	over   bool      // Close waits for no other process
	users  int       // calls under way
	runs   *prober   // nil: no process runs
	failed time.Time // when the last process that has failed was started; zero: none has
	ending sync.WaitGroup
}

// ErrClosed is why nothing is asked any more.
var ErrClosed = errors.New("the probes have ended")

const (
	defaultTimeout = time.Second
	tryTurns       = 16                     // tries under way at once; the others wait
	tryPause       = 100 * time.Millisecond // from the beginning of a try of a probe to that of the next
	// overtime is how much longer than the try's own time an answer of start_server_probe
	// may take.
	overtime = 2 * time.Second
	endTime  = 2 * time.Second // until start_server_probe ends by itself
	// slept is what a try takes beyond the longest possible time only if this process was
	// stopped meanwhile.
	slept = time.Second
)

func (c *Checker) init() {
	c.once.Do(func() {
		c.turns, c.starts = make(chan struct{}, tryTurns), make(chan struct{}, 1)
		c.all, c.cancel = context.WithCancelCause(context.Background())
	})
}

func (c *Checker) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

// Pass blocks until each probe has passed once, or ctx ends. The error then says, for each
// probe that has not passed, why its last try failed. If the deadline of ctx has passed while
// this process was stopped there is one more try, which takes Timeout and 3 seconds at most.
func (c *Checker) Pass(ctx context.Context, t Target) error {
	return c.each(ctx, func(ctx context.Context, p *Probe) error {
		var last error // of a try that came to its end
		var began time.Time
		for ctx.Err() == nil {
			err := c.try(ctx, p, t, &began)
			if err == nil {
				return nil
			}
			if ctx.Err() == nil || !errors.Is(err, context.Cause(ctx)) {
				last = err
			}
			pause(ctx, tryPause-time.Since(began))
		}
		switch {
		case c.wasStopped(ctx, began):
			return c.lastTry(ctx, p, t)
		case last != nil:
			return last
		case began.IsZero():
			return p.fault("it was not tried: %w", context.Cause(ctx))
		}
		return p.fault("%s", p.late(time.Since(began)))
	})
}

// longest is the time that a try may take.
func (c *Checker) longest() time.Duration { return c.timeout() + overtime + slept }

// wasStopped tells whether the deadline of ctx has passed while this process was stopped. began is
// when the last try began.
func (c *Checker) wasStopped(ctx context.Context, began time.Time) bool {
	return errors.Is(ctx.Err(), context.DeadlineExceeded) && time.Since(began) > c.longest() && c.all.Err() == nil
}

// lastTry is a try after ctx has ended. It blocks for the time that a try may take.
func (c *Checker) lastTry(ctx context.Context, p *Probe, t Target) error {
	longest := c.longest()
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), longest)
	defer done()
	ctx, end := c.within(ctx)
	defer end()
	var began time.Time
	err := c.try(ctx, p, t, &began)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return p.fault("%s", p.late(longest))
	}
	return err
}

// Still tries all probes once. It tries a probe that fails once more, at once. It blocks until
// that is done or ctx ends. The error says which has failed, and why; if ctx has ended it
// wraps its cause. After a stop of this process there is one more try, as with Pass.
func (c *Checker) Still(ctx context.Context, t Target) error {
	return c.each(ctx, func(ctx context.Context, p *Probe) error {
		var began time.Time
		err := c.try(ctx, p, t, &began)
		if err != nil && ctx.Err() == nil {
			err = c.try(ctx, p, t, &began)
		}
		switch {
		case err == nil || ctx.Err() == nil:
			return err
		case c.wasStopped(ctx, began):
			return c.lastTry(ctx, p, t)
		}
		return p.fault("%w", context.Cause(ctx))
	})
}

// each does something for all probes at once, and returns what has failed.
func (c *Checker) each(ctx context.Context, do func(context.Context, *Probe) error) error {
	if err := c.begin(); err != nil {
		return err
	}
	defer c.end()
	ctx, done := c.within(ctx)
	defer done()
	faults := make([]error, len(c.Probes))
	var all sync.WaitGroup
	for i := range c.Probes {
		all.Go(func() { faults[i] = do(ctx, &c.Probes[i]) })
	}
	all.Wait()
	err := together(faults)
	if err != nil && c.all.Err() != nil {
		return ErrClosed
	}
	return err
}

// within is ctx, which also ends when the Checker is closed.
func (c *Checker) within(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.all, func() { cancel(context.Cause(c.all)) })
	return ctx, func() { stop(); cancel(nil) }
}

func (c *Checker) begin() error {
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.users++
	return nil
}

// end ends the process when the last call ends. It does not block.
func (c *Checker) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users--
	if c.users == 0 && c.runs != nil {
		p := c.runs
		c.runs = nil
		c.ends(p)
	}
}

// ends ends a process. Close waits for that, unless the process comes too late. The caller holds
// mu.
func (c *Checker) ends(p *prober) {
	if c.over {
		go p.end()
		return
	}
	c.ending.Go(p.end)
}

// Close ends the process if there is one. It waits for that, for 2 seconds at most, and
// then kills it. It waits no longer for one that is being started, as a file system may hang.
// Calls under way return ErrClosed, and so does each later one.
func (c *Checker) Close() {
	c.init()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(ErrClosed)
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case c.starts <- struct{}{}: // one that is being started is there by now, or never will be
		<-c.starts
	case <-timer.C:
	}
	c.mu.Lock()
	p := c.runs
	c.runs, c.over = nil, true
	c.mu.Unlock()
	if p != nil {
		p.end()
	}
	c.ending.Wait()
}

// try tries a probe once. It blocks until it is its turn, and then for as long as a try may
// take. began is set when it is its turn. If ctx has ended the error may be its cause.
func (c *Checker) try(ctx context.Context, p *Probe, t Target, began *time.Time) error {
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil { // both may have happened
		return context.Cause(ctx)
	}
	*began = time.Now()
	return c.ask(ctx, p, t)
}

// pause blocks for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// maxText bounds what is told of a probe's text, in characters. A command may be long.
const maxText = 200

// fault is why the probe has failed.
func (p *Probe) fault(format string, args ...any) error {
	shown := text.Line(p.Text)
	if begin := fmt.Sprintf("%.*s", maxText, shown); begin != shown {
		shown = begin + "…"
	}
	return fmt.Errorf("%s: %w", shown, fmt.Errorf(format, args...))
}

// late says that something has not come in time.
func (p *Probe) late(d time.Duration) string {
	what := map[string]string{"": "it was not accepted", "exec": "it has not ended"}[string(p.kind)]
	return fmt.Sprintf("%s within %s", cmp.Or(what, "no answer"), seconds(d))
}

// seconds is a duration as it is written in a reason.
func seconds(d time.Duration) string {
	if d > 10*time.Millisecond {
		d = d.Round(10 * time.Millisecond)
	}
	return text.Seconds(d) + "s"
}

// together makes one line of several faults.
func together(faults []error) error {
	var lines []string
	var first error
	for _, err := range faults {
		if err == nil {
			continue
		}
		if first == nil {
			first = err
			continue
		}
		lines = append(lines, err.Error())
	}
	if len(lines) == 0 {
		return first
	}
	return fmt.Errorf("%w; %s", first, strings.Join(lines, "; "))
}
