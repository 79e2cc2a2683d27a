package report

import "github.com/lestrrat/go-server-starter/internal/proc"

// Held is what a Handed is in the state of an image. nil: there is nothing, so that an image can go
// on that knows of no commands. A process that runs is as it is by now: see proc.Process.Hand.
func (h Handed) Held() *HeldCommands {
	if h.Running == nil && len(h.Waiting) == 0 && h.Dropped == 0 {
		return nil
	}
	held := &HeldCommands{Since: h.Since, Waiting: h.Waiting, Dropped: h.Dropped}
	if p, ok := h.Running.(*proc.Process); ok {
		running := p.Hand()
		held.Running = &running
	}
	return held
}

// Adopt takes over a command that runs, which has to come before orphans are waited for, and
// returns all that OnEvent.GoOn goes on with.
func (h *HeldCommands) Adopt() Handed {
	if h == nil {
		return Handed{}
	}
	taken := Handed{Since: h.Since, Waiting: h.Waiting, Dropped: h.Dropped}
	if h.Running != nil {
		taken.Running = proc.Adopt(*h.Running)
	}
	return taken
}
