// Package control carries requests and events over the superdaemon's control socket, a
// unix stream socket for clients of the same user and of root. docs/control.md describes
// the protocol for authors of clients.
package control

import (
	"context"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Version is the version of the protocol. It changes when a client of the older version
// would go wrong.
const Version = 1

// maxRequest bounds a request, in bytes with its newline.
const maxRequest = 16 << 10

// maxAnswer bounds an answer or an event that a client reads, in bytes. The status of
// ten thousand workers has some three megabytes.
const maxAnswer = 16 << 20

// Request is a line from a client.
type Request struct {
	Version int    // 0: ours
	ID      []byte // any JSON value; it comes back with the answer
	Command string
	Workers int    // of "workers"
	Signal  string // of "signal"
	Slot    *int   // of "signal"; nil: all
	// Args follow a command of einhorn's clients. Of "self-upgrade" they are the new command
	// line; nil: the old one.
	Args []string
	// Of "self-upgrade".
	Executable  string
	KeepWorkers bool

	client  *client // that sent it
	context context.Context
}

// Answer is the line that answers a request.
type Answer struct {
	Version    int
	ID         []byte
	OK         bool
	Error      string   // why it is not OK
	Message    string   // for people; einhorn's clients show it
	Log        []string // the last lines of the log since the failed attempt began
	Generation int      // made live by a restart
	Pids       []int    // of the workers that were sent a signal, or that have come or gone
	Status     *Status
	Commands   []Command
	Args       []string // the command line in force

	subscribes, refuses, handedOver bool // not sent: see Subscription, Refusal and HandedOver
}

// Subscription is the answer to a client that gets every event from now on.
func Subscription() Answer { return Answer{OK: true, subscribes: true} }

// Context ends, with the cause ErrHandedOver, when another image of this program is to carry
// out what is not carried out yet.
func (r *Request) Context() context.Context {
	if r.context == nil {
		return context.Background()
	}
	return r.context
}

// HandedOver is the answer to a request that was not carried out because its context ended. It
// is not sent.
func HandedOver() Answer { return Answer{handedOver: true} }

// Refusal is the answer to a client that may not ask for this. Config.Refused hears why.
func Refusal(why string) Answer { return Answer{Error: why, refuses: true} }

// Command is a command that a client may ask for.
type Command struct {
	Name string
	Help string
}

// Status is how things stand. Durations are seconds; times are sent as the
// seconds since 1970.
type Status struct {
	Name          string // of the program
	Pid           int
	State         supervise.Phase
	Started       time.Time
	Uptime        float64
	Generation    int // the live one; 0: none
	Starting      int // the one that is starting; 0: none
	WantedWorkers int
	Restarts      int
	Version       string     // of the program
	ImageSince    time.Time  // when this image of the program began to run
	Upgrades      int        // images before it
	StopsAt       *time.Time // when the stop delay is over; nil: no stop was asked for
	Workers       []Worker
	Sockets       []Socket
	Traffic       []Traffic // of each generation, the newest last; nil: they share their sockets
	Failure       *Failure  // of the last attempt; nil: it did not fail
}

// SameAs reports whether s is of the same superdaemon as earlier, which came that long before.
// The pid has to be the same, and the time of the start. The clock may have been set since: so
// it is enough if the uptime has grown by the time that has passed. The pid alone tells nothing:
// in a container it is always 1.
func (s *Status) SameAs(earlier *Status, passed time.Duration) bool {
	const inexact = time.Second
	longer := time.Duration((s.Uptime - earlier.Uptime) * float64(time.Second))
	return s.Pid == earlier.Pid && (s.Started.Sub(earlier.Started).Abs() <= inexact || (longer-passed).Abs() <= inexact)
}

// Worker is one worker process.
type Worker struct {
	ID
	State      supervise.WorkerState
	Age        float64
	ReadyAfter *float64 // nil: it has not proven itself yet
	Restarts   int      // how many workers its slot had before
	LastExit   *Exit    // of its slot; nil: none has ended
	NextTry    *float64 // until a worker is started, if it is missing
	Says       string   // its STATUS line
}

// Traffic is what a generation gets of the connections.
type Traffic struct {
	Generation  int
	Percent     float64  // of new connections
	Waiting     int      // connections that no worker has accepted
	SecondsLeft *float64 // of a canary's step, or of an old generation's standing by; nil: it is neither
	Given       int      // connections that a canary has got so far, at least
	CanRollBack bool     // it stands by, and --rollback would give it all connections
}

// ID names a worker.
type ID struct {
	Generation int
	Slot       int
	Pid        int
}

// Exit is how a process ended.
type Exit struct {
	Pid    int
	Status int // raw (wait(2))
	Text   string
	At     time.Time
	Lived  float64
}

// Socket is a socket of the workers.
type Socket struct {
	Name    string // as in SERVER_STARTER_PORT
	Network string // tcp, udp or unix
	Address string
	FD      int // in the workers
	// Waiting is the connections that no worker has accepted yet; on unix sockets 1 if there
	// are any. WaitingFor is for how many seconds none was accepted, as far as looks at the
	// queue can tell.
	Waiting    int
	WaitingFor float64
}

// Failure is an attempt to start a generation that failed.
type Failure struct {
	Generation int
	Reason     string
	At         time.Time
	GivenUp    bool // no other attempt followed
	Log        []string
}

// Event is something that happened. Which fields it has depends on its kind.
type Event struct {
	Version int
	Event   string
	Time    time.Time
	Worker  *ID
	Workers []ID
	// Generation is the one that has failed or gone live.
	Generation int
	Wanted     int      // workers
	Percent    *float64 // of the connections; nil: nothing is said of them
	Seconds    float64
	Signal     string
	Status     *int    // raw (wait(2))
	Reason     string  // of a failure
	Says       string  // the worker's STATUS line
	Text       string  // as the log has it
	Now        *Status // of "missed"
}
