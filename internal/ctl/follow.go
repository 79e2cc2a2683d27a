package ctl

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// parting is how long Follow waits for what it has told to end.
const parting = time.Second

// Follow runs do, which writes to out. It blocks until that ends, or has to: at INT, TERM or
// HUP, or when nobody reads out any more. Then ctx ends and the error is nil; it does not
// wait for a write that nobody takes.
func Follow(out io.Writer, do func(ctx context.Context) error) error {
	signal.Ignore(syscall.SIGPIPE) // a write fails then
	ctx, stop := signal.NotifyContext(context.Background(), heeded()...)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if file, ok := out.(*os.File); ok {
		go func() {
			if isLeft(file) {
				cancel()
			}
		}()
	}
	ended := make(chan error, 1)
	go func() { ended <- do(ctx) }()
	select {
	case err := <-ended:
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.EIO) && isTerminal(out) {
			return nil
		}
		return err
	case <-ctx.Done():
	}
	select {
	case <-ended:
	case <-time.After(parting):
	}
	return nil
}

// heeded are the signals that end what is followed, but for those that whoever has started us
// has ignored: INT in the background of a script, HUP by nohup(1).
func heeded() (heeded []os.Signal) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			heeded = append(heeded, sig)
		}
	}
	return heeded
}
