// Package supervise is the superdaemon's one loop: it decides when worker
// processes are started, when a new generation has proved itself, and when an
// old one is told to go.
//
// One goroutine owns all state. Whatever happens reaches it as a message: a
// request, a worker started, a worker gone, the alarm of its one timer. It
// acts through a [Spawner] and tells what it did through [Config.Observe], and
// knows nothing of the operating system, so that the whole life of a
// superdaemon runs in a testing/synctest bubble. loop.go holds the table of
// states and events.
package supervise

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// MinInterval is the shortest time a worker has to live to have proved itself,
// and the shortest time between two spawns in one slot. With less, a program
// that fails at once would be taken as good.
const MinInterval = 100 * time.Millisecond

// MaxWorkers is the greatest number of workers that a generation may have.
const MaxWorkers = 10000

// maxPause caps the growing pause between failing attempts, for intervals
// shorter than it: an outage is not prolonged by more than this.
const maxPause = 10 * time.Second

// ErrStopping is what a restart gets that was asked for too late.
var ErrStopping = errors.New("the superdaemon is stopping")

// Process is a running worker.
type Process interface {
	Pid() int
	// Signal sends a signal. A process that has ended meanwhile is no error.
	Signal(os.Signal) error
	// Wait blocks until the process has ended, and returns its raw wait
	// status. It is called exactly once.
	Wait() int
}

// Settings are read anew for every worker that is started.
type Settings struct {
	KillOldDelay time.Duration // from a generation's success to the retire signal
	AutoRestart  time.Duration // restart so long after the last success; 0: never
}

// Spawner starts workers. Spawn is called outside the loop, so it may block,
// and may be called for several slots at once. Generations count from 1, slots
// from 0.
type Spawner interface {
	Spawn(generation, slot int) (Process, Settings, error)
}

// Config says what to supervise, and how.
type Config struct {
	Spawner Spawner
	// Observe hears of everything the loop does, in order, from the loop's own
	// goroutine: it must not block. It may be nil.
	Observe func(Event)
	// Settled hears how many workers there are whenever the loop has done all
	// that a message or the clock called for, after Observe has heard of that; from
	// the loop's own goroutine, too. It may be nil.
	Settled func(Tally)

	Workers int // processes in a generation, at least 1
	// Surge makes a new generation replace a live one slot by slot, with so many
	// processes at most beyond Workers: each of its workers takes over as soon
	// as it is proven. 0: all at once.
	Surge    int
	Interval time.Duration // see MinInterval
	// ReadyTimeout makes a worker prove itself by a Notice that it is ready,
	// within that time. 0: by living through Interval.
	ReadyTimeout time.Duration
	Attempts     int           // failed attempts in a row before giving up; 0: never give up
	RetireSignal os.Signal     // tells the workers of an old generation to go; nil: they stay
	AbortSignal  os.Signal     // tells the siblings of a failed worker to go
	LeaveSignal  os.Signal     // the same for those that serve, being proven; nil: AbortSignal
	KillTimeout  time.Duration // from a signal to KILL for a worker still there; 0: never
	// NoRefill leaves the place of a worker that has ended empty, and has Run return
	// when none is left, with the last one's Failure unless that ended by exit code 0.
	// A restart still starts a new generation.
	NoRefill bool
	// FirstServes makes a generation live, when nothing serves, as soon as one of its
	// workers is proven. The others are then replaced one by one if they fail.
	FirstServes bool
	// Steer is for slots with listening sockets of their own: it has new
	// connections go to the first slots only, and blocks, outside the loop, until
	// none waits in another. At first they go to Workers slots. nil: all slots
	// share their sockets.
	Steer func(slots int)
}

// Supervisor runs generations of workers. Its methods may be called from any
// goroutine; Restart and Stop only once Run has been called.
type Supervisor struct {
	config Config
	mail   chan message
	done   chan struct{}
	close  sync.Once // of done
}

