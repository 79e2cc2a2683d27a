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

// Reopened is what has come of opening the log anew.
type Reopened struct {
	Changed bool   // another file is written to than before
	Text    string // what was done, or why there was nothing to do
	Err     error  // why the old file is still written to, though another one should be
}

// Reopen opens the log file anew by its path, if another file stands there by now, or none. It
// prints what was done, after the words of cause, and returns that, or why there was nothing
// to do. It blocks until what was printed before is in the old file, and that in the new one.
// The error says why the old file stays in use, or that ctx has ended before it could be done.
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
var errHangs = errors.New("the log takes nothing just now; the file is reopened when it does")

// answerTime is how long a client waits for that.
const answerTime = 10 * time.Second

// ReopenFor is Reopen for a client, which waits for 10 seconds at most.
func (o *Output) ReopenFor(ctx context.Context, cause string) (said string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, errHangs)
	defer cancel()
	return o.Reopen(ctx, cause)
}

// ReopenOn is Reopen for a signal. It does not block. Nothing is printed where there was nothing
// to reopen if the signal is for the workers, too.
func (o *Output) ReopenOn(cause string, forWorkers bool) {
	o.reopenThen(func(r Reopened) {
		if r.Changed || r.Err != nil || !forWorkers {
			o.Log(o.withWorkers(r).Entry(cause + ": "))
		}
	})
}

// withWorkers adds what there is to know of workers.
func (o *Output) withWorkers(r Reopened) Reopened {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Changed && !o.relayed {
		r.Text += "; workers that run write to the old one until they are restarted"
	}
	return r
}

// reopenThen opens the log file anew by its path, after what was printed before is written to
// the old one, and then calls done from another goroutine. The rules are those of [Output.Open],
// and a file that is not there is made. Our own lines, those that workers write by way of a
// [Relay], and workers that are started from then on write to the new file. On an error
// the old one stays in use. It never blocks.
func (o *Output) reopenThen(done func(Reopened)) {
	o.Do(func() { done(o.reopen()) })
}

// Renew is reopenThen for a generation that begins: if another file stands at the path of the log, or
// none, that is opened, and a line says so. It blocks until then, but for [FlushTime] at most if
// the log takes nothing.
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

// Entry is what there is to print of it, after the words of before.
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

// reopen opens the log file anew, if it is one.
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
	return Reopened{Changed: true, Text: fmt.Sprintf("%q is another file now, and the log is written to that", sink.spec)}
}

// openAgain has the log written to what stands at its path, if that is another file.
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
	if was, err := sink.file.Stat(); err == nil && os.SameFile(was, is) { // by a link that the kernel follows, as /dev/stdout
		return false, nil
	}
	if err := o.replace(sink, file); err != nil {
		return false, err
	}
	o.tail.reopen(sink.spec, file, is.Size())
	return true, nil
}

var errClosed = errors.New("it was closed meanwhile")

// replace has a file take the place of the log's. The descriptor stays the same: a worker that
// is being started gets the one file or the other.
func (o *Output) replace(sink *sink, file *os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sink != sink {
		return errClosed
	}
	return replaceLog(sink.file, file, len(o.saved))
}
