// Package handover is how one image of a superdaemon becomes another: a new executable, or
// a new command line, in the same process (execve(2)). So the workers stay its children,
// and a process that waits for it does not notice.
//
// The new image first rehearses: a child runs it with all options and the state, and says
// whether it could go on with them. Then the state is written to a file in memory
// (memfd_create(2)), and the image is executed. If it cannot go on after all it executes
// the old one again.
package handover

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Format is the version of State. It changes when an older image would go wrong with one.
const Format = 1

// magic begins a state that is written.
const magic = "start_server handover\n"

// State is all that one image hands over to the next. The descriptors stay open across the
// exec, and keep their numbers.
type State struct {
	Format int
	Name   string // of the superdaemon
	Pid    int

	From        Image // the one that hands over
	To          Image
	Upgrades    int  // how many, with this one
	KeepWorkers bool // they are not restarted
	By          *control.Waiting

	Loop       *supervise.Frozen
	Processes  []proc.Handed // of the loop's workers
	Sockets    []*socket.Held
	PidFile    *File
	StatusFile string
	Notify     *notify.Held
	Control    *control.Held
	Output     *output.Held
	Logger     *proc.Handed  // the log command
	Going      []proc.Handed // of Output.Going; no Pid: it does not run just now
	Stop       string        // the signal that workers are stopped with
	Ignored    []int         // signals that were ignored before the exec was prepared
	Sources    []int         // descriptors that were passed to the superdaemon at its start

	Kept []socket.Kept // by the service manager

	Orphans *runfile.HeldOrphans // of a superdaemon that was killed; nil: there are none

	Strangers []int // children that were there before the first worker

	Commands *report.HeldCommands // for events

	Unit     int              // what the service manager takes the superdaemon for
	UnitRest *report.UnitRest // nil: there is no more to say of that

	Guard        int // the end of a pipe to the child that has rehearsed
	GuardProcess proc.Handed
}

// Image is a program that a superdaemon was, is, or will be.
type Image struct {
	Executable string
	FD         int // of the executable
	Args       []string
	// InForce is the command line that Args stand for, with the contents of the file that they
	// name as this image has read it; nil: they name none.
	InForce []string
	Version string
	Since   time.Time
}

// File is an open file.
type File struct {
	Path string
	FD   int
}

// encode writes a state.
func (s *State) encode(c clock) []byte { return c.append([]byte(magic), reflect.ValueOf(*s)) }

// decode reads a state. With an errUnknown, the state lacks only the fields that are not known.
func decode(text []byte, c clock) (*State, error) {
	if len(text) < len(magic) || string(text[:len(magic)]) != magic {
		return nil, errors.New("it is none")
	}
	var s State
	err := c.decodeInto(text[len(magic):], reflect.ValueOf(&s).Elem())
	if s.Format != 0 && s.Format != Format {
		return nil, fmt.Errorf("it is of format %d, and this version knows format %d", s.Format, Format)
	}
	return &s, err
}