// New returns a Supervisor that has not started anything yet.
func New(c Config) *Supervisor {
	c.Workers = max(c.Workers, 1)
	c.Interval = max(c.Interval, MinInterval)
	if c.Observe == nil {
		c.Observe = func(Event) {}
	}
	if c.Settled == nil {
		c.Settled = func(Tally) {}
	}
	return &Supervisor{config: c, mail: make(chan message), done: make(chan struct{})}
}

// Run starts the first generation and supervises until the last worker is
// gone. It must be called once. When ctx ends, the workers are stopped with
// stopSignal. The result is nil after a stop, and otherwise a *Failure that says why
// the supervisor could not go on: the first worker could not be started, or the
// attempts were used up with no worker left to serve. With NoRefill it is the last
// worker's, after a stop, too.
func (s *Supervisor) Run(ctx context.Context, stopSignal os.Signal) error {
	defer s.Close()
	return newLoop(s).run(ctx, stopSignal)
}

// Close is for a Supervisor that will never run: Restart then returns at once.
func (s *Supervisor) Close() { s.close.Do(func() { close(s.done) }) }

// Outcome is how a restart has gone.
type Outcome struct {
	Generation int   // that is live by it; 0 if there is an error
	Err        error // a *Failure, or ErrStopping
}

// Restart asks for a new generation. The outcome, once a generation begun
// after the call is live, arrives on the channel, which needs no reader. Unless
// attempts are bounded it tells of the first one that fails. cause is for the
// log. Before Run it blocks, until ctx ends.
func (s *Supervisor) Restart(ctx context.Context, cause string) <-chan Outcome {
	reply := make(chan Outcome, 1)
	if err := s.post(ctx, restartAsked{cause, reply}); err != nil {
		reply <- Outcome{Err: err}
	}
	return reply
}

// Notify passes on what a worker has said of itself. Before Run it blocks, until
// ctx ends.
func (s *Supervisor) Notify(ctx context.Context, n Notice) {
	_ = s.post(ctx, n) // after the end nobody cares
}

// Acknowledge passes on that a process is ready, and tells whether that counts
// for a worker: pids are the process, its parent, and so on. Before Run it
// blocks, until ctx ends; after it the error is ErrStopping.
func (s *Supervisor) Acknowledge(ctx context.Context, pids []int) (counts bool, err error) {
	reply := make(chan bool, 1)
	if err := s.post(ctx, Notice{Pids: pids, Ready: true, counts: reply}); err != nil {
		return false, err
	}
	select {
	case counts := <-reply:
		return counts, nil
	case <-s.done:
		return false, ErrStopping
	}
}

// Stop sends sig to all workers, for good, after serving on for delay. It does
// not wait: Run returns when they are gone. cause is for the log. Before Run it
// blocks, until ctx ends.
func (s *Supervisor) Stop(ctx context.Context, cause string, sig os.Signal, delay time.Duration) {
	_ = s.post(ctx, stopAsked{cause, sig, delay}) // over is as good as stopped
}

// Resize changes the number of workers by n, to not less than one and not more
// than MaxWorkers. cause is for the log. Before Run it blocks, until ctx ends.
func (s *Supervisor) Resize(ctx context.Context, cause string, n int) {
	_ = s.post(ctx, resizeAsked{cause: cause, by: n, reply: make(chan error, 1)}) // after the end there are none
}

// Step is how a worker more, or one less, has come to be.
type Step struct {
	Worker  Worker // the one that has proved itself, or is gone; Pid is 0 if there was none
	Workers int    // how many there are to be
	Err     error  // a *Failure, ErrStopping, or why the number cannot be so; or that it was changed again
}

// Step changes the number of workers by one: up if more is set, and down
// otherwise. How it went arrives on the channel, which needs no reader: when the new
// worker has proved itself or failed, which it is then tried again after, or the one
// in excess is gone. cause is for the log. Before Run it blocks, until ctx ends.
func (s *Supervisor) Step(ctx context.Context, cause string, more bool) <-chan Step {
	reply := make(chan Step, 1)
	if err := s.post(ctx, stepAsked{cause, more, reply}); err != nil {
		reply <- Step{Err: err}
	}
	return reply
}

