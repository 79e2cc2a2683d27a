package starter

import (
	"context"
	"errors"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
)

// LogFormat is what lines of the log look like.
type LogFormat string

// The formats. In all but LogPlain wait statuses come with words, as in "status:256 (exit code 1)".
const (
	// LogPlain is Server::Starter's lines. Where Log is the stream to systemd's journal, as
	// JOURNAL_STREAM says, they begin with their level, from <3> to <6>, which the journal takes
	// away again (sd-daemon(3)).
	LogPlain LogFormat = "plain"
	// LogTime is the same after the time, by RFC 3339 with milliseconds and zone.
	LogTime LogFormat = "time"
	// LogJSON is a JSON object a line; docs/logs.md lists its members.
	LogJSON LogFormat = "json"
)

// relays tells that what workers write goes by way of us.
func (c *Config) relays() bool { return c.PrefixOutput || c.LogWorkers }

// Reopen opens the log file anew by its path, if another file stands there by now, or none, and
// says what was done, or why there was nothing to do. It returns when all that was printed
// before is in the old file. From then on this package writes to the new file, and so do
// workers that are started later; those that run do with LogWorkers or PrefixOutput. The error
// says why the old file stays in use, or that ctx has ended before it could be done.
func (s *Starter) Reopen(ctx context.Context) (said string, err error) {
	return s.reopen(ctx, "reopening requested")
}

func (s *Starter) reopen(ctx context.Context, cause string) (said string, err error) {
	done := make(chan output.Reopened, 1)
	s.out.Reopen(func(r output.Reopened) {
		r = s.toldOf(r)
		s.out.Log(r.Entry(cause + ": "))
		done <- r
	})
	select {
	case r := <-done:
		return r.Text, r.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// toldOf adds what there is to know of workers.
func (s *Starter) toldOf(r output.Reopened) output.Reopened {
	if r.Changed && !s.config.relays() {
		r.Text += "; workers that run write to the old one until they are restarted"
	}
	return r
}

// errLogHangs is the answer to a client while the log takes nothing.
var errLogHangs = errors.New("the log takes nothing just now; the file is reopened when it does")

// answerTime is how long a client waits for that.
const answerTime = 10 * time.Second

// reopenFor is Reopen for a client of the control socket.
func (s *Starter) reopenFor(ctx context.Context, cause string) (said string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errLogHangs)
	defer cancel()
	return s.reopen(ctx, cause)
}

// reopenOn reopens the log when a signal says so. It does not block. Nothing is said of a log
// that cannot be reopened if the signal is for the workers, too.
func (s *Starter) reopenOn(cause string, forWorkers bool) {
	s.out.Reopen(func(r output.Reopened) {
		if r.Changed || r.Err != nil || !forWorkers {
			s.out.Log(s.toldOf(r).Entry(cause + ": "))
		}
	})
}
