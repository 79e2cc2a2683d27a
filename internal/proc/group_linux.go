package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/sys/unix"
)

// Leftovers are the processes of a group whose leader has ended.
type Leftovers struct {
	group int
	pids  []int
}

// moment is how long the rest of a group has to follow its leader.
const moment = 100 * time.Millisecond

// Leftovers are the processes that are left in the group of this leader a moment after it has
// ended; nil if there are none. It blocks for that moment, unless none is left. Call it after
// Wait.
func (p *Process) Leftovers() *Leftovers {
	if !p.group || errors.Is(syscall.Kill(-p.pid, 0), syscall.ESRCH) {
		return nil
	}
	l := &Leftovers{group: p.pid}
	l.wait(time.Now().Add(moment))
	if l.pids = l.members(); len(l.pids) == 0 {
		return nil
	}
	return l
}

// Pids are those that Leftovers has found.
func (l *Leftovers) Pids() []int { return l.pids }

// Signal sends a signal to all of them. It is no error if they have ended.
func (l *Leftovers) Signal(sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %v is not known to this system", sig)
	}
	// No process gets the leader's pid while there is a group of that number. If a process has
	// it, the group was empty meanwhile, and this may be another group.
	if !errors.Is(syscall.Kill(l.group, 0), syscall.ESRCH) {
		return nil
	}
	if err := syscall.Kill(-l.group, number); !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// Wait blocks until none of them is there, nor any that they have started in the group.
func (l *Leftovers) Wait() { l.wait(time.Time{}) }

// wait is Wait until a time, unless that is zero.
func (l *Leftovers) wait(until time.Time) {
	for {
		members := l.members()
		if len(members) == 0 {
			return
		}
		for _, pid := range members {
			awaitOther(pid, until)
		}
		if !until.IsZero() && !time.Now().Before(until) {
			return
		}
	}
}

// awaitOther blocks until a process that is not our child has ended, or until the time comes.
func awaitOther(pid int, until time.Time) {
	handle, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	p := newPidfd(handle)
	if err != nil || p == nil { // before Linux 5.4, or there is no descriptor left
		time.Sleep(moment)
		return
	}
	defer p.close()
	if p.file.SetReadDeadline(until) != nil {
		time.Sleep(moment)
		return
	}
	p.await()
}

// members are the processes of the group that have not ended.
func (l *Leftovers) members() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what is there is all that can be seen
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := fd.ReadStat(pid)
		if err == nil && stat.Group == l.group && stat.State != 'Z' && stat.State != 'X' {
			pids = append(pids, pid)
		}
	}
	return pids
}
