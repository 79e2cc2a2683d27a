package report

import "github.com/lestrrat/go-server-starter/internal/proc"

// Held is h as the state of an image has it. It is nil if there is nothing, so that an image which
// does not know of commands can go on. proc.Process.Hand says what is handed over of a process
// that runs.
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

// Adopt takes over a command that runs, and returns what OnEvent.GoOn goes on with. It has to be
// called before orphans are waited for.
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
