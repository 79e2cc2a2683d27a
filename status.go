package starter

import (
	"context"
	"errors"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Status is how things stand.
type Status struct {
	Name string // of the program
	Pid  int
	// State is starting (nothing serves), serving, refilling (fewer workers than wanted),
	// restarting, canary (a new generation gets a part of the connections), draining (old
	// workers are on their way out), stop delay or stopping.
	State         string
	Started       time.Time
	Uptime        time.Duration
	Generation    int            // the live one; 0: none
	Starting      int            // the one that is starting; 0: none
	WantedWorkers int            // of a generation
	Restarts      int            // generations that went live after the first attempt
	Version       string         // of the program
	ImageSince    time.Time      // this image of the program runs
	Upgrades      int            // images before it in this process
	StopsAt       time.Time      // when the stop delay is over; zero: no stop was asked for
	Workers       []WorkerStatus // in ascending order of generation and slot
	Sockets       []SocketStatus // in the order given
	Traffic       []Traffic      // of each generation, the newest last; with BlueGreen only
	Failure       *FailureStatus // of the last attempt; nil: it did not fail
}

// WorkerStatus is one worker process.
type WorkerStatus struct {
	Generation int
	Slot       int // its number, from 0
	Pid        int // 0: it is missing
	// State is proving, canary (it gets a part of the connections), live, standby (it gets none,
	// and Rollback would give it all), old (serving until it is told to go), draining (told to go),
	// stopping (as it says itself), failed (told to go, as its generation has failed) or
	// missing (it has ended, and another one is to be started in its slot).
	State      string
	Age        time.Duration
	ReadyAfter time.Duration // from its start until it had proved itself; 0: it has not yet
	Restarts   int           // how many workers its slot had before
	LastExit   *WorkerExit   // of its slot; nil: none has ended
	NextTry    time.Duration // if it is missing: until one is started
	Says       string        // its last STATUS line (sd_notify(3))
}

// Traffic is what a generation gets of the connections, with BlueGreen.
type Traffic struct {
	Generation  int
	Percent     float64       // of new connections
	Waiting     int           // connections that no worker has accepted yet
	TimeLeft    time.Duration // of a canary's step, or for which an old generation stands by; 0: neither
	Given       int           // connections that a canary has got so far, at least
	CanRollBack bool          // it stands by, and Rollback would give it all connections
}

// WorkerExit is how a worker ended.
type WorkerExit struct {
	Pid    int
	Status int    // raw, as of wait(2)
	Text   string // the same in words: exit code 1
	At     time.Time
	Lived  time.Duration
}

// SocketStatus is a socket of the workers.
type SocketStatus struct {
	Name    string // as in SERVER_STARTER_PORT
	Network string // tcp, udp or unix
	Address string
	FD      int // in the workers
	// Waiting is how many connections no worker has accepted yet; on unix sockets it is 1 if
	// there are any. WaitingFor is for how long none was accepted, as far as is known.
	Waiting    int
	WaitingFor time.Duration
}

// FailureStatus is an attempt to start a generation that failed.
type FailureStatus struct {
	Generation int
	Reason     string
	At         time.Time
	GivenUp    bool     // no other attempt followed
	Log        []string // the last lines of the log file since it began
}

// Status tells how things stand. It blocks while Run is not running, until ctx
// ends; after Run the error is ErrStopping.
func (s *Starter) Status(ctx context.Context) (Status, error) {
	now, err := s.commands.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	return statusOf(now), nil
}

// statusOf is the status of the control socket with Go's types of time.
func statusOf(now control.Status) Status {
	s := Status{
		Name: now.Name, Pid: now.Pid, State: string(now.State), Started: now.Started, Uptime: seconds(now.Uptime),
		Generation: now.Generation, Starting: now.Starting, WantedWorkers: now.WantedWorkers, Restarts: now.Restarts,
		Version: now.Version, ImageSince: now.ImageSince, Upgrades: now.Upgrades,
	}
	if now.StopsAt != nil {
		s.StopsAt = *now.StopsAt
	}
	for _, w := range now.Workers {
		s.Workers = append(s.Workers, workerStatusOf(w))
	}
	for _, socket := range now.Sockets {
		s.Sockets = append(s.Sockets, SocketStatus{
			Name: socket.Name, Network: socket.Network, Address: socket.Address, FD: socket.FD,
			Waiting: socket.Waiting, WaitingFor: seconds(socket.WaitingFor),
		})
	}
	for _, g := range now.Traffic {
		t := Traffic{Generation: g.Generation, Percent: g.Percent, Waiting: g.Waiting, Given: g.Given, CanRollBack: g.CanRollBack}
		if g.SecondsLeft != nil {
			t.TimeLeft = seconds(*g.SecondsLeft)
		}
		s.Traffic = append(s.Traffic, t)
	}
	if f := now.Failure; f != nil {
		s.Failure = &FailureStatus{Generation: f.Generation, Reason: f.Reason, At: f.At, GivenUp: f.GivenUp, Log: f.Log}
	}
	return s
}

func workerStatusOf(w control.Worker) WorkerStatus {
	s := WorkerStatus{
		Generation: w.Generation, Slot: w.Slot, Pid: w.Pid, State: string(w.State), Age: seconds(w.Age),
		Restarts: w.Restarts, Says: w.Says,
	}
	if w.ReadyAfter != nil {
		s.ReadyAfter = seconds(*w.ReadyAfter)
	}
	if w.NextTry != nil {
		s.NextTry = seconds(*w.NextTry)
	}
	if e := w.LastExit; e != nil {
		s.LastExit = &WorkerExit{Pid: e.Pid, Status: e.Status, Text: e.Text, At: e.At, Lived: seconds(e.Lived)}
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Failure is why a worker, or the attempt to start one, has failed. Find it in an
// error of Restart or Run with [errors.As].
type Failure struct {
	Generation int
	Slot       int           // the worker's number, from 0
	Pid        int           // 0: the process could not be started at all
	Status     int           // raw, as of wait(2), if it has ended
	Lived      time.Duration // from its start until it failed
	Said       string        // its last STATUS line (sd_notify(3))
	Late       bool          // it is still there, but was not ready in time
	Last       bool          // it was not new: it was the last worker, and none replaces it
	Err        error         // why the process could not be started
	Probe      string        // why it did not pass a probe (Config.Probes)
	Unfit      bool          // it has said that it is not fit to serve, by ABORT=1
	RolledBack string        // the request for a rollback; "": there was none
	Percent    float64       // the part of the connections that its generation got as a canary
	Given      int           // how many connections that were, at least
}

func (f *Failure) Error() string { return f.internal().Error() }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// ExitCode is the exit code that a shell would give for the worker: its own, or 128 plus
// the signal that killed it. It is 1 if the worker could not be started, or is still there.
func (f *Failure) ExitCode() int { return f.internal().ExitCode() }

func (f *Failure) internal() *supervise.Failure {
	return &supervise.Failure{
		Worker: supervise.Worker{Generation: f.Generation, Slot: f.Slot, Pid: f.Pid},
		Status: f.Status, Lived: f.Lived, Said: f.Said, Late: f.Late, Last: f.Last, Err: f.Err,
		Probe: f.Probe, Unfit: f.Unfit, RolledBack: f.RolledBack, Share: supervise.ShareOf(f.Percent), Given: f.Given,
	}
}

// failed is an error in which a *Failure can be found.
type failed struct {
	error
	why *supervise.Failure
}

// withFailure makes errors.As find a *Failure in err if it has one of the supervisor.
func withFailure(err error) error {
	var why *supervise.Failure
	if !errors.As(err, &why) {
		return err
	}
	return &failed{err, why}
}

func (f *failed) Unwrap() error { return f.error }

// As is for errors.As.
func (f *failed) As(target any) bool {
	found, is := target.(**Failure)
	if is {
		w := f.why
		*found = &Failure{
			Generation: w.Generation, Slot: w.Slot, Pid: w.Pid,
			Status: w.Status, Lived: w.Lived, Said: w.Said, Late: w.Late, Last: w.Last, Err: w.Err,
			Probe: w.Probe, Unfit: w.Unfit, RolledBack: w.RolledBack, Percent: supervise.PercentOf(w.Share), Given: w.Given,
		}
	}
	return is
}
