package starter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// checkControl sees to it that nobody else's control socket is where ours is to be,
// before anything else is done. Its path is made absolute, as workers are told of it.
func (s *Starter) checkControl() error {
	if s.config.Control == "" {
		return nil
	}
	path, err := filepath.Abs(s.config.Control)
	if err != nil {
		return fmt.Errorf("control socket %q: %w", s.config.Control, err)
	}
	if err := fd.CheckPath(path); err != nil {
		return fmt.Errorf("control socket %q: %w", path, err)
	}
	s.config.Control = path
	return control.Check(path)
}

// openControl makes the control socket.
func (s *Starter) openControl() (err error) {
	c := control.Config{Name: s.config.Name, Do: s.do, Refused: s.controlRefused}
	if s.runAs != nil {
		c.Worker = s.runAs.UID
	}
	if s.config.Ready == ReadyNotify {
		c.Ancestors = notify.Ancestors
	}
	s.control, err = control.Listen(s.config.Control, c)
	return err
}

func (s *Starter) controlRefused(why string, more int) {
	line := "refused on the control socket: " + why
	if more > 0 {
		line += fmt.Sprintf(", and %d more since the last such line", more)
	}
	s.out.Printf("%s", line)
}

// do carries out what a client of the control socket asks for.
func (s *Starter) do(peer control.Peer, r control.Request) control.Answer {
	ctx := context.Background()
	cause := fmt.Sprintf("%s asked for by process %d", r.Command, peer.Pid)
	switch r.Command {
	case "status", "state":
		status, err := s.Status(ctx)
		return answer(control.Answer{Status: &status, Message: s.who() + " is " + status.State}, err)
	case "restart", "upgrade":
		return s.doRestart(ctx, cause)
	case "stop":
		s.sup.Stop(ctx, cause, s.config.SignalOnTERM, s.config.StopDelay)
		return control.Answer{OK: true}
	case "die":
		return s.doDie(ctx, cause, r)
	case "inc", "dec":
		return s.doStep(ctx, cause, r.Command == "inc")
	case "ehlo":
		return control.Answer{OK: true, Message: "You are speaking to " + s.who()}
	case "version":
		return control.Answer{OK: true, Message: s.config.Name + " (go-server-starter) " + Version}
	case "quieter", "louder", "reload", "config":
		return answer(control.Answer{}, fmt.Errorf("%s is einhorn's, and not to be had: the log tells everything, and options are given at the start", r.Command))
	case "workers":
		return answer(control.Answer{}, s.doWorkers(ctx, cause, r.Workers))
	case "signal":
		return s.doSignal(ctx, cause, r)
	case "worker:ack":
		return answer(control.Answer{}, s.doAck(ctx, peer))
	}
	return answer(control.Answer{}, fmt.Errorf("there is no command %.40q; help tells what there is", r.Command))
}

// answer is a, or why there is none.
func answer(a control.Answer, err error) control.Answer {
	if err != nil {
		return control.Answer{Error: err.Error()}
	}
	a.OK = true
	return a
}

func (s *Starter) doRestart(ctx context.Context, cause string) control.Answer {
	how := <-s.sup.Restart(ctx, cause)
	if how.Err != nil {
		return control.Answer{Error: how.Err.Error(), Log: s.lastWords(how.Err)}
	}
	return control.Answer{OK: true, Generation: how.Generation, Message: fmt.Sprintf("generation %d is live", how.Generation)}
}

// who is how this program introduces itself.
func (s *Starter) who() string { return fmt.Sprintf("%s (pid:%d)", s.config.Name, os.Getpid()) }

// doDie stops all workers as einhorn does: by the signal that old ones get, or by
// the one asked for.
func (s *Starter) doDie(ctx context.Context, cause string, r control.Request) control.Answer {
	sig := s.config.SignalOnHUP
	if name, err := r.SignalName(); err != nil {
		return answer(control.Answer{}, err)
	} else if name != "" {
		if sig, err = text.ParseSignal(name); err != nil {
			return answer(control.Answer{}, err)
		}
	}
	s.sup.Stop(ctx, cause, sig, s.config.StopDelay)
	return control.Answer{OK: true, Message: s.who() + " is going down"}
}

