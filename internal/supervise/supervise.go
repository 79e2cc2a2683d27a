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

// ErrStopping answers a request that came too late: the supervisor is stopping, or has ended.
var ErrStopping = errors.New("the superdaemon is stopping")

// Process is a running worker.
type Process interface {
	Pid() int
	// Signal sends a signal. A process that has ended meanwhile is no error.
	Signal(os.Signal) error
	// Ended tells whether the process has ended. Wait may not have returned yet. It
	// does not block.
	Ended() bool
	// Wait blocks until the process has ended, and returns its raw wait
	// status. It is called exactly once.
	Wait() int
}

// Settings are read anew for every worker that is started.
type Settings struct {
	KillOldDelay time.Duration // from a generation's success to the retire signal
	AutoRestart  time.Duration // from the last success to a restart; 0: never
}

// Spawner starts workers. Both methods are called outside the loop, so they may
// block, but not for ever: Run waits for them. Generations count from 1, slots from 0.
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
	// FirstAttempts takes the place of Attempts until a generation has been live. 0: it does not.
	FirstAttempts int
	// FirstServes makes a generation live, when nothing serves, as soon as one of its
	// workers is proven. The others are then replaced one by one if they fail.
	FirstServes bool
	// Follow leaves the place of a worker that has ended empty. Run returns when no
	// worker is left, with the Failure of the last one unless its exit code was 0. A
	// restart still starts a new generation.
	Follow bool

	// RetireSignal tells workers that serve to go: old ones, those in excess, and
	// the proven ones of a failed attempt.
	RetireSignal os.Signal
	AbortSignal  os.Signal     // tells workers that are not proven to go
	KillTimeout  time.Duration // from a signal to KILL for a worker still there; 0: never

	// CatchUp blocks until Notify was called for all that workers have said so far, but
	// for a second at most. It is called outside the loop, before a worker counts as not
	// ready in time, or as hung. nil: there is nothing to wait for.
	CatchUp func()

	// Hurry is called when a stop begins. Calls of Begin and Spawn that are under way then
	// have to return soon. Hurry must not block. nil: they return soon anyway.
	Hurry func()

	// Leftovers is for workers that lead process groups. It is called outside the loop when a
	// worker has ended, and blocks for a moment. It returns the processes of the worker's group
	// that are still there then, or nil. They get the signal that the worker got, or
	// RetireSignal. With KillTimeout they are also killed, and waited for. nil: workers lead no
	// groups.
	Leftovers func(Process) Leftovers
	// SignalGroup sends a signal to a worker that has to go, and to its whole group. It does not
	// block, and needs Leftovers. nil: only the worker gets the signal.
	SignalGroup func(Process, os.Signal) error

	// Steer is for slots that have their own listening sockets. It sends new
	// connections to the first slots only, and blocks until none waits in another
	// slot. It is called outside the loop. At first connections go to Workers slots.
	// nil: all slots share their sockets.
	Steer func(slots int)

	// Traffic is for generations that have their own sockets: while one is live, another one
	// gets connections only when it is proven. It needs AtOnce, and does not go with Follow.
	// nil: all generations share their sockets.
	Traffic Traffic
	// Canary are the steps in which a proven generation gets more and more of the connections.
	// Until it gets all, it fails if a worker ends, fails a probe, or says that it is not fit.
	// There is no other attempt then.
	Canary []Step
	// KeepOld is how long the old generation stands by, without connections, for Rollback.
	KeepOld time.Duration

	// Probe asks a worker on a side whether it serves. It is called outside the loop for each new
	// worker, if Proof is Probed, and blocks until the worker has passed or ctx has ended. The
	// error says why the worker has not passed. again is true for workers that are asked again:
	// those of a canary, which fails if one does not pass, and with ProbeLive live ones. The
	// processes that Rivals names must not answer in the worker's place.
	Probe func(ctx context.Context, w Worker, side int, again bool) error
	// ProbeInterval is the time from one question to the next. 0: no worker is asked again.
	ProbeInterval time.Duration

	// Renewal says when workers are replaced between restarts. The zero value: never.
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
// attempts were used up with no worker left to serve. With Follow it is the Failure of
// the last worker, also after a stop; see Config.
func (s *Supervisor) Run(ctx context.Context, stopSignal os.Signal) error {
	defer s.Close()
	return newLoop(s).run(ctx, stopSignal)
}

