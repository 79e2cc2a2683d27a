package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// crashTarget is how much longer than a bare worker's start a crash may take, in ms.
const crashTarget = 0.5

// rest is the time in which a superdaemon comes to rest.
const rest = 1300 * time.Millisecond

// crash measures from the kill of the worker to an answer of the next one, and for bare
// from the start to the answer. The end of the killed process is in it: that keeps the
// kernel busy with any superdaemon.
func (b *bench) crash(ctx context.Context) ([]row, error) {
	f, err := b.launchAll(ctx, b.superdaemons(), usual)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	deaths, err := repeat(b.n, []subject{bare}, func(subject) (float64, error) {
		return b.death(ctx)
	})
	if err != nil {
		return nil, err
	}
	s, err := repeat(b.n, b.all(), func(s subject) (float64, error) {
		// All are measured after the same rest: a machine that was just busy is faster.
		if err := sleep(ctx, rest); err != nil {
			return 0, err
		}
		if s == bare {
			return b.firstAnswer(ctx, s, usual)
		}
		if err := f[s].settle(ctx); err != nil {
			return 0, err
		}
		return f[s].crash(ctx)
	})
	if err != nil {
		return nil, err
	}
	over := row{label: "  over bare start, ms", format: "%.2f", values: s.overBare(difference)}
	return []row{
		{label: "kill -9 to an answer from a new worker, ms", format: "%.2f", values: s.medians()},
		over.atMost(crashTarget),
		{label: "  of which the death of a worker, ms", format: "%.2f", values: deaths.medians()},
	}, nil
}

func (v *server) crash(ctx context.Context) (float64, error) {
	began := protocol.Now()
	if err := syscall.Kill(v.worker, syscall.SIGKILL); err != nil {
		return 0, err
	}
	if _, err := v.await(ctx, protocol.Ready, 0); err != nil {
		return 0, err
	}
	if err := getOnce(v.address); err != nil {
		return 0, err
	}
	return ms(protocol.Now() - began), nil
}

// death measures how long a bare worker takes to end after KILL.
func (t tools) death(ctx context.Context) (float64, error) {
	v, err := t.launch(ctx, bare, usual)
	if err != nil {
		return 0, err
	}
	defer v.stop()
	if err := getOnce(v.address); err != nil { // its start is over, as for a worker that crashes
		return 0, err
	}
	began := protocol.Now()
	if err := syscall.Kill(v.worker, syscall.SIGKILL); err != nil {
		return 0, err
	}
	select {
	case <-v.done:
		return ms(protocol.Now() - began), nil
	case <-time.After(patience):
		return 0, errors.New("a worker survives kill -9")
	}
}
