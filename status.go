package starter

import (
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// updateStatus keeps the status file. Failing is not fatal: the next change
// tries again.
func (s *Starter) updateStatus(e supervise.Event) {
	if s.status == nil {
		return
	}
	var update func() error
	switch e := e.(type) {
	case supervise.Serving:
		var entries []runfile.Entry
		for _, w := range e.Workers {
			entries = append(entries, runfile.Entry{Generation: w.Generation, Pid: w.Pid})
		}
		update = func() error { return s.status.Write(entries) }
	case supervise.AttemptFailed:
		if !e.Decided {
			return
		}
		update = s.status.Renew
	default:
		return
	}
	s.writes.Add(func() {
		if err := update(); err != nil {
			s.out.Printf("%v: trying again at the next change", err)
		}
	})
}
