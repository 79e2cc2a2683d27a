package handover

import (
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// Images are the last image of a superdaemon in this process, and the present one.
type Images struct {
	Last     *Inherited // nil: this is the first one
	Since    time.Time  // when this one began
	Upgrades int        // images before it

	// Upgrading is held while another image is about to go on.
	Upgrading sync.Mutex

	workers  []*proc.Process  // of the last one, in the order of its loop
	commands report.Handed    // of the last one
	pid      *runfile.PidFile // nil: there is none
	oldPid   *runfile.PidFile // of the last one; nil: it is the same, or there was none
	made     []func() error   // see Made
}

// NewImages is for an image of a superdaemon of that name.
func NewImages(name string) (*Images, error) {
	last, err := Claim(name)
	return &Images{Last: last, Since: time.Now()}, err
}

// State is what the last image has handed over: nothing, if there was none.
func (i *Images) State() *State {
	if i.Last == nil {
		return &State{}
	}
	return i.Last.State
}

// Made notes how to undo something that the last image did not have. Back undoes it.
func (i *Images) Made(undo func() error) { i.made = append(i.made, undo) }

// Back makes the last image go on, for the reason why; see the function of that name.
func (i *Images) Back(why error, pause Pause) error {
	if i.Last == nil {
		return Back(why, nil)
	}
	for _, undo := range slices.Backward(i.made) {
		if err := undo(); err != nil {
			why = errors.Join(why, err)
		}
	}
	return Back(why, pause)
}

// Paths are where an image has its files; "": it has none.
type Paths struct{ Pid, Status, Control string }

// SamePath tells whether path, made absolute, is the absolute one that was handed over; "": none
// was.
func SamePath(path, absolute string) bool {
	abs, err := filepath.Abs(path)
	return err == nil && absolute != "" && abs == absolute
}
