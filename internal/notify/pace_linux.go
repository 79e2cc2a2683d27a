package notify

import "time"

// A process may send some messages a second that are read at once. If it sends more, reading
// slows down for all, so that this costs us only a part of a processor. Even the last message
// of a full queue (net.unix.max_dgram_qlen, 512 at most) is still read within a second.
const (
	paceTime  = time.Second
	atOnce    = 20 // messages of a process in paceTime
	pacePause = 10 * time.Millisecond
	perPause  = 8 // messages beyond those, for each pause
	maxPaced  = 10000
)

// pace slows reading down.
type pace struct {
	began  time.Time   // when the present paceTime began
	counts map[int]int // messages by sender
	beyond int
}

// wait counts a message, and blocks if its sender has sent too many, until done is closed.
func (p *pace) wait(sender int, done <-chan struct{}) {
	if now := time.Now(); p.counts == nil || now.Sub(p.began) >= paceTime || len(p.counts) >= maxPaced {
		p.began, p.counts = now, map[int]int{}
	}
	if p.counts[sender]++; p.counts[sender] <= atOnce {
		return
	}
	if p.beyond++; p.beyond%perPause != 0 {
		return
	}
	select {
	case <-time.After(pacePause):
	case <-done:
	}
}
