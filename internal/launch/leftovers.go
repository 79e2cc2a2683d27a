package launch

import (
	"os"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// SignalGroup sends a signal to a worker and to all of its group.
func (s *Spawner) SignalGroup(p supervise.Process, sig os.Signal) error {
	if worker, ok := p.(*proc.Process); ok {
		return worker.SignalGroup(sig)
	}
	return p.Signal(sig)
}

// Leftovers are the processes of a worker's group that are there a moment after the worker
// has ended; nil if there are none. It blocks for that moment.
func (s *Spawner) Leftovers(p supervise.Process) supervise.Leftovers {
	if worker, ok := p.(*proc.Process); ok {
		if left := worker.Leftovers(); left != nil {
			return left
		}
	}
	return nil
}
