// Package launch is what a worker gets, and the supervise.Spawner that gives it:
// program and arguments, environment, descriptors, working directory.
package launch

import (
	"errors"
	"slices"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
)

// Program is what is the same for every worker.
type Program struct {
	Command  []string // the program and its arguments
	Expand   bool     // {fd:WHICH} and {port:WHICH} in the arguments
	Exports  []fdenv.Export
	Numbered bool // each worker is told its slot
	// Start is how a worker is started, without Args, Env, Files and PidVariables.
	Start proc.Command
}

// Check says what is wrong with the program, as far as that can be known before
// anything is bound. sockets are those of socket.Plan. The error names every fault.
func (p *Program) Check(sockets []socket.Socket) error {
	start := p.start(nil, nil, nil)
	faults := []error{start.CheckPrepared()}
	named := Names(sockets)
	for _, e := range p.Exports {
		faults = append(faults, e.Check(named))
	}
	_, err := p.args(named)
	return errors.Join(append(faults, err, p.fit(named))...)
}

// Find says whether the program is there and may be executed.
func (p *Program) Find(env Environ) error {
	start := p.start(p.Command, env, nil)
	return start.Check()
}

// start is how a worker is started.
func (p *Program) start(args, env []string, files []int) proc.Command {
	c := p.Start
	c.Args, c.Env, c.Files = args, env, files
	for _, e := range p.Exports {
		if e.OwnPID != "" && !slices.Contains(c.PidVariables, e.OwnPID) {
			c.PidVariables = append(c.PidVariables, e.OwnPID)
		}
	}
	return c
}

// args are a worker's program and its arguments. Only the arguments are expanded.
func (p *Program) args(sockets []fdenv.Socket) ([]string, error) {
	if !p.Expand || len(p.Command) == 0 { // another check tells of an empty command
		return p.Command, nil
	}
	args, err := fdenv.Expand(p.Command[1:], sockets)
	return append([]string{p.Command[0]}, args...), err
}

// Names are the sockets in the form in which workers are told of them.
func Names(sockets []socket.Socket) []fdenv.Socket {
	names := make([]fdenv.Socket, len(sockets))
	for i, s := range sockets {
		names[i] = fdenv.Socket{Name: s.Name, Label: s.Label, Addr: s.Addr, FD: s.FD}
	}
	return names
}
