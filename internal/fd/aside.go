package fd

import "sync/atomic"

// maxAside bounds how many closes may be held up: each of them holds a thread.
const maxAside = 16

// Aside closes what a stranger may make close(2) block on, for as long as the stranger likes.
// close(2) also frees descriptors that were passed by SCM_RIGHTS and not read. A TCP socket with
// SO_LINGER, or a file of a FUSE server, among those waits for its peer. Each close has a
// goroutine of its own, and nothing waits for it. Make one by NewAside.
type Aside struct {
	held  atomic.Int32
	freed chan struct{}
}

// NewAside makes an Aside.
func NewAside() *Aside { return &Aside{freed: make(chan struct{}, 1)} }

// Do calls do, and does not wait for it.
func (a *Aside) Do(do func()) {
	a.held.Add(1)
	go func() {
		do()
		a.held.Add(-1)
		select {
		case a.freed <- struct{}{}:
		default:
		}
	}()
}

// Full tells whether so many closes are held up that nothing more should be let in.
func (a *Aside) Full() bool { return a.held.Load() >= maxAside }

// Wait blocks until it is not full, or done is closed.
func (a *Aside) Wait(done <-chan struct{}) {
	for a.Full() {
		select {
		case <-a.freed:
		case <-done:
			return
		}
	}
}
