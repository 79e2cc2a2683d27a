// Package output owns all that a superdaemon and its workers write: log lines, the log
// file or command, its own stdout and stderr, the output of workers that goes by way of
// it, and the end of the log file that is quoted when a worker has failed.
package output

import (
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	words "github.com/lestrrat/go-server-starter/internal/text"
)

// Output is where all output goes. Its methods may be called from any goroutine, but Open and
// Close from one at a time.
type Output struct {
	name   string
	form   Form
	early  *lines
	tail   tail
	relays relays

	mu   sync.Mutex // guards what follows, which Open sets and Close clears
	log  *lines     // where lines are printed now; early: no log is open
	sink *sink      // nil: no log is open
	// restore gives us our own stdout and stderr back.
	restore func()
	saved   []int   // duplicates of those, while they are redirected
	going   []*sink // see LetGo
	relayed bool    // see Config
}

// lines are a writer and what waits to be written to it. Each writer has a queue of its
// own, so that one that hangs holds no other up.
type lines struct {
	Queue
	to    io.Writer
	form  form
	bound bound

	writing sync.Mutex // guards what follows
	lost    int        // lines that could not be written since the last one that could
	why     error      // the first of them could not
	torn    bool       // what was written last is a part of a line
}

// write writes a line. If that fails, as on a full disk, the next line that can be written comes
// after one that tells how many are missing.
func (l *lines) write(text string) {
	l.writing.Lock()
	defer l.writing.Unlock()
	said := ""
	if l.lost > 0 {
		said = l.form.own(Entry{Level: Warning, Event: "left-out", Text: fmt.Sprintf("%s could not be written here: %v", words.Count(l.lost, "line"), l.why)}, time.Now())
		if l.torn {
			said = "\n" + said
		}
		text = said + text
	}
	n, err := fd.WriteMost(l.to, text)
	if err == nil || n >= len(said) {
		l.lost = 0 // that was told
	}
	if err == nil || n >= len(text) {
		l.torn = false
		return
	}
	if l.lost++; l.lost == 1 {
		l.why = err
	}
	if n = min(n, len(text)); n > 0 {
		l.torn = text[n-1] != '\n'
	}
}

// print writes text after what came before, and then calls written, unless it is nil.
func (l *lines) print(text string, written func()) {
	waited := written != nil // the caller waits for it
	if !waited && !l.bound.admit(len(text)) {
		return
	}
	l.Add(func() {
		l.write(text)
		if waited {
			written()
			return
		}
		if left := l.bound.written(len(text)); left > 0 {
			said := Entry{Level: Warning, Event: "left-out", Text: fmt.Sprintf("%d lines are missing here: the log was too slow", left)}
			l.write(l.form.own(said, time.Now()))
		}
	})
}

// Config says how a log is opened.
type Config struct {
	Redirect bool   // points our own stdout and stderr to the log, too, until Close
	Run      Runner // starts a log command
	Held     *Held  // handed over by the last image of this program; nil: there was none
	Relayed  bool   // workers write to a Relay, and do not have the log themselves
}

// New makes an Output whose lines go to early while no log is open. name is what the
// program calls itself.
func New(early io.Writer, name string) *Output {
	lines := &lines{to: early}
	o := &Output{name: name, early: lines, log: lines}
	o.relays.log = o
	return o
}

// SetForm says what lines look like. Call it before anything is printed. stream is the value
// of JOURNAL_STREAM. If it says that the early writer is the journal of systemd, plain lines
// of our own begin with their level there.
func (o *Output) SetForm(f Form, stream string) {
	o.form = f
	o.early.form = form{f, isJournal(o.early.to, stream)}
}

