//go:build unix

package starter

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// handleSignals acts on signals until the function it returns is called.
func (s *Starter) handleSignals() (stop func()) {
	// A terminal that is gone must not end us by PIPE while workers serve.
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE)
	if s.config.Workers > 0 {
		signal.Notify(caught, syscall.SIGTTIN, syscall.SIGTTOU)
	}
	go func() {
		for sig := range caught {
			s.onSignal(sig)
		}
	}()
	return func() {
		signal.Stop(caught)
		close(caught)
	}
}

func (s *Starter) onSignal(sig os.Signal) {
	cause := "received " + signalName(sig)
	switch sig {
	case syscall.SIGHUP:
		s.sup.Restart(context.Background(), cause)
	case syscall.SIGTERM:
		s.sup.Stop(cause, s.config.SignalOnTERM, s.config.StopDelay)
	case syscall.SIGINT:
		s.sup.Stop(cause, syscall.SIGTERM, 0)
	case syscall.SIGQUIT:
		s.sup.Stop(cause, syscall.SIGQUIT, 0)
	case syscall.SIGTTIN:
		s.sup.Resize(cause, 1)
	case syscall.SIGTTOU:
		s.sup.Resize(cause, -1)
	case syscall.SIGUSR1, syscall.SIGUSR2:
		s.log.printf("%s, which means nothing to start_server: ignored", cause)
	}
}

// redirectOutput makes f our own stdout and stderr, until restore is called.
func redirectOutput(f *os.File) (restore func(), err error) {
	var saved []int
	restore = func() {
		for i, fd := range saved {
			_ = unix.Dup2(fd, 1+i) // nothing else would be left to write to
			unix.Close(fd)
		}
	}
	for _, fd := range []int{1, 2} {
		old, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err == nil {
			saved = append(saved, old)
			err = unix.Dup2(int(f.Fd()), fd)
		}
		if err != nil {
			restore()
			return nil, os.NewSyscallError("dup2", err)
		}
	}
	return restore, nil
}
