package main

import (
	"context"
	"time"
)

// readyTarget is how much longer than the worker's own boot a restart may take if the
// worker says that it is ready, in ms.
const readyTarget = 5

// ready measures from HUP to the old worker's signal when the new worker boots slowly, less
// the boot of a bare worker in the same turn. The original knows no readiness: its
// interval, in whole seconds, has to be longer than the slowest boot, and decides how long
// a restart takes.
func (b *bench) ready(ctx context.Context) ([]row, error) {
	use := setup{interval: time.Second, boot: 300 * time.Millisecond, notify: true}
	f, err := b.launchAll(ctx, b.superdaemons(), use)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	s, err := repeat(b.n, b.all(), func(s subject) (float64, error) {
		if s == bare {
			// All are measured after the same rest: a machine that was just busy is faster.
			if err := sleep(ctx, rest); err != nil {
				return 0, err
			}
			return b.bootTime(ctx, use)
		}
		v := f[s]
		if err := v.settle(ctx); err != nil {
			return 0, err
		}
		took, err := v.restart(ctx)
		return ms(took), err
	})
	if err != nil {
		return nil, err
	}
	over := row{label: "  over the worker's own boot, ms", format: "%.2f", values: s.overBare(difference)}
	return []row{
		{label: "HUP to signal, a worker that boots 300ms, ms", format: "%.2f", values: s.medians()},
		over.atMost(readyTarget),
	}, nil
}

// bootTime measures from just before the start of a bare worker until it is ready.
func (t tools) bootTime(ctx context.Context, use setup) (float64, error) {
	v, err := t.launch(ctx, bare, use)
	if err != nil {
		return 0, err
	}
	defer v.stop()
	return ms(v.ready - v.began), nil
}
