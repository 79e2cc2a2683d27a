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

// Leftovers are what is there of a worker's group a moment after it has ended; nil if
// nothing is. It blocks for that moment.
func (s *Spawner) Leftovers(p supervise.Process) supervise.Leftovers {
	if worker, ok := p.(*proc.Process); ok {
		if left := worker.Leftovers(); left != nil {
			return left
		}
	}
	return nil
}
