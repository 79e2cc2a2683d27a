//go:build !linux

package handover

import (
	"errors"
	"os"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// Inherited is a state that the last image has handed over to this one.
type Inherited struct {
	*State
	Why string
}

// Claim, InForce, Rehearsal and Early are for Linux only: nothing is ever handed over here.
func Claim(string) (*Inherited, error) { return nil, nil }

func InForce() []string { return nil }

func Rehearsal(string) (*State, error) { return nil, nil }

func Early(func(os.Signal)) {}

// Back returns why.
func Back(why error, _ Pause) error { return why }

// Pause is for Linux only.
type Pause func() (left []os.Signal, again func(), err error)

// Adopt is for Linux only.
func (*Images) Adopt(*output.Output) {}

// HoldPid takes the pid file.
func (*Images) HoldPid(path string) (*runfile.PidFile, error) { return runfile.Hold(path) }

// Candidate is an image that has rehearsed.
type Candidate struct{}

// Rehearse is for Linux only.
func Rehearse(*State, string) (*Candidate, error) {
	return nil, errors.New("only Linux can replace a superdaemon")
}

// IsOne tells that this process is an image that was given a state.
func IsOne() bool { return false }
