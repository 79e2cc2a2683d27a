package output

import (
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

// Reopen opens the log file anew by its path, after what was printed before is written to
// the old one, and then calls done from another goroutine. The rules are those of [Output.Open],
// and a file that is not there is made. Our own lines, those that workers write by way of a
// [Relay], and workers that are started from then on write to the new file. On an error
// the old one stays in use. It never blocks.
func (o *Output) Reopen(done func(Reopened)) {
	o.Do(func() { done(o.reopen()) })
}

// Renew is Reopen for a generation that begins: if another file stands at the path of the log, or
// none, that is opened, and a line says so. It blocks until then, but for [FlushTime] at most if
// the log takes nothing.
func (o *Output) Renew() {
	if o.isInPlace() {
		return
	}
	renewed := make(chan struct{})
	o.Reopen(func(r Reopened) {
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
