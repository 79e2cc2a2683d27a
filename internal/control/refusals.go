package control

import (
	"sync"
	"time"
)

// refusals reports one refusal in refusedPause, and counts the others, so that no client
// can fill a log.
type refusals struct {
	tell func(why string, more int)

	mu   sync.Mutex
	more int       // since tell was last called
	last time.Time // when that was
}

// add may be called with locks held: tell does not block.
func (r *refusals) add(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if !r.last.IsZero() && now.Sub(r.last) < refusedPause {
		r.more++
		return
	}
	r.tell(why, r.more)
	r.more, r.last = 0, now
}
