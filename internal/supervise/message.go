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
		refused chan<- error // nil: it is not
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
	// counts for the worker that sent it, or whose descendant did.
	Notice struct {
		Pids     []int // the sender, its parent, and so on
		Ready    bool
		Stopping bool
		Alive    bool    // it says so, see Renewal
		Abort    bool    // it is not fit to serve: a new generation has failed by that
		Status   *string // nil: nothing is said of it

		counts chan<- bool // told whether it is a worker's; nil: it need not be told
	}
	begun   struct{ err error } // the answer to Begin, for the starting generation
	spawned struct {            // the answer to each Spawn
		worker   *worker
		process  Process
		settings Settings
		err      error
	}
	heard   struct{ worker *worker } // CatchUp has returned
	steered struct{ slots int }      // Steer has
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
