// Package control is the superdaemon's control socket: a unix stream socket on
// which clients of the same user, or root, ask how things stand and have things
// done. docs/control.md is the protocol's description for those who write
// clients.
package control

import (
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Version is the version of the protocol. It changes when a client that knows
// only the older one would go wrong.
const Version = 1

// maxRequest bounds a request, in bytes with its newline.
const maxRequest = 16 << 10

// maxAnswer bounds what a client reads of an answer or an event: the status of
// ten thousand workers is some three megabytes.
const maxAnswer = 16 << 20

// Request is a line from a client.
type Request struct {
	Version int    // 0 is taken as ours
	ID      []byte // any JSON value, which comes back with the answer
	Command string
	Workers int    // of "workers"
	Signal  string // of "signal"
	Slot    *int   // of "signal"; nil: all
	// Args are what einhorn's clients give behind a command.
	Args []string
}

// Answer is the line that answers a request.
type Answer struct {
	Version    int
	ID         []byte
	OK         bool
	Error      string   // why not
	Message    string   // for people: what einhorn's clients show
	Log        []string // the last lines of the log since the failed attempt began
	Generation int      // the one that a restart has made live
	Pids       []int    // who was sent the signal
	Status     *Status
	Commands   []Command

	subscribes, refuses bool // not sent: see Subscription and Refusal
}

// Subscription is the answer to a client that has every event from now on.
func Subscription() Answer { return Answer{OK: true, subscribes: true} }

// Refusal is the answer to a client that may not ask for this, and why, of which
// Config.Refused hears.
func Refusal(why string) Answer { return Answer{Error: why, refuses: true} }

// Command is what there is to ask for.
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
	Starting      int // the one that is starting
	WantedWorkers int
	Restarts      int
	StopsAt       *time.Time // in the stop delay
	Workers       []Worker
	Sockets       []Socket
	Failure       *Failure // of the last attempt
}

// Worker is one worker process.
type Worker struct {
	ID
	State      supervise.WorkerState
	Age        float64
	ReadyAfter *float64 // nil: it has not proved itself yet
	Restarts   int      // workers that were started in its slot before
	LastExit   *Exit    // of its slot
	NextTry    *float64 // until one is started, if the worker is missing
	Says       string   // its STATUS line
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
	Status int // raw, as of wait(2)
	Text   string
	At     time.Time
	Lived  float64
}

// Socket is one that the workers have.
type Socket struct {
	Name    string // as in SERVER_STARTER_PORT
	Network string // tcp, udp or unix
	Address string
	FD      int // in the workers
}

// Failure is an attempt to start a generation that failed.
type Failure struct {
	Generation int
	Reason     string
	At         time.Time
	GivenUp    bool // no other attempt was made
	Log        []string
}

// Event is something that happened. Which fields it has depends on its kind.
type Event struct {
	Version int
	Event   string
	Time    time.Time
	Worker  *ID
	Workers []ID
	// Generation is that which has failed or is live.
	Generation int
	Wanted     int // workers
	Seconds    float64
	Signal     string
	Status     *int   // raw, as of wait(2)
	Reason     string // of a failure
	Says       string // the worker's STATUS line
	Text       string // as the log has it
}
