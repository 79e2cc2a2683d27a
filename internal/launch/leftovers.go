package launch

import (
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

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
