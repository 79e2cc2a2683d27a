//go:build unix

package proc

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// children are the processes that Start has started and Wait has not waited for.
var children = registry{pids: map[int]bool{}, waited: make(chan struct{}, 1)}

type registry struct {
	waits  sync.RWMutex // held by each Wait that takes a child, and by HoldWaits
	mu     sync.Mutex   // held during a fork, so every child is in pids when it ends
	pids   map[int]bool
	waited chan struct{} // holds a token after Wait has waited for a child
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

// adopt leaves a child that the last image has started to Wait.
func (r *registry) adopt(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pids[pid] = true
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

// adoptOrphans waits for the orphans that come to this process until stop is called.
func adoptOrphans(subreaper bool) (stop func(), err error) {
	undo := func() {}
	if subreaper {
		if undo, err = becomeSubreaper(); err != nil {
			return nil, err
		}
	}
	reaped := reapOrphans()
	return func() { undo(); reaped() }, nil
}

// reapOrphans waits for the orphans that this process adopts as PID 1 or as a subreaper,
// so that they do not pile up as zombies, until stop is called. Children that Start has
// started are left to Wait. Any other child is taken for an orphan.
func reapOrphans() (stop func()) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	quit := make(chan struct{})
	go func() {
		for {
			children.reapOthers()
			select {
			case <-ended:
			case <-children.waited: // it may have hidden an orphan: see reapOthers
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

// reapOthers waits for the orphans that have ended. It stops at a child of Start, whose
// own Wait has to take it first: the kernel shows no other before that.
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

// reapOther waits for an ended process, unless Start has started it. Without the lock,
// that pid could by now be a new child's.
func (r *registry) reapOther(pid int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pids[pid] {
		return false
	}
	_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // how an orphan ended is of no use
	return true
}
