//go:build unix && !linux

package trampoline

import (
	"os/signal"
	"syscall"
)

const lastSig = 31

// Hold returns the signals that a program that is started directly would find
// ignored. It holds none back here: one that comes in the moment before the
// program runs is dealt with by Go's runtime.
func Hold() (had Signals, release func()) {
	for sig := 1; sig <= lastSig; sig++ {
		if signal.Ignored(syscall.Signal(sig)) {
			had.Ignored = append(had.Ignored, sig)
		}
	}
	return had, func() {}
}

// restore makes ignored what a program is to inherit; exec does the rest.
func (s Signals) restore() {
	for _, sig := range s.Ignored {
		signal.Ignore(syscall.Signal(sig))
	}
}
