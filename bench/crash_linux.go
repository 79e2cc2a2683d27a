package main

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// crashTarget is what a crash may take beyond the start of a bare worker, in ms.
const crashTarget = 0.5

// rest is long enough for a superdaemon to be at rest.
const rest = 1300 * time.Millisecond

// crash measures from the death of the worker to an answer of the next one,
// and for bare from the start to the answer. The death is part of it: taking
// down a process keeps the kernel busy, whoever waits for it.
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
		// All come after the same rest: a machine that was busy a moment ago
		// is faster.
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

// death measures how long a bare worker takes to be gone after kill -9.
func (t tools) death(ctx context.Context) (float64, error) {
	v, err := t.launch(ctx, bare, usual)
	if err != nil {
		return 0, err
	}
	defer v.stop()
	if err := getOnce(v.address); err != nil { // past its start, as one that crashes
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
