package proc

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Hand is the child as it is now. Call HoldWaits first.
func (p *Process) Hand() Handed {
	h := Handed{Pid: p.pid, Group: p.group}
	if p.waited {
		h.Ended, h.Status = true, p.status
	}
	return h
}

// Adopt takes over a child from the last image.
func Adopt(h Handed) *Process {
	p := &Process{pid: h.Pid, group: h.Group, waited: h.Ended, status: h.Status}
	if h.Ended {
		return p
	}
	children.adopt(h.Pid)
	handle, err := unix.PidfdOpen(h.Pid, 0)
	if err != nil {
		handle = -1
	}
	p.pidfd = newPidfd(handle)
	return p
}

// AdoptLeftovers is what the leader of a process group has left behind. The last image has
// waited for the leader, and has found pids.
func AdoptLeftovers(leader int, pids []int) *Leftovers { return &Leftovers{leader, pids} }

// holdTime is how long HoldWaits waits for a wait4(2) under way, which does not block
// where there are pidfds.
const holdTime = time.Second

// HoldWaits keeps every Wait from taking another child until release is called: what ends
// meanwhile is for the next image to wait for.
func HoldWaits() (release func(), err error) {
	for end := time.Now().Add(holdTime); ; time.Sleep(time.Millisecond) {
		if children.waits.TryLock() {
			return children.waits.Unlock, nil
		}
		if time.Now().After(end) {
			return nil, errors.New("an ended worker cannot be reaped: that needs Linux 5.4, and no debugger that holds it")
		}
	}
}

// Exec replaces this program by another one (execve(2)), and returns only if it cannot. All
// descriptors without close-on-exec stay open. Children with DieWithParent live on: the
// kernel takes the end of the thread that has started them for the end of their parent, and
// this is the one thread that an exec leaves.
func Exec(path string, args, env []string) (err error) {
	onForker(func() { err = syscall.Exec(path, args, env) })
	return err
}