// SetWorkers makes n, at least 1, the number of workers, as Resize does. The
// error is ErrStopping after a stop, or that of ctx.
func (s *Supervisor) SetWorkers(ctx context.Context, cause string, n int) error {
	reply := make(chan error, 1)
	if err := s.post(ctx, resizeAsked{cause: cause, to: n, reply: reply}); err != nil {
		return err
	}
	return <-reply
}

// Signal sends sig to all workers, or with slot not negative to those in that
// slot, and returns whom. cause is for the log. What the signal does to them is
// theirs to know: one that ends them is like a crash. Before Run it blocks,
// until ctx ends.
func (s *Supervisor) Signal(ctx context.Context, cause string, sig os.Signal, slot int) ([]Worker, error) {
	reply := make(chan []Worker, 1)
	if err := s.post(ctx, signalAsked{cause, sig, slot, false, reply}); err != nil {
		return nil, err
	}
	return <-reply, nil
}

// Pass passes on a signal that was sent to the superdaemon, and that may well be
// meant to end it: it goes to all workers, to those that are being started as soon
// as they are there, and the restart that waits, if there is one, is dropped. Where
// there is nobody yet, it is a stop. cause is for the log. Before Run it blocks,
// until ctx ends.
func (s *Supervisor) Pass(ctx context.Context, cause string, sig os.Signal) {
	_ = s.post(ctx, signalAsked{cause, sig, -1, true, make(chan []Worker, 1)}) // after the end there is nobody
}

// Status tells how things stand. Before Run it blocks, until ctx ends; after it
// the error is ErrStopping.
func (s *Supervisor) Status(ctx context.Context) (Status, error) {
	reply := make(chan Status, 1)
	if err := s.post(ctx, statusAsked{reply}); err != nil {
		return Status{}, err
	}
	return <-reply, nil
}

// post hands m to the loop, unless that is over or ctx is.
func (s *Supervisor) post(ctx context.Context, m message) error {
	select {
	case s.mail <- m:
		return nil
	case <-s.done:
		return ErrStopping
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// message is what the loop's mailbox takes.
type message interface{ message() }

type (
	restartAsked struct {
		cause string
		reply chan<- Outcome
	}
	stopAsked struct {
		cause  string
		signal os.Signal
		delay  time.Duration
	}
	resizeAsked struct {
		cause string
		by    int
		to    int // 0: by is what counts
		reply chan<- error
	}
	stepAsked struct {
		cause string
		more  bool
		reply chan<- Step
	}
	signalAsked struct {
		cause  string
		signal os.Signal
		slot   int  // negative: all
		passed bool // see Pass
		reply  chan<- []Worker
	}
	statusAsked struct{ reply chan<- Status }
	// Notice is what a process says of itself, in the words of sd_notify(3). It
	// counts for the worker that sent it, or whose descendant did.
	Notice struct {
		Pids     []int // the sender, its parent, and so on
		Ready    bool
		Stopping bool
		Status   *string // nil: nothing is said of it

		counts chan<- bool // told whether it is a worker's; nil: nobody wants to know
	}
	spawned struct { // the answer to each Spawn
		worker   *worker
		process  Process
		settings Settings
		err      error
	}
	steered struct{ slots int } // Steer has returned
	exited  struct {            // the answer to each Wait
		worker *worker
		status int
	}
)

func (restartAsked) message() {}
func (stopAsked) message()    {}
func (resizeAsked) message()  {}
func (stepAsked) message()    {}
func (signalAsked) message()  {}
func (statusAsked) message()  {}
func (Notice) message()       {}
func (spawned) message()      {}
func (steered) message()      {}
func (exited) message()       {}
