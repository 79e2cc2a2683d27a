package output

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Reopened is what came of opening the log again.
type Reopened struct {
	Changed bool   // the log is written to another file than before
	Text    string // what was done, or why there was nothing to do
	Err     error  // why the old file is still written to, though another one should be
}

// Reopen opens the log file again by its path, if another file or none stands there now. It
// prints and returns what was done, or why there was nothing to do; the line begins with cause.
// It blocks until what was printed before is in the old file, and that line in the new one.
// The error says why the old file stays in use, or that ctx has ended first.
func (o *Output) Reopen(ctx context.Context, cause string) (said string, err error) {
	done := make(chan Reopened, 1)
	o.reopenThen(func(r Reopened) {
		r = o.withWorkers(r)
		o.Log(r.Entry(cause + ": "))
		o.Do(func() { done <- r }) // when that can be read
	})
	select {
	case r := <-done:
		return r.Text, r.Err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// errHangs is the answer to a client while the log takes nothing.
var errHangs = errors.New("the log does not accept writes now; the file is reopened when it does")

// answerTime is how long a client waits for the log.
const answerTime = 10 * time.Second

// ReopenFor is Reopen for a client, which waits for 10 seconds at most.
func (o *Output) ReopenFor(ctx context.Context, cause string) (said string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errHangs)
	defer cancel()
	return o.Reopen(ctx, cause)
}

// ReopenOn is Reopen for a signal. It does not block. With forWorkers, the signal is for the
// workers, too: then nothing is printed if there was nothing to reopen.
func (o *Output) ReopenOn(cause string, forWorkers bool) {
	o.reopenThen(func(r Reopened) {
		if r.Changed || r.Err != nil || !forWorkers {
			o.Log(o.withWorkers(r).Entry(cause + ": "))
		}
	})
}

// withWorkers adds that running workers still write to the old file, if they do.
func (o *Output) withWorkers(r Reopened) Reopened {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Changed && !o.relayed {
		r.Text += "; running workers write to the old file until they are restarted"
	}
	return r
}

// reopenThen opens the log file again by its path, and then calls done. Another goroutine does
// both, when what was printed before is in the old file. The rules are those of [Output.Open]; a
// missing file is made. From then on the new file gets our own lines, lines of workers that come
// through a [Relay], and the output of workers that are started later. On an error the old file
// stays in use. It never blocks.
func (o *Output) reopenThen(done func(Reopened)) {
	o.Do(func() { done(o.reopen()) })
}

// Renew is reopenThen for a generation that begins. It prints a line if the file was reopened,
// or could not be. It blocks until that is done, for [FlushTime] at most if the log takes nothing.
func (o *Output) Renew() {
	if o.isInPlace() {
		return
	}
	renewed := make(chan struct{})
	o.reopenThen(func(r Reopened) {
		if r.Changed || r.Err != nil {
			o.Log(r.Entry(""))
		}
		close(renewed)
	})
	select {
	case <-renewed:
	case <-time.After(FlushTime):
	}
}

// Entry is the log entry for it. The text begins with before.
func (r Reopened) Entry(before string) Entry {
	if r.Err != nil {
		return Entry{Level: Error, Event: "reopen-failed", Text: before + r.Err.Error()}
	}
	return Entry{Level: Notice, Event: "reopened", Text: before + r.Text}
}

// isInPlace tells that there is nothing to reopen.
func (o *Output) isInPlace() bool {
	o.mu.Lock()
	sink := o.sink
	o.mu.Unlock()
	return sink == nil || sink.command != nil || sink.isInPlace()
}

// isInPlace tells that the file stands at its path.
func (s *sink) isInPlace() bool {
	info, err := s.file.Stat()
	return err == nil && fd.IsAt(s.spec, info)
}

// reopen opens the log again, if it is a file.
func (o *Output) reopen() Reopened {
	o.mu.Lock()
	sink := o.sink
	o.mu.Unlock()
	switch {
	case sink == nil:
		return Reopened{Text: "nothing to reopen: there is no log file"}
	case strings.HasPrefix(sink.spec, "syslog:"):
		return Reopened{Text: "nothing to reopen: the log goes to syslog"}
	case sink.command != nil:
		return Reopened{Text: fmt.Sprintf("nothing to reopen: the log goes to the command %q", strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(sink.spec), "|")))}
	}
	changed, err := o.openAgain(sink)
	switch {
	case err != nil:
		return Reopened{Err: fmt.Errorf("the log file cannot be reopened, and the old one stays in use: %w", err)}
	case !changed:
		return Reopened{Text: fmt.Sprintf("nothing to reopen: %q is the file that the log is written to", sink.spec)}
	}
	return Reopened{Changed: true, Text: fmt.Sprintf("%q is another file now: the log goes there", sink.spec)}
}

// openAgain makes the log go to the file at its path, if that is another one.
func (o *Output) openAgain(sink *sink) (changed bool, err error) {
	if sink.isInPlace() {
		return false, nil
	}
	file, err := openFile(sink.spec)
	if err != nil {
		return false, err
	}
	defer file.Close()
	is, err := file.Stat()
	if err != nil {
		return false, err
	}
	if was, err := sink.file.Stat(); err == nil && os.SameFile(was, is) { // by a link that only the kernel follows, such as /dev/stdout
		return false, nil
	}
	if err := o.replace(sink, file); err != nil {
		return false, err
	}
	o.tail.reopen(sink.spec, file, is.Size())
	return true, nil
}

var errClosed = errors.New("it was closed meanwhile")

// replace puts file in the place of the log's file. The descriptor keeps its number: a worker
// that is being started gets one file or the other.
func (o *Output) replace(sink *sink, file *os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sink != sink {
		return errClosed
	}
	return replaceLog(sink.file, file, len(o.saved))
}
