package starter

import (
	"errors"
	"os"
	"os/signal"
)

// handleSignals stops at Ctrl-C, which is all that Windows knows.
func (s *Starter) handleSignals() (stop func()) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt)
	go func() {
		for range caught {
			s.sup.Stop("received INT", s.config.SignalOnTERM, 0)
		}
	}()
	return func() {
		signal.Stop(caught)
		close(caught)
	}
}

func redirectOutput(*os.File) (restore func(), err error) {
	return nil, errors.New("not supported on Windows")
}
