package collect

import (
	"math"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/proc"
)

const (
	cpuPause = 900 * time.Millisecond // between two looks at a process
	pssPause = 30 * time.Second       // between two that add up its memory, which costs more
	pssShare = 8                      // at one time, one in so many of the known processes is added up
	pssNew   = 64                     // and so many of the new ones
)

// usage is what the processes of one superdaemon use.
type usage struct {
	processes map[int]*process
	at        time.Time // of the last sample
	total     CPU
	drops     map[string]uint64 // by the name of the socket; replaced, never changed
	pss       func(pid int) int64
}

// process is a process that is looked at.
type process struct {
	Process
	used  time.Duration // CPU time
	pssAt time.Time
	there bool // in the sample that is being made
}

// view is a copy for others.
func (u *usage) view() (map[int]Process, CPU) {
	all := make(map[int]Process, len(u.processes))
	for pid, p := range u.processes {
		all[pid] = p.Process
	}
	return all, u.total
}

// sample looks at the processes of a status, at most once in cpuPause.
func (u *usage) sample(s *control.Status, now time.Time) {
	since := now.Sub(u.at)
	if since < cpuPause {
		return
	}
	if u.at.IsZero() {
		since = 0
	}
	u.at = now
	for _, p := range u.processes {
		p.there = false
	}
	u.look(s.Pid, false, since)
	for _, w := range first(s.Workers, maxProcesses) {
		u.look(w.Pid, true, since)
	}
	u.drops = drops(s)
	known, fresh := len(u.processes)/pssShare+1, pssNew
	for pid, p := range u.processes {
		switch {
		case !p.there:
			delete(u.processes, pid)
		case p.pssAt.IsZero() && fresh > 0:
			fresh--
			p.PSS, p.pssAt = u.pss(pid), now
		case known > 0 && now.Sub(p.pssAt) >= pssPause:
			known--
			p.PSS, p.pssAt = u.pss(pid), now
		}
	}
}

// look adds the CPU time that one process has used since the last look. since is 0 in the first
// sample, which cannot tell how much of that was used lately.
func (u *usage) look(pid int, worker bool, since time.Duration) {
	if pid <= 0 {
		return
	}
	p := u.processes[pid]
	if p != nil && p.there {
		return // the status names it twice
	}
	used, ok := proc.CPUTime(pid)
	if !ok {
		return
	}
	if p == nil || used < p.used { // then it is another process with the same pid
		p = &process{Process: Process{worker: worker}}
		u.processes[pid] = p
		if since == 0 {
			p.used = used
		}
		since = 0 // the next look can tell how fast it uses CPU
	}
	p.there = true
	more := max(0, used-p.used).Seconds()
	p.used = used
	if since > 0 {
		p.CPU = math.Round(more/since.Seconds()*1000) / 1000
	}
	if worker {
		u.total.Workers += more
	} else {
		u.total.Superdaemon += more
	}
}

// pss returns 0 if it cannot be read.
func pss(pid int) int64 {
	size, _ := proc.PSS(pid)
	return size
}
