//go:build unix

package proc

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// children are the processes that Start has started and Wait has not yet
// waited for.
var children = registry{pids: map[int]bool{}, waited: make(chan struct{}, 1)}

type registry struct {
	mu     sync.Mutex // held while a child is made, so that none is unknown
	pids   map[int]bool
	waited chan struct{} // takes a token when one has been waited for
}

func (r *registry) start(path string, args []string, attr *syscall.ProcAttr) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, args, attr)
	if err == nil {
		r.pids[pid] = true
	}
	return pid, err
}

func (r *registry) waitedFor(pid int) {
	r.mu.Lock()
	delete(r.pids, pid)
	r.mu.Unlock()
	select {
	case r.waited <- struct{}{}:
	default:
	}
}

// ReapOrphans waits for the processes that this one is given as PID 1, or as a
// subreaper, when their parents end, so that they do not pile up as zombies. It
// leaves those alone that Start has started, and ends when stop is called. All
// other children of the process would be taken for orphans.
func ReapOrphans() (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	quit := make(chan struct{})
	go func() {
		for {
			children.reapOthers()
			select {
			case <-ended:
			case <-children.waited: // an orphan may have been behind that one
			case <-quit:
				return
			}
		}
	}()
	return func() {
		signal.Stop(ended)
		close(quit)
	}
}

// reapOthers waits for whoever has ended, until it comes to one of ours, which
// its own Wait is about to take, or there is none.
func (r *registry) reapOthers() {
	for {
		pid, err := nextEnded()
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid == 0 {
			return
		}
		if !r.reapOther(pid) {
			return
		}
	}
}

// reapOther waits for a process that has ended, if it is not one of ours. The
// lock is held, or its number could be that of a child of ours by then.
func (r *registry) reapOther(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pids[pid] {
		return false
	}
	_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // nobody asks how it ended
	return true
}
