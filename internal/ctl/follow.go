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

// parting is how long Follow waits for do after it has told it to end.
const parting = time.Second

// Follow runs do, which writes to out, and blocks until do ends. At INT, TERM or HUP, or when
// out has no reader any more, ctx ends, and Follow returns nil. It waits a second at most for
// do then, which may hang in a write.
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

// heeded returns the signals that end Follow. Those that we were started to ignore are left out:
// INT in the background of a script, HUP by nohup(1).
func heeded() (heeded []os.Signal) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			heeded = append(heeded, sig)
		}
	}
	return heeded
}
