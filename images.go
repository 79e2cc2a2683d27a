package starter

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// images are what this process was and is to be.
type images struct {
	handed    *handover.Inherited // nil: this is the first one
	oldPid    *runfile.PidFile    // of the last one; nil: it is the same, or there was none
	workers   []*proc.Process     // that the last one has handed over
	command   *proc.Process       // for an event, too; nil: there is none
	since     time.Time           // when this one began
	upgrades  int
	upgrading sync.Mutex
	made      undo // what the last one did not have, for when that has to go on
}

// pause has no signal caught any more. After one to stop that has come since the upgrade was asked
// for nothing is to be executed.
func (s *Starter) pause() (left []os.Signal, again func(), err error) {
	if s.caught == nil {
		return nil, func() {}, nil
	}
	left = s.caught.Pause()
	if s.caught.Ended() {
		err = ErrStopping
	}
	return left, func() { s.caught.Again(left) }, err
}

// goBack has the last image go on, see handover.Back.
func (s *Starter) goBack(why error) error {
	if s.handed == nil {
		return handover.Back(why, nil)
	}
	if err := s.made.run(); err != nil {
		why = errors.Join(why, err)
	}
	return handover.Back(why, s.pause)
}
