package starter

import (
	"cmp"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
)

// orphanTime is KillTimeout for orphans, if there is none.
const orphanTime = 10 * time.Second

// inInitsPlace tells that orphans come to us, and that nobody but us can be sent a
// signal that is for the workers.
func (s *Starter) inInitsPlace() bool {
	return s.config.Subreaper || s.config.HandleSignals && os.Getpid() == 1
}

// endOrphans ends what workers have left behind, where it comes to us.
func (s *Starter) endOrphans() {
	if !s.inInitsPlace() {
		return
	}
	limit := cmp.Or(s.config.KillTimeout, orphanTime)
	proc.EndOrphans(s.strangers, limit, report.Orphans(s.out, limit))
}
