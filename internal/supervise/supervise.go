// Package supervise is the superdaemon's one loop: it decides when worker
// processes are started, when a new generation has proved itself, and when an
// old one is told to go.
//
// One goroutine owns all state. Whatever happens reaches it as a message: a
// request, a worker started, a worker gone, the alarm of its one timer. It
// acts through a [Spawner] and tells each [Observer] what it did. It knows
// nothing of the operating system, so the whole life of a superdaemon runs in a
// testing/synctest bubble. loop.go holds the table of states and events.
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

// ErrStopping is what a request gets that came too late.
var ErrStopping = errors.New("the superdaemon is stopping")

// Process is a running worker.
type Process interface {
	Pid() int
	// Signal sends a signal. A process that has ended meanwhile is no error.
	Signal(os.Signal) error
	// Ended tells that the process has ended, which Wait may not have told yet. It
	// does not block.
	Ended() bool
	// Wait blocks until the process has ended, and returns its raw wait
	// status. It is called exactly once.
	Wait() int
}

// Settings are read anew for every worker that is started.
type Settings struct {
	KillOldDelay time.Duration // from a generation's success to the retire signal
	AutoRestart  time.Duration // restart so long after the last success; 0: never
}

// Spawner starts workers. Both methods are called outside the loop, so they may
// block, but not for ever: Run returns after them. Generations count from 1, slots from 0.
type Spawner interface {
	// Begin is called once for each generation; its workers are spawned when it has
	// returned. If it fails, the attempt has failed.
	Begin(generation int) error
	// Spawn may be called for several slots at once. side is 0 without Config.Traffic.
	Spawn(generation, slot, side int) (Process, Settings, error)
}

// Config says what to supervise, and how.
type Config struct {
	Spawner   Spawner
	Observers []Observer

	Workers  int           // processes in a generation, at least 1
	Interval time.Duration // least time between two spawns in one slot, at least MinInterval
	Proof    Proof         // of a new worker; the zero value is Lived(Interval)
	Replace  Replace       // the live generation by a new one
	Attempts int           // failed attempts in a row before giving up; 0: never give up
	// FirstAttempts is Attempts until a generation has been live. 0: there is no difference.
	FirstAttempts int
	// FirstServes makes a generation live, when nothing serves, as soon as one of its
	// workers is proven. The others are then replaced one by one if they fail.
	FirstServes bool
	// Follow ties the supervisor to the workers that there are: the place of one that
	// has ended stays empty, and Run returns when none is left, with the last one's
	// Failure unless that ended by exit code 0. A restart still starts a new
	// generation.
	Follow bool

	// RetireSignal tells workers that serve to go: old ones, those in excess, and
	// proven ones of a failed attempt.
	RetireSignal os.Signal
	AbortSignal  os.Signal     // tells workers to go that are not proven
	KillTimeout  time.Duration // from a signal to KILL for a worker still there; 0: never

	// CatchUp blocks until Notify was called for all that workers have said so far, or
	// for a second. It is called outside the loop, before a worker is given up for not
	// having said that it is ready. nil: there is nothing to wait for.
	CatchUp func()

	// Hurry is called when a stop begins: Begin and Spawn, where they are under way, are to
	// return soon. It must not block. nil: they do anyway.
	Hurry func()

	// Leftovers is for workers that lead process groups. It is called outside the loop when
	// one has ended, returns those of its group that are still there a moment later, nil if
	// none is, and blocks for no longer. They are told to go as the worker was, and with
	// KillTimeout killed and waited for. nil: workers lead no groups.
	Leftovers func(Process) Leftovers
	// SignalGroup sends a signal to a worker that is to go, and to all of its group. It does not
	// block, and goes with Leftovers. nil: only the worker is told.
	SignalGroup func(Process, os.Signal) error

	// Steer is for slots with listening sockets of their own: it has new
	// connections go to the first slots only, and blocks, outside the loop, until
	// none waits in another. At first they go to Workers slots. nil: all slots
	// share their sockets.
	Steer func(slots int)

	// Traffic is for generations with sockets of their own: none but a proven one gets
	// connections while another is live. It goes with AtOnce, without Follow. nil: all generations share
	// their sockets.
	Traffic Traffic
	// Canary are the steps in which a proven generation comes to get all connections. Meanwhile
	// it has failed, for good, if a worker ends, fails a probe, or says that it is not fit.
	Canary []Step
	// KeepOld is how long the old generation stands by, without connections, for Rollback.
	KeepOld time.Duration

	// Probe asks a worker on a side whether it serves. It is called outside the loop, and blocks
	// until it has passed or ctx has ended: the error is why it has not. A worker of a canary is
	// asked again: one that does not answer has failed. It is called for each worker if Proof is Probed.
	// Those that Rivals names must not answer in its place.
	Probe func(ctx context.Context, w Worker, side int, again bool) error
	// ProbeInterval is from one question to the next in a canary. 0: there is no other.
	ProbeInterval time.Duration

	// Renewal is when workers are replaced between restarts. The zero value is never.
	Renewal
}

