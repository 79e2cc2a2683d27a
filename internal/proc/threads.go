package proc

import (
	"runtime"
	"sync"
)

// blocked is how many threads may be in a system call at once, or kept by a goroutine:
// four spawns, the forker, two for signals, the log, the status file, and some more.
const blocked = 12

// SpareThreads starts as many threads as this process will ever need, unless something
// hangs, and leaves them idle. Go starts one whenever none is idle, and the process dies
// if it cannot, because of RLIMIT_NPROC or a cgroup's pids.max: then a restart, for which a
// limit may well be too low, would be the end of the superdaemon. It blocks until
// all have run.
func SpareThreads() {
	var locked, ended sync.WaitGroup
	end := make(chan struct{})
	for range blocked + runtime.GOMAXPROCS(0) {
		locked.Add(1)
		ended.Go(func() {
			runtime.LockOSThread() // no two goroutines can be on the same thread now
			locked.Done()
			<-end
			runtime.UnlockOSThread()
		})
	}
	locked.Wait()
	close(end)
	ended.Wait()
}
