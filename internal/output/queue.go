package output

import (
	"sync"
	"time"
)

// Queue does one thing after the other, in a goroutine of its own, so that the
// loop is never kept waiting by a log that nobody reads or a disk that hangs. The zero
// value is an empty one. Its methods may be called from any goroutine.
type Queue struct {
	mu    sync.Mutex
	todo  []func()
	busy  bool
	hangs bool          // Flush has given up, and nothing was done since
	empty chan struct{} // closed when there is nothing to do; nil: nobody waits
}

// Add makes the goroutine call do when everything that was added before is done. It never
// blocks.
func (q *Queue) Add(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.todo = append(q.todo, do)
	if !q.busy {
		q.busy = true
		go q.work()
	}
}

func (q *Queue) work() {
	for {
		q.mu.Lock()
		q.hangs = false
		if len(q.todo) == 0 {
			q.busy = false
			if q.empty != nil {
				close(q.empty)
				q.empty = nil
			}
			q.mu.Unlock()
			return
		}
		do := q.todo[0]
		q.todo[0] = nil
		q.todo = q.todo[1:]
		q.mu.Unlock()
		do()
	}
}

// FlushTime bounds the wait for a log that nobody reads any more.
const FlushTime = 2 * time.Second

// Flush blocks until everything is done, for FlushTime at most. If it has given up once it
// does not wait again until something was done.
func (q *Queue) Flush() {
	q.mu.Lock()
	if !q.busy || q.hangs {
		q.mu.Unlock()
		return
	}
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	empty := q.empty
	q.mu.Unlock()
	select {
	case <-empty:
	case <-time.After(FlushTime):
		q.mu.Lock()
		defer q.mu.Unlock()
		q.hangs = q.busy
	}
}