// Supervisor runs generations of workers. Its methods may be called from any
// goroutine. A request before Run blocks until Run takes it or the request's ctx
// ends; after Run it gets ErrStopping. cause is for the log.
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
	if c.Proof == (Proof{}) {
		c.Proof = Lived(c.Interval)
	}
	return &Supervisor{config: c, mail: make(chan message), done: make(chan struct{})}
}

// Run starts the first generation and supervises until the last worker is
// gone. It must be called once. When ctx ends, the workers are stopped with
// stopSignal. The result is nil after a stop, and otherwise a *Failure that says why
// the supervisor could not go on: the first worker could not be started, or the
// attempts were used up with no worker left to serve. With Follow it is the last
// worker's, after a stop, too.
func (s *Supervisor) Run(ctx context.Context, stopSignal os.Signal) error {
	defer s.Close()
	return newLoop(s).run(ctx, stopSignal)
}

// Close is for a Supervisor that will never run: requests then return at once.
func (s *Supervisor) Close() { s.close.Do(func() { close(s.done) }) }

// Outcome is how a restart has gone.
type Outcome struct {
	Generation int   // that is live by it; 0 if there is an error
	Err        error // a *Failure, or ErrStopping
}

// Restart asks for a new generation. The outcome, once a generation begun
// after the call is live, arrives on the channel, which needs no reader. Unless
// attempts are bounded it tells of the first one that fails.
func (s *Supervisor) Restart(ctx context.Context, cause string) <-chan Outcome {
	reply := make(chan Outcome, 1)
	if err := s.post(ctx, restartAsked{cause, reply}); err != nil {
		reply <- Outcome{Err: err}
	}
	return reply
}

// AskRestart is Restart for those that do not want to know how it goes.
func (s *Supervisor) AskRestart(ctx context.Context, cause string) {
	_ = s.post(ctx, restartAsked{cause: cause}) // after the end nobody cares
}

// Stop sends sig to all workers, for good, after serving on for delay. It does
// not wait: Run returns when they are gone. Asking again with another signal sends
// that, too, at once. An error says that ctx has ended before that was heard.
func (s *Supervisor) Stop(ctx context.Context, cause string, sig os.Signal, delay time.Duration) error {
	if err := s.post(ctx, stopAsked{cause, sig, delay}); !errors.Is(err, ErrStopping) {
		return err
	}
	return nil // over is as good as stopped
}

// Size is a number of workers: Number, or if that is 0, so many as there are to be
// and Change more.
type Size struct{ Number, Change int }

// Resizing is how another number of workers has come to be.
type Resizing struct {
	Worker  Worker // the last that has proved itself, or is gone; Pid is 0 if there was none
	Workers int    // how many there are to be
	Err     error  // a *Failure, ErrStopping, or that the number was changed again
}

// Resize changes the number of workers, and returns when that is wanted, or why it
// cannot be. done, which needs no reader, tells when all new workers have proved
// themselves or one has failed, which is then tried again, or when all in excess
// are gone.
func (s *Supervisor) Resize(ctx context.Context, cause string, size Size) (done <-chan Resizing, err error) {
	reply, refused := make(chan Resizing, 1), make(chan error, 1)
	if err := s.post(ctx, resizeAsked{cause, size, reply, refused}); err != nil {
		return nil, err
	}
	return reply, <-refused
}

// Signal sends sig to all workers, or with slot not negative to those in that
// slot, and returns which. What the signal does to them is theirs to know: one that
// ends them is like a crash.
func (s *Supervisor) Signal(ctx context.Context, cause string, sig os.Signal, slot int) ([]Worker, error) {
	reply := make(chan []Worker, 1)
	if err := s.post(ctx, signalAsked{cause, sig, slot, false, reply}); err != nil {
		return nil, err
	}
	return <-reply, nil
}

// Pass passes on a signal that was sent to the superdaemon, and that may well be
// meant to end it: it goes to all workers, to those that are being started as soon
// as they are there, and a restart that waits is dropped. Where no worker is yet, it
// is a stop.
func (s *Supervisor) Pass(ctx context.Context, cause string, sig os.Signal) {
	_ = s.post(ctx, signalAsked{cause, sig, -1, true, make(chan []Worker, 1)}) // after the end there is nobody
}

// Notify passes on what a process has said of itself. An error says that nobody has heard it:
// ErrStopping after the end, or that ctx ended before.
func (s *Supervisor) Notify(ctx context.Context, n Notice) error { return s.post(ctx, n) }

// Acknowledge passes on that a process is ready, and tells whether that counts
// for a worker: pids are the process, its parent, and so on.
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

// Status tells how things stand.
func (s *Supervisor) Status(ctx context.Context) (Status, error) {
	reply := make(chan Status, 1)
	if err := s.post(ctx, statusAsked{reply}); err != nil {
		return Status{}, err
	}
	return <-reply, nil
}

// Wake has the loop look at the clock, and its observers hear that it has settled.
func (s *Supervisor) Wake(ctx context.Context) { _ = s.post(ctx, wake{}) }

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