// doStep is a worker more, or one less, done when that has proved itself, or is gone.
func (s *Starter) doStep(ctx context.Context, cause string, more bool) control.Answer {
	if s.config.Workers == 0 {
		return answer(control.Answer{}, errWorkers)
	}
	how := <-s.sup.Step(ctx, cause, more)
	var failure *Failure
	switch {
	case errors.As(how.Err, &failure):
		return answer(control.Answer{}, fmt.Errorf("%w; %s are wanted, and it is tried again", how.Err, count(how.Workers, "worker")))
	case how.Err != nil:
		return answer(control.Answer{}, how.Err)
	}
	a := control.Answer{OK: true, Message: "now there is " + count(how.Workers, "worker")}
	if how.Workers > 1 {
		a.Message = "now there are " + count(how.Workers, "worker")
	}
	if how.Worker.Pid == 0 {
		return a
	}
	a.Pids = []int{how.Worker.Pid}
	if more {
		a.Message += fmt.Sprintf(": worker %d has proved itself", how.Worker.Pid)
	} else {
		a.Message += fmt.Sprintf(": worker %d is gone", how.Worker.Pid)
	}
	return a
}

// errWorkers is for a number of workers that was not given.
var errWorkers = errors.New("the number of workers can be changed only if it was given at the start")

func (s *Starter) doWorkers(ctx context.Context, cause string, n int) error {
	switch {
	case s.config.Workers == 0:
		return errWorkers
	case n < 1 || n > MaxWorkers:
		return fmt.Errorf(`"workers" is %d, which is not from 1 to %d`, n, MaxWorkers)
	}
	return s.sup.SetWorkers(ctx, cause, n)
}

func (s *Starter) doSignal(ctx context.Context, cause string, r control.Request) control.Answer {
	name, err := r.SignalName()
	var sig os.Signal
	if err == nil {
		sig, err = text.ParseSignal(name)
	}
	if err != nil {
		return answer(control.Answer{}, err)
	}
	slot := -1
	if r.Slot != nil {
		slot = *r.Slot
	}
	workers, err := s.sup.Signal(ctx, cause, sig, slot)
	if err == nil && len(workers) == 0 {
		err = errors.New("there is no worker")
		if r.Slot != nil {
			err = fmt.Errorf("there is no worker in slot %d", slot)
		}
	}
	a := control.Answer{}
	for _, w := range workers {
		a.Pids = append(a.Pids, w.Pid)
	}
	return answer(a, err)
}

// doAck takes einhorn's way to say that a worker is ready. The pid that it may
// name counts for nothing: who has connected does.
func (s *Starter) doAck(ctx context.Context, peer control.Peer) error {
	if s.config.Ready != ReadyNotify {
		return nil // nobody has asked
	}
	counts, err := s.sup.Acknowledge(ctx, peer.Ancestors)
	if err == nil && !counts {
		err = fmt.Errorf("process %d is no worker's", peer.Pid)
	}
	return err
}

// Status tells how things stand. It blocks while Run is not running, until ctx
// ends; after Run the error is ErrStopping.
func (s *Starter) Status(ctx context.Context) (Status, error) {
	now, err := s.sup.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	status := Status{
		Name: s.config.Name, Pid: os.Getpid(), State: now.State, Started: now.Began, Uptime: now.Now.Sub(now.Began).Seconds(),
		Generation: now.Generation, Starting: now.Starting,
		WantedWorkers: now.Wanted, Restarts: now.Restarts,
		Workers: make([]control.Worker, 0, len(now.Workers)), Sockets: s.controlSockets(),
	}
	if !now.StopAt.IsZero() {
		status.StopsAt = &now.StopAt
	}
	for _, w := range now.Workers {
		status.Workers = append(status.Workers, controlWorker(w, now.Now))
	}
	if f := now.Failure; f != nil {
		status.Failure = &control.Failure{
			Generation: f.Generation, Reason: f.Error(), At: f.At, GivenUp: f.GivenUp,
			Log: s.lastWords(&f.Failure),
		}
	}
	return status, nil
}

// Status is how things stand, as Starter.Status and the control socket tell it;
// docs/control.md says what is in it.
type (
	Status        = control.Status
	WorkerStatus  = control.Worker
	WorkerExit    = control.Exit
	SocketStatus  = control.Socket
	FailureStatus = control.Failure
)