// Open opens the log that spec names, see [Check]. It first writes what was printed before;
// what is printed from now on goes to the log. With "" it does nothing. On an error nothing
// is left behind. No other log may be open. It blocks as long as opening does, and for
// [FlushTime] at most for what was printed before.
func (o *Output) Open(spec string, c Config) error {
	if spec == "" {
		return nil
	}
	sink, err := c.Held.sink(spec, o.name, c.Run, o.commandEnded)
	if err == nil && sink == nil {
		sink, err = openSink(spec, o.name, c.Run, o.commandEnded)
	}
	if err != nil {
		return err
	}
	o.Flush() // early lines belong to our own output as it was before it is redirected
	restore, saved := func() {}, []int(nil)
	if err = o.tail.open(spec, sink.file); err == nil && c.Redirect {
		saved, restore, err = redirect(sink.file)
	}
	if err != nil {
		o.tail.close()
		_ = sink.abandon() // what matters is err
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.relayed = c.Relayed
	o.log, o.sink, o.restore, o.saved = &lines{to: sink.file, form: form{Form: o.form}}, sink, restore, saved
	return nil
}

// Close writes what was printed, gives us our own stdout and stderr back and lets go of
// the log. What is printed from then on goes to the early writer again. It blocks for
// [FlushTime] at most if the log takes nothing, and for as long again until a log command
// has ended. Without a log it is [Output.Flush]. Calling it again does no harm.
func (o *Output) Close() error {
	o.Flush()
	log, sink, restore := o.letGo()
	if sink == nil {
		return nil
	}
	log.Flush() // what came in between
	o.tail.close()
	restore() // or a log command would never see the end of its input
	return sink.close()
}

// letGo makes what is printed go to the early writer again, and returns the log that was open.
func (o *Output) letGo() (log *lines, sink *sink, restore func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	log, sink, restore = o.log, o.sink, o.restore
	o.log, o.sink, o.restore, o.saved = o.early, nil, nil, nil
	return log, sink, restore
}

// Printf prints a line, in order. Characters that cannot be printed are replaced: some of the
// text may come from others. It never blocks.
func (o *Output) Printf(format string, args ...any) { o.Log(Entry{Text: fmt.Sprintf(format, args...)}) }

// Warnf is Printf for what should not happen.
func (o *Output) Warnf(format string, args ...any) {
	o.Log(Entry{Level: Warning, Text: fmt.Sprintf(format, args...)})
}

// Log prints an entry, in order, as Printf does a line. It never blocks.
func (o *Output) Log(e Entry) {
	o.print(func(f form) string { return f.own(e, time.Now()) }, nil)
}

// print prints a text in the form of the open log, and then calls written, unless it is nil.
func (o *Output) print(text func(form) string, written func()) {
	o.mu.Lock() // what is printed before Close is in the queue by then
	defer o.mu.Unlock()
	o.log.print(text(o.log.form), written)
}

// Now prints a line before it returns, so it may block. It is for the time before the loop
// runs: nothing is kept waiting then, and a goroutine would take time.
func (o *Output) Now(format string, args ...any) {
	o.Flush()
	log := o.current()
	log.write(log.form.own(Entry{Text: fmt.Sprintf(format, args...)}, time.Now()))
}

// Do makes another goroutine call do when what was printed before is written. Only one such
// call runs at a time, as long as no log is opened or closed. Do never blocks.
func (o *Output) Do(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log.Add(do)
}

// Flush blocks until everything that was printed is written and everything given to Do is
// done, for [FlushTime] at most.
func (o *Output) Flush() { o.current().Flush() }

func (o *Output) current() *lines {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.log
}

// Descriptors are the stdout and stderr for workers: the log, or our own. They belong to
// the Output.
func (o *Output) Descriptors() (stdout, stderr int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sink == nil {
		return 1, 2
	}
	log := int(o.sink.file.Fd())
	return log, log
}

// commandEnded tells of a log command that has ended, or cannot be started again.
func (o *Output) commandEnded(pid, status int, err error) {
	e := Entry{Level: Warning, Event: "log-command"}
	switch {
	case err != nil:
		e.Text = fmt.Sprintf("log command cannot be restarted: %v", err)
	default:
		e.Worker, e.Status = &Worker{Pid: pid}, &status
		e.Text = fmt.Sprintf("log command %d died unexpectedly with status:%s, restarting", pid, o.Status(status))
	}
	o.Log(e)
}

// Status is a raw wait status as lines show it. Plain lines have the number alone, because
// operators grep for it. Others add words.
func (o *Output) Status(status int) string {
	if o.form.plain() {
		return strconv.Itoa(status)
	}
	return fmt.Sprintf("%d (%s)", status, words.ExitStatus(status))
}
