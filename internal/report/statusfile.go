package report

import (
	"sync/atomic"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// StatusFile keeps the status file. If it cannot be written that is not fatal: it is tried
// again until the file is right, at first after statusRetry, and then more and more rarely.
type StatusFile struct {
	File *runfile.StatusFile // nil: there is none
	Out  *output.Output      // is told of failures

	writes output.Queue
	over   atomic.Bool // nothing is written any more

	// What follows is touched in the queue only.
	pause time.Duration // until the next try; 0: the file is right
	again *time.Timer
	ended bool
}

// Path is where the file is; "": there is none.
func (s *StatusFile) Path() string {
	if s.File == nil {
		return ""
	}
	return s.File.Path()
}

// The first and the longest pause between tries.
const (
	statusRetry    = time.Second
	maxStatusRetry = time.Minute
)

// Hear has the file written when what serves has changed, or a restart has failed.
func (s *StatusFile) Hear(e supervise.Event) {
	file := s.File // by the time of the write there may be none
	if file == nil {
		return
	}
	switch e := e.(type) {
	case supervise.Serving:
		var entries []runfile.Entry
		for _, w := range e.Workers {
			entries = append(entries, runfile.Entry{Generation: w.Generation, Pid: w.Pid})
		}
		s.update(func() error { return file.Write(entries) })
	case supervise.AttemptFailed:
		if e.Decided {
			s.update(file.Renew) // a client that waits sees by this that the restart is decided
		}
	}
}

func (s *StatusFile) update(do func() error) {
	s.writes.Add(func() {
		if !s.over.Load() {
			s.attempt(do)
		}
	})
}

// attempt has the file written. If that fails, it is tried again later with what the file has
// to hold by then.
func (s *StatusFile) attempt(do func() error) {
	if s.again != nil {
		s.again.Stop()
		s.again = nil
	}
	err := do()
	switch {
	case err == nil && s.pause > 0:
		s.Out.Printf("the status file is right again")
		s.pause = 0
		return
	case err == nil:
		return
	case s.pause == 0:
		s.pause = statusRetry
		s.Out.Warnf("%v: trying again until it is right", err)
	default:
		s.pause = min(2*s.pause, maxStatusRetry)
	}
	if file := s.File; !s.ended {
		s.again = time.AfterFunc(s.pause, func() { s.update(file.Rewrite) })
	}
}

// Flush blocks until all writes so far have been tried, for output.FlushTime at most.
func (s *StatusFile) Flush() { s.writes.Flush() }

// End is Flush. Nothing is written after that, not even what a disk that hangs has held up.
func (s *StatusFile) End() {
	s.writes.Add(func() {
		s.ended = true
		if s.again != nil {
			s.again.Stop()
		}
	})
	s.writes.Flush()
	s.over.Store(true)
}
