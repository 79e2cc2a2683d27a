package ctl

import (
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
)

// use is what one process uses.
type use struct {
	memory int64   // bytes; 0: not known
	cpu    float64 // part of a core, since the look before; negative: not known
}

// To add up the memory of a process takes 1 ms, or 100 ms if it has gigabytes; meanwhile the
// process cannot map memory. So this is done for memoryShare of the time at most, and for
// memoryFirst before the first picture. The processes that have waited longest come first.
const (
	memoryShare = 0.02
	memoryFirst = 200 * time.Millisecond
	memorySpare = 20 * time.Millisecond // so much of the share may be left over
)

// usage knows what processes use.
type usage struct {
	processes map[int]*process // those of the last look, by pid
	at        time.Time        // of the last look; zero: there was none
	credit    time.Duration    // for adding up memory

	// Functions that tests replace.
	cpuTime func(pid int) (used time.Duration, ok bool)
	memory  func(pid int) int64
	now     func() time.Time
}

// process is a process that is looked at.
type process struct {
	use
	used     time.Duration // CPU time
	memoryAt time.Time     // zero: its memory has not been added up
}

func newUsage() *usage {
	return &usage{cpuTime: proc.CPUTime, memory: proc.OwnMemory, now: time.Now}
}

// look looks at processes, and forgets all others.
func (u *usage) look(pids []int) {
	now := u.now()
	since := now.Sub(u.at)
	if u.at.IsZero() {
		since, u.credit = 0, memoryFirst
	} else {
		u.credit = min(u.credit+time.Duration(float64(since)*memoryShare), memorySpare)
	}
	u.at = now
	before := u.processes
	u.processes = map[int]*process{}
	var waiting []int // for their memory
	for _, pid := range pids {
		used, ok := u.cpuTime(pid)
		if !ok || u.processes[pid] != nil {
			continue
		}
		p := before[pid]
		if p == nil || used < p.used { // then it is another process with the same pid
			p = &process{use: use{cpu: -1}}
		} else if since > 0 {
			p.cpu = (used - p.used).Seconds() / since.Seconds()
		}
		p.used = used
		u.processes[pid] = p
		waiting = append(waiting, pid)
	}
	slices.SortStableFunc(waiting, func(a, b int) int { return u.processes[a].memoryAt.Compare(u.processes[b].memoryAt) })
	for _, pid := range waiting {
		if u.credit <= 0 {
			return
		}
		began := u.now()
		p := u.processes[pid]
		p.memory, p.memoryAt = u.memory(pid), began
		u.credit -= u.now().Sub(began)
	}
}

// of returns what a process uses; false if it was not looked at.
func (u *usage) of(pid int) (use, bool) {
	p := u.processes[pid]
	if p == nil {
		return use{cpu: -1}, false
	}
	return p.use, true
}
