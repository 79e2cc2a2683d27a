package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

const (
	watchPause = time.Second     // between two looks
	slowAnswer = 2 * time.Second // after this a superdaemon counts as not answering
)

// Watch shows how things stand with the superdaemon at the control socket path, each second
// until ctx ends, or until out cannot be written to. If the superdaemon is not there, Watch keeps
// looking for it; until it has answered it is called name. With json, out gets each status as a
// line of JSON, and notes gets what else there is to say.
func Watch(ctx context.Context, name, path string, out, notes io.Writer, json bool) error {
	w := &watch{output: newOutput(out), notes: notes, json: json, name: name, usage: newUsage(), since: time.Now()}
	if json {
		w.output = &output{out: out} // nothing is drawn, even on a terminal
	}
	resized, stop := resizes()
	defer stop()
	asks, answers := make(chan struct{}, 1), make(chan answer)
	go (&asker{name: name, path: path}).run(ctx, asks, answers)
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	w.ask(asks)
	for {
		var err error
		select {
		case <-ctx.Done():
			return w.end()
		case a := <-answers:
			w.asked = time.Time{}
			err = w.hear(a)
		case <-tick.C:
			if w.asked.IsZero() {
				w.ask(asks)
			} else if time.Since(w.asked) >= slowAnswer {
				err = w.isDown(w.asked, errSlow)
			}
		case <-resized:
			err = w.redraw()
		}
		if err != nil {
			return err
		}
	}
}

// watch is what is shown. It is for one goroutine.
type watch struct {
	*output
	notes io.Writer
	json  bool
	name  string
	usage *usage
	asked time.Time       // when the question was asked that has no answer yet; zero: none waits
	last  *control.Status // nil: the superdaemon has not answered yet, or is down
	near  bool            // the pids of last are of our own namespace
	since time.Time       // when it went down, or we began
	why   error           // why it is down; nil: it is not, or has not been asked yet
}

var errSlow = errors.New("it was asked, and has not answered yet")

func (w *watch) ask(asks chan<- struct{}) {
	w.asked = time.Now()
	asks <- struct{}{}
}

// hear shows the answer to a question.
func (w *watch) hear(a answer) error {
	if a.err != nil {
		return w.isDown(time.Now(), a.err)
	}
	w.last, w.near, w.why = a.status, a.near, nil
	w.name = fmt.Sprintf("%s (pid:%d)", a.status.Name, a.status.Pid)
	if w.json {
		return fd.WriteAll(w.out, string(a.status.JSON())+"\n")
	}
	p := newPicture(w.last, w.size(), w.colours)
	if w.near {
		w.usage.look(p.pids())
	}
	return w.show(p.lines(w.usage, time.Now()))
}

// isDown shows that the superdaemon is not there, or does not answer. since is when that began,
// if it was there before. Where nothing can be drawn over, it is told once.
func (w *watch) isDown(since time.Time, why error) error {
	told := w.why != nil
	if w.last != nil {
		w.since, w.last = since, nil
	}
	w.why = why
	switch {
	case told && !w.drawn:
		return nil
	case w.json:
		return fd.WriteAll(w.notes, strings.Join(w.absence(), "\n")+"\n")
	}
	return w.show(w.absence())
}

// redraw shows the same in another size.
func (w *watch) redraw() error {
	switch {
	case !w.drawn:
		return nil
	case w.last != nil:
		return w.show(newPicture(w.last, w.size(), w.colours).lines(w.usage, time.Now()))
	case w.why != nil:
		return w.show(w.absence())
	}
	return nil
}

// absence returns lines that tell that nothing answers, since when, and why.
func (w *watch) absence() []string {
	to, now := w.size(), time.Now()
	p := &picture{size: to, colours: w.colours}
	lines := p.coloured(red, folded(fmt.Sprintf("%s  no answer from %s since %s, for %s",
		now.Format(time.TimeOnly), w.name, w.since.Format(time.TimeOnly), age(now.Sub(w.since).Round(watchPause).Seconds())), to.columns))
	why := w.why.Error()
	if !errors.Is(w.why, errSlow) {
		why += "\nit is asked again each second"
	}
	for line := range strings.SplitSeq(why, "\n") {
		lines = append(lines, folded(oneLine(line), to.columns)...)
	}
	if to.rows > 0 && len(lines) > to.rows {
		lines = lines[:to.rows]
	}
	return lines
}

// folded breaks a line into as many as it needs, between words if it can.
func folded(line string, columns int) (lines []string) {
	for text.Width(line) > columns {
		head := text.Head(line, columns)
		if at := strings.LastIndexByte(head, ' '); at > 0 && line[len(head)] != ' ' {
			head = head[:at]
		}
		if head == "" { // not even a rune fits
			break
		}
		lines = append(lines, strings.TrimRight(head, " "))
		line = strings.TrimLeft(line[len(head):], " ")
	}
	return append(lines, text.Cut(line, columns))
}

// answer is the answer to a question, or why there is none.
type answer struct {
	status *control.Status
	near   bool // its pids are of our own namespace
	err    error
}

// asker asks a superdaemon for its status, on one connection as long as that lives.
type asker struct {
	name, path string
	line       *Superdaemon // nil: there is no connection
}

// run answers each question, until ctx ends.
func (a *asker) run(ctx context.Context, asks <-chan struct{}, answers chan<- answer) {
	defer a.hangUp()
	for {
		select {
		case <-asks:
		case <-ctx.Done():
			return
		}
		select {
		case answers <- a.ask(ctx):
		case <-ctx.Done():
			return
		}
	}
}

// ask blocks for as long as the superdaemon takes. If the superdaemon hangs up, ask calls it
// again: another image of it may go on.
func (a *asker) ask(ctx context.Context) answer {
	if a.line != nil {
		said, err := a.line.Do(ctx, control.Request{Command: "status"}, nil)
		if err == nil && said.Status != nil {
			said.Status.Name = a.line.Status.Name
			return a.answered(said.Status)
		}
		a.hangUp()
	}
	line, err := Call(ctx, a.name, a.path, false)
	if err != nil {
		return answer{err: err}
	}
	a.line = line
	return a.answered(line.Status)
}

func (a *asker) answered(s *control.Status) answer {
	return answer{status: s, near: a.line.Pid() == s.Pid}
}

func (a *asker) hangUp() {
	if a.line != nil {
		a.line.Close()
		a.line = nil
	}
}
