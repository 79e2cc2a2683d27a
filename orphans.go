package starter

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/text"
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
	proc.EndOrphans(s.strangers, limit, func(pids []int, sig os.Signal) {
		still := ""
		if sig == os.Kill {
			still = fmt.Sprintf(" that are still there %s secs later", text.Seconds(limit))
		}
		s.out.Printf("sending %s to orphans of workers%s:%s", text.SignalName(sig), still, strings.Trim(strings.ReplaceAll(fmt.Sprint(pids), " ", ","), "[]"))
	})
}
