package report

import (
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// StatusFile keeps the status file. Failing is not fatal: the next change tries
// again.
type StatusFile struct {
	File *runfile.StatusFile // nil: there is none
	Out  *output.Output      // is told of failures

	writes output.Queue
}

// Hear has the file written when what serves has changed, or a restart has failed.
func (s *StatusFile) Hear(e supervise.Event) {
	if s.File == nil {
		return
	}
	switch e := e.(type) {
	case supervise.Serving:
		var entries []runfile.Entry
		for _, w := range e.Workers {
			entries = append(entries, runfile.Entry{Generation: w.Generation, Pid: w.Pid})
		}
		s.update(func() error { return s.File.Write(entries) })
	case supervise.AttemptFailed:
		if e.Decided {
			s.update(s.File.Renew) // which a client that waits takes for the news
		}
	}
}

// Settled does nothing: all is written.
func (s *StatusFile) Settled(supervise.Tally) {}

func (s *StatusFile) update(do func() error) {
	s.writes.Add(func() {
		if err := do(); err != nil {
			s.Out.Printf("%v: trying again at the next change", err)
		}
	})
}

// Flush blocks until all is written, but for output.FlushTime at most.
func (s *StatusFile) Flush() { s.writes.Flush() }
