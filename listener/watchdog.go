package listener

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// watchdogPause returns half of WATCHDOG_USEC. A process that is silent for WATCHDOG_USEC
// counts as hung (sd_watchdog_enabled(3)). 0: this process has no watchdog.
func watchdogPause() (time.Duration, error) {
	usec := os.Getenv("WATCHDOG_USEC")
	if pid := os.Getenv("WATCHDOG_PID"); usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	const most = int64(1<<63-1) / int64(time.Microsecond)
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n < 2 || n > most {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q, which is not a number of microseconds", usec)
	}
	return time.Duration(n) * time.Microsecond / 2, nil
}

// watch says WATCHDOG=1 for as long as all servers are well, until ctx ends. It calls their
// health handlers: if one does not return, watch falls silent.
func (p *program) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := false
	for {
		if d, well := p.well(ctx, every); well && ctx.Err() == nil {
			err := p.notify("WATCHDOG=1", "that it is well")
			if err != nil && !failed {
				d.logf("listener: %v", err)
			}
			failed = err != nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// well asks all servers that have begun to accept whether they are well, and names one.
func (p *program) well(ctx context.Context, within time.Duration) (asked *drainer, well bool) {
	well = true
	for d, m := range p.members() {
		if !m.accepts {
			continue
		}
		asked = d
		for _, a := range d.acceptors {
			if !a.moves() && !m.drains {
				well = false
			}
		}
		if d.health != nil && !d.healthy(ctx, within) {
			well = false
		}
	}
	return asked, well
}

// acceptor is a listener that tells whether its accept loop turns. The loop calls Accept, the
// watchdog calls moves.
type acceptor struct {
	net.Listener
	inside atomic.Bool
	turns  atomic.Int64
	seen   int64 // turns when moves last found the loop outside Accept; -1: never
}

// follow puts an acceptor in front of each listener.
func (d *drainer) follow(listeners []net.Listener) []net.Listener {
	followed := make([]net.Listener, len(listeners))
	for i, ln := range listeners {
		a := &acceptor{Listener: ln, seen: -1}
		followed[i], d.acceptors = a, append(d.acceptors, a)
	}
	return followed
}

func (a *acceptor) Accept() (net.Conn, error) {
	a.turns.Add(1)
	a.inside.Store(true)
	defer a.inside.Store(false)
	return a.Listener.Accept()
}

// moves reports whether the loop waits for a connection, or has turned since moves last found
// it elsewhere: the loop may do something else for a moment.
func (a *acceptor) moves() bool {
	if a.inside.Load() {
		return true
	}
	turns := a.turns.Load()
	moved := turns != a.seen
	a.seen = turns
	return moved
}

// healthy asks the health handler. It blocks for as long as that does.
func (d *drainer) healthy(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, drainerKey{}, d), within)
	defer cancel()
	err := d.askHealth(ctx)
	switch {
	case err != nil && !d.ill:
		d.logf("listener: WATCHDOG=1 is held back: the health handler %v", err)
	case err == nil && d.ill:
		d.logf("listener: the health handler is well again")
	}
	d.ill = err != nil
	return err == nil
}

func (d *drainer) askHealth(ctx context.Context) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panics: %v", reason)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil)
	if err != nil {
		return err
	}
	r.RequestURI, r.RemoteAddr = "/", "127.0.0.1:0"
	a := &answer{header: http.Header{}}
	d.health.ServeHTTP(a, r)
	if a.status >= http.StatusBadRequest {
		return fmt.Errorf("answers %d", a.status)
	}
	return nil
}

// answer keeps the status that a handler answers.
type answer struct {
	header http.Header
	status int // 0: 200
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) Write(text []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(text), nil
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK { // 1xx are not the answer yet
		a.status = status
	}
}
