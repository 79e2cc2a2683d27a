package output

import (
	"cmp"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Hand stops copying what workers write, and writes what was printed. Each of the two takes
// [FlushTime] at most. It returns all output for the next image of this program. release makes
// this image go on with it.
func (o *Output) Hand() (h *Held, release func()) {
	pipes := o.relays.hold()
	o.Flush()
	o.mu.Lock()
	sink, gone := o.sink, slices.Clone(o.going)
	h = &Held{Saved: o.saved, Relays: pipes, Tail: o.tail.hand()}
	o.mu.Unlock() // a log command that hangs while it is started holds up what follows, but no printing
	started := func() {}
	if sink != nil {
		h.Spec = sink.spec
		h.Command, started = sink.hand()
	}
	var goOn []func()
	for _, s := range gone {
		if going, again := s.handGoing(); going != nil {
			h.Going, goOn = append(h.Going, going), append(goOn, again)
		}
	}
	return h, func() {
		for _, again := range goOn {
			again()
		}
		started()
		o.relays.release()
	}
}

// Adopt restores our own stdout and stderr as the last image had them. Call it before Open.
// The descriptors stay the caller's.
func (o *Output) Adopt(h *Held) {
	for i, n := range h.Saved {
		_ = unix.Dup2(n, 1+i)
	}
	o.tail.adopt(h.Tail)
}

// Follow goes on copying what workers write, from the pipes of the last image, and owns these
// from then on. The last image cannot go on after that: a part of a line would be lost.
func (o *Output) Follow(h *Held) {
	for _, r := range h.Relays {
		o.relays.follow(os.NewFile(uintptr(r.FD), "pipe from a worker"), Worker{r.Generation, r.Slot, r.Pid, r.Stream}, r.Part)
	}
}

// Abandon is Close for an image that cannot go on. The log command of the last image keeps
// running.
func (o *Output) Abandon() error {
	log, sink, restore := o.letGo()
	if sink == nil {
		return nil
	}
	log.Flush()
	restore()
	return sink.abandon()
}

// sink is the log command of the last image, if spec asks for the same one; otherwise nil.
func (h *Held) sink(spec, name string, run Runner, died func(pid, status int, err error)) (*sink, error) {
	if h == nil || h.Command == nil || h.Spec != spec {
		return nil, nil
	}
	c := h.Command
	h.Command = nil
	return c.sink(spec, name, run, false, died), nil
}

// sink is the log command. With lasts it is kept running as long as any process may write to it.
func (h *HeldCommand) sink(spec, name string, run Runner, lasts bool, died func(pid, status int, err error)) *sink {
	c := &command{
		args: args(spec, name), name: name, run: run, died: died, lasts: lasts,
		reader: os.NewFile(uintptr(h.Reader), "log command's stdin"),
		stdout: os.NewFile(uintptr(h.Stdout), "stdout"), stderr: os.NewFile(uintptr(h.Stderr), "stderr"),
		quit: make(chan struct{}), given: make(chan struct{}), ended: make(chan struct{}),
	}
	c.set(h.Process)
	go c.keep(h.Process)
	return &sink{spec, os.NewFile(uintptr(h.Writer), "log command"), c, true}
}

// LetGo gives up the log command of the last image, if it is not asked for any more. It ends after
// the last worker that writes to it. So do those that were given up before. LetGo does not block.
func (o *Output) LetGo(h *Held, run Runner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range h.Commands() {
		spec := cmp.Or(c.Spec, h.Spec)
		s := c.sink(spec, o.name, run, true, func(int, int, error) {})
		s.command.expectEnd()
		if c.Writer >= 0 {
			s.file.Close()
		}
		close(s.command.quit)
		o.going = append(o.going, s)
	}
}

// handGoing is hand for a log command that was given up; nil: it has ended.
func (s *sink) handGoing() (h *HeldCommand, release func()) {
	c := s.command
	c.mu.Lock()
	select {
	case <-c.ended:
		c.mu.Unlock()
		return nil, nil
	default:
	}
	return &HeldCommand{-1, int(c.reader.Fd()), int(c.stdout.Fd()), int(c.stderr.Fd()), s.spec, c.process}, c.mu.Unlock
}

// hand returns the log command. It is not started again until release is called.
func (s *sink) hand() (h *HeldCommand, release func()) {
	c := s.command
	if c == nil {
		return nil, func() {}
	}
	c.mu.Lock()
	return &HeldCommand{int(s.file.Fd()), int(c.reader.Fd()), int(c.stdout.Fd()), int(c.stderr.Fd()), "", c.process}, c.mu.Unlock
}

func (t *tail) hand() HeldTail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return HeldTail{t.generation, t.begin, t.failed, t.lines}
}

func (t *tail) adopt(h HeldTail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation, t.begin, t.failed, t.lines = h.Generation, h.Begin, h.Failed, h.Lines
}

// hold stops all copying, and returns the pipes.
func (r *relays) hold() []HeldRelay {
	r.mu.Lock()
	r.held, r.parts = true, map[*os.File]string{}
	for from := range r.pipes {
		_ = from.SetReadDeadline(time.Now())
	}
	r.mu.Unlock()
	done := make(chan struct{})
	go func() { r.open.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(FlushTime): // the log takes nothing: if nothing ever reads it a line is lost
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var pipes []HeldRelay
	for from, w := range r.pipes {
		conn, err := from.SyscallConn()
		if err == nil {
			_ = conn.Control(func(n uintptr) {
				pipes = append(pipes, HeldRelay{int(n), w.Pid, r.parts[from], w.Generation, w.Slot, w.Stream})
			})
		}
	}
	return pipes
}

// release goes on copying.
func (r *relays) release() {
	r.mu.Lock()
	parts, workers := r.parts, maps.Clone(r.pipes)
	r.held, r.parts = false, nil
	for from := range r.pipes {
		_ = from.SetReadDeadline(time.Time{})
	}
	r.mu.Unlock()
	for from, part := range parts { // of the pipes whose copying has stopped
		r.follow(from, workers[from], part)
	}
}
