package supervise

import (
	"os"
	"time"
)

// message is what the loop's mailbox takes.
type message interface{ message() }

type (
	restartAsked struct {
		cause string
		reply chan<- Outcome // nil: nobody wants to know
	}
	stopAsked struct {
		cause  string
		signal os.Signal
		delay  time.Duration
	}
	resizeAsked struct {
		cause   string
		size    Size
		reply   chan<- Resizing
		refused chan<- error // gets nil if it is not refused
	}
	signalAsked struct {
		cause  string
		signal os.Signal
		slot   int  // negative: all
		passed bool // see Pass
		reply  chan<- []Worker
	}
	statusAsked struct{ reply chan<- Status }
	wake        struct{}
	// Notice is what a process says of itself, in the words of sd_notify(3). It
	// counts for the sender if that is a worker, or for its nearest ancestor that is.
	Notice struct {
		Pids     []int // the sender, its parent, and so on
		Ready    bool
		Stopping bool
		Alive    bool    // it says so, see Renewal
		Abort    bool    // it is not fit to serve: its generation, if starting, has failed
		Status   *string // its STATUS line; nil: there is none

		counts chan<- bool // gets whether it counts for a worker; nil: nobody wants to know
	}
	begun   struct{ err error } // the answer to Begin, for the starting generation
	spawned struct {            // the answer to each Spawn
		worker   *worker
		process  Process
		settings Settings
		err      error
	}
	heard   struct{ worker *worker } // CatchUp has returned
	steered struct{ slots int }      // Steer has returned
	exited  struct {                 // the answer to each Wait
		worker *worker
		status int
	}
)

func (restartAsked) message() {}
func (stopAsked) message()    {}
func (resizeAsked) message()  {}
func (signalAsked) message()  {}
func (statusAsked) message()  {}
func (wake) message()         {}
func (Notice) message()       {}
func (begun) message()        {}
func (spawned) message()      {}
func (heard) message()        {}
func (steered) message()      {}
func (exited) message()       {}
