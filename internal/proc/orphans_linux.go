package proc

import (
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
)

// Strangers are the running children of this process that Start has not started. If this process
// is PID 1 or a subreaper these are orphans, except those that were there before.
func Strangers() []int {
	children.mu.Lock()
	defer children.mu.Unlock()
	return children.strangers()
}

// strangers needs the lock: while it is held none of them is reaped, so their pids stay theirs.
func (r *registry) strangers() (pids []int) {
	for _, pid := range sons(os.Getpid()) {
		stat, err := fd.ReadStat(pid)
		if !r.pids[pid] && err == nil && stat.State != 'Z' && stat.State != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids
}

// signalStrangers signals the strangers that are neither in spare nor in others. left are all
// strangers that are not in spare, and signalled those that were signalled now.
func (r *registry) signalStrangers(sig syscall.Signal, spare, others []int) (left, signalled []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, pid := range r.strangers() {
		if slices.Contains(spare, pid) {
			continue
		}
		left = append(left, pid)
		if !slices.Contains(others, pid) && syscall.Kill(pid, sig) == nil {
			signalled = append(signalled, pid)
		}
	}
	return left, signalled
}

// killedTime is how long endOrphans waits for what it has killed.
const killedTime = time.Second

// endOrphans is Orphans.End. Children in spare are left alone.
func endOrphans(spare []int, limit time.Duration, tell func(pids []int, sig os.Signal)) {
	start := time.Now()
	for _, stage := range []struct {
		sig   syscall.Signal
		until time.Time
	}{{syscall.SIGTERM, start.Add(limit)}, {syscall.SIGKILL, start.Add(limit + killedTime)}} {
		var told []int
		for {
			left, signalled := children.signalStrangers(stage.sig, spare, told)
			if len(left) == 0 {
				return
			}
			if len(signalled) > 0 {
				tell(signalled, stage.sig)
				told = append(told, signalled...)
			}
			now := time.Now()
			if !now.Before(stage.until) {
				break
			}
			awaitOther(left[0], now.Add(min(moment, stage.until.Sub(now))))
		}
	}
}
