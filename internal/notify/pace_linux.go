package notify

import "time"

// How many messages are read: a worker that sends more waits, and costs us no more than
// a part of a processor.
const (
	burst     = 5000 // at once
	perSecond = 5000 // in the long run
	pacePause = 5 * time.Millisecond
)

// pace bounds how many messages are read.
type pace struct {
	left float64 // that may be read at once
	last time.Time
}

func newPace() *pace { return &pace{left: burst, last: time.Now()} }

// wait counts a message, and blocks until another one may be read, or done is closed.
func (p *pace) wait(done <-chan struct{}) {
	for p.left--; p.left < 1; {
		now := time.Now()
		p.left = min(burst, p.left+now.Sub(p.last).Seconds()*perSecond)
		p.last = now
		if p.left >= 1 {
			return
		}
		select {
		case <-time.After(pacePause):
		case <-done:
			return
		}
	}
}
