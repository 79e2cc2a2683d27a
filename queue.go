package starter

import (
	"sync"
	"time"
)

// queue does one thing after the other, in a goroutine of its own, so that the
// loop is never kept waiting by a log that nobody reads or a disk that hangs.
type queue struct {
	mu    sync.Mutex
	todo  []func()
	busy  bool
	empty chan struct{} // closed when there is nothing to do; nil: nobody waits
}

func (q *queue) add(do func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.todo = append(q.todo, do)
	if !q.busy {
		q.busy = true
		go q.work()
	}
}

func (q *queue) work() {
	for {
		q.mu.Lock()
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
		q.todo = q.todo[1:]
		q.mu.Unlock()
		do()
	}
}

// flushTime bounds the wait for a log that nobody reads any more.
const flushTime = 2 * time.Second

// flush blocks until everything is done, but not for ever.
func (q *queue) flush() {
	q.mu.Lock()
	if !q.busy {
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
	case <-time.After(flushTime):
	}
}