// Close is for a Supervisor that will never run: requests then return at once.
func (s *Supervisor) Close() { s.close.Do(func() { close(s.done) }) }

// Outcome is the result of a restart.
type Outcome struct {
	Generation int   // the one that is live now; 0 if there is an error
	Err        error // a *Failure, or ErrStopping
}

// Restart asks for a new generation. The outcome arrives on the channel when a
// generation begun after the call is live. Unless attempts are bounded, it also arrives
// with the first attempt that fails. The channel needs no reader.
func (s *Supervisor) Restart(ctx context.Context, cause string) <-chan Outcome {
	reply := make(chan Outcome, 1)
	if err := s.post(ctx, restartAsked{cause, reply}); err != nil {
		reply <- Outcome{Err: err}
	}
	return reply
}

// AskRestart is Restart without the outcome.
func (s *Supervisor) AskRestart(ctx context.Context, cause string) {
	_ = s.post(ctx, restartAsked{cause: cause}) // after the end nobody cares
}

// Stop ends the supervisor: the workers serve on for delay, and then get sig. Stop does
// not wait: Run returns when they are gone. During the delay another Stop without a delay
// takes effect at once; one with a delay changes nothing. After it, a Stop with another
// signal sends that, too. The error says that ctx has ended before the loop had the request.
func (s *Supervisor) Stop(ctx context.Context, cause string, sig os.Signal, delay time.Duration) error {
	if err := s.post(ctx, stopAsked{cause, sig, delay}); !errors.Is(err, ErrStopping) {
		return err
	}
	return nil // over is as good as stopped
}

// Size is a number of workers: Number or, if that is 0, the number that is wanted now
// plus Change.
type Size struct{ Number, Change int }

// Resizing is the result of a Resize.
type Resizing struct {
	Worker  Worker // the one in the last slot that was filled or emptied; Pid is 0 if there was none
	Workers int    // how many are wanted
	Err     error  // a *Failure, ErrStopping, or that the number was changed again
}

// Resize changes the number of workers that are wanted, and returns at once; err says
// why it cannot be changed. done tells when all new workers have proved themselves,
// when one has failed, which is then tried again, or when all workers in excess are
// gone. It needs no reader.
func (s *Supervisor) Resize(ctx context.Context, cause string, size Size) (done <-chan Resizing, err error) {
	reply, refused := make(chan Resizing, 1), make(chan error, 1)
	if err := s.post(ctx, resizeAsked{cause, size, reply, refused}); err != nil {
		return nil, err
	}
	return reply, <-refused
}

// Signal sends sig to the workers in slot, or to all if slot is negative, and returns
// them. What the signal does is up to the workers: if it ends one, that is like a crash.
func (s *Supervisor) Signal(ctx context.Context, cause string, sig os.Signal, slot int) ([]Worker, error) {
	reply := make(chan []Worker, 1)
	if err := s.post(ctx, signalAsked{cause, sig, slot, false, reply}); err != nil {
		return nil, err
	}
	return <-reply, nil
}

// Pass passes on a signal that was sent to the superdaemon, probably to end it. All
// workers get it; those that are being started get it as soon as they are there. A
// restart that waits is dropped. If there is no worker, and none is being started, the
// signal is a stop.
func (s *Supervisor) Pass(ctx context.Context, cause string, sig os.Signal) {
	_ = s.post(ctx, signalAsked{cause, sig, -1, true, make(chan []Worker, 1)}) // after the end there is no worker
}

// Notify passes on what a process has said of itself. An error says that the loop did not get
// it: ErrStopping after the end, or that ctx ended before.
func (s *Supervisor) Notify(ctx context.Context, n Notice) error { return s.post(ctx, n) }

// Acknowledge passes on that a process is ready. pids are the process, its parent, and
// so on. counts says whether one of them is a worker.
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

// Wake makes the loop look at the clock, settle, and tell its observers a Tally.
func (s *Supervisor) Wake(ctx context.Context) { _ = s.post(ctx, wake{}) }

// post hands m to the loop, unless the loop or ctx has ended.
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