func controlWorker(w supervise.WorkerStatus, now time.Time) control.Worker {
	c := control.Worker{
		ID: control.ID(w.Worker), State: w.State, Restarts: max(0, w.Starts-1), Says: w.Said,
	}
	if w.State == "missing" {
		next := max(0, w.Next.Sub(now)).Seconds()
		c.NextTry = &next
	} else {
		c.Age = now.Sub(w.Began).Seconds()
	}
	if w.After > 0 {
		after := w.After.Seconds()
		c.ReadyAfter = &after
	}
	if e := w.Ended; e != nil {
		c.LastExit = &control.Exit{
			Pid: e.Pid, Status: e.Status, Text: supervise.DescribeStatus(e.Status), At: e.At, Lived: e.Lived.Seconds(),
		}
	}
	return c
}

func (s *Starter) controlSockets() []control.Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	sockets := []control.Socket{}
	if s.sockets == nil {
		return sockets
	}
	for _, socket := range s.sockets.Sockets {
		sockets = append(sockets, control.Socket{Name: socket.Name, Network: socket.Addr.Network(), Address: socket.Addr.String(), FD: socket.FD})
	}
	return sockets
}

// publish tells the subscribers of the control socket what the loop does.
func (s *Starter) publish(e supervise.Event, line string) {
	if event := controlEvent(e); event.Event != "" {
		event.Text = line
		s.control.Publish(event)
	}
}

// controlEvent is an event as the control socket tells it; its kind is empty if
// that is of no interest.
func controlEvent(e supervise.Event) control.Event {
	switch e := e.(type) {
	case supervise.RestartAsked:
		return control.Event{Event: "restart-asked"}
	case supervise.AutoRestart:
		return control.Event{Event: "auto-restart"}
	case supervise.Started:
		return control.Event{Event: "started", Worker: controlID(e.Worker)}
	case supervise.Proven:
		return control.Event{Event: "proven", Worker: controlID(e.Worker), Seconds: e.After.Seconds()}
	case supervise.Noticed:
		return control.Event{Event: "says", Worker: controlID(e.Worker), Says: e.Status}
	case supervise.NotReady:
		return control.Event{Event: "not-ready", Worker: controlID(e.Worker), Seconds: e.Lived.Seconds()}
	case supervise.AttemptFailed:
		return control.Event{Event: "failed", Generation: e.Generation, Worker: controlID(e.Worker), Reason: e.Error()}
	case supervise.GaveUp:
		return control.Event{Event: "gave-up", Generation: e.Generation, Reason: e.Error()}
	case supervise.TookOver:
		return control.Event{Event: "took-over", Worker: controlID(e.Worker), Workers: controlIDs(e.Old), Seconds: e.Delay.Seconds()}
	case supervise.WentLive:
		return control.Event{Event: "live", Generation: e.Generation, Workers: controlIDs(e.Old...), Seconds: e.Delay.Seconds()}
	case supervise.Shrinking:
		return control.Event{Event: "retiring", Workers: controlIDs(e.Workers...), Signal: signalName(e.Signal)}
	case supervise.Retiring:
		return control.Event{Event: "retiring", Workers: controlIDs(e.Workers...), Signal: signalName(e.Signal)}
	case supervise.Died:
		return control.Event{Event: "exited", Worker: controlID(e.Worker), Status: &e.Status}
	case supervise.RefillFailed:
		return control.Event{Event: "refill-failed", Reason: e.Error()}
	case supervise.Resized:
		return control.Event{Event: "resized", Wanted: e.Workers}
	case supervise.Signalled:
		return control.Event{Event: "signalled", Workers: controlIDs(e.Workers...), Signal: signalName(e.Signal)}
	case supervise.Killed:
		return control.Event{Event: "killed", Worker: controlID(e.Worker), Seconds: e.After.Seconds()}
	case supervise.StopDelayed:
		return control.Event{Event: "stop-delayed", Seconds: e.Delay.Seconds()}
	case supervise.StopAsked:
		return control.Event{Event: "stopping", Workers: controlIDs(e.Workers...), Signal: signalName(e.Signal)}
	}
	return control.Event{}
}

func controlID(w supervise.Worker) *control.ID {
	id := control.ID(w)
	return &id
}

// controlIDs leaves out who is none.
func controlIDs(workers ...supervise.Worker) []control.ID {
	var ids []control.ID
	for _, w := range workers {
		if w.Pid != 0 {
			ids = append(ids, control.ID(w))
		}
	}
	return ids
}
