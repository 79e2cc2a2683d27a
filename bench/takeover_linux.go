package main

import (
	"context"
	"fmt"
	"time"
)

// takeoverTarget is how much longer than the interval and the worker's own start a restart
// may take, in ms.
const takeoverTarget = 2

const failsAtOnce = "with --interval=0 the original accepts a program that fails at once: not comparable"

func (b *bench) takeover(ctx context.Context) ([]row, error) {
	own, err := repeat(cheap*b.n, []subject{bare}, func(s subject) (float64, error) {
		return b.firstAnswer(ctx, s, usual)
	})
	if err != nil {
		return nil, err
	}
	start := own.medians()[bare]
	var rows []row
	for _, interval := range []time.Duration{time.Second, 0} {
		s, err := b.restarts(ctx, setup{interval: interval})
		if err != nil {
			return rows, err
		}
		r := row{
			label:  fmt.Sprintf("HUP to old worker's signal, --interval=%d, ms", interval/time.Second),
			format: "%.2f", values: s.medians(),
		}
		if interval == 0 {
			r.note = failsAtOnce
		}
		rows = append(rows, r.atMost(ms(max(interval, smallest))+takeoverTarget+start))
	}
	return rows, nil
}

// restarts measures from HUP to the old worker's signal.
func (b *bench) restarts(ctx context.Context, use setup) (samples, error) {
	f, err := b.launchAll(ctx, b.superdaemons(), use)
	if err != nil {
		return samples{}, err
	}
	defer f.stop()
	return repeat(b.n, b.superdaemons(), func(s subject) (float64, error) {
		v := f[s]
		if err := v.settle(ctx); err != nil {
			return 0, err
		}
		took, err := v.restart(ctx)
		return ms(took), err
	})
}

// portsRestartTarget is how much longer a restart with 1000 ports may take, in ms.
const portsRestartTarget = 5

func (b *bench) portsRestart(ctx context.Context) ([]row, error) {
	var rows []row
	for _, ports := range []int{1, 1000} {
		use := usual
		use.ports = ports
		s, err := b.restarts(ctx, use)
		if err != nil {
			return rows, err
		}
		beyond := s.medians()
		for i := range beyond {
			beyond[i] -= ms(use.interval)
		}
		rows = append(rows, row{
			label:  fmt.Sprintf("HUP to signal, less interval, %d ports, ms", ports),
			format: "%.2f", values: beyond,
		})
	}
	rows[1] = rows[1].atMost(rows[0].values[ours] + portsRestartTarget)
	return rows, nil
}
