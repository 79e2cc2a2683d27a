package main

import (
	"context"
	"time"
)

// longestTarget is how long a request may take while a worker is replaced, in ms.
const longestTarget = 10

// longest measures the longest request of a client that never stops asking while a worker
// with a slow start takes over. For bare, the same client asks for as long while no worker
// takes over: that shows the machine itself.
func (b *bench) longest(ctx context.Context) ([]row, error) {
	use := setup{interval: time.Second, boot: 300 * time.Millisecond}
	f, err := b.launchAll(ctx, b.all(), use)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	s, err := repeat(b.n, b.all(), func(s subject) (float64, error) {
		v := f[s]
		if err := v.settle(ctx); err != nil {
			return 0, err
		}
		return longestRequest(ctx, v.address, func() error {
			if s == bare {
				return sleep(ctx, use.interval)
			}
			_, err := v.restart(ctx)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	r := row{label: "longest request during a takeover, ms", format: "%.2f", values: s.medians()}
	return []row{r.atMost(longestTarget)}, nil
}

// longestRequest asks while event happens, and a little before and after.
func longestRequest(ctx context.Context, address string, event func() error) (float64, error) {
	const margin = 200 * time.Millisecond
	asking, stop := context.WithCancel(ctx)
	defer stop()
	type result struct {
		longest time.Duration
		err     error
	}
	results := make(chan result, 1)
	go func() {
		_, longest, err := getUntil(asking, address, false)
		results <- result{longest, err}
	}()
	err := sleep(ctx, margin)
	if err == nil {
		err = event()
	}
	if err == nil {
		err = sleep(ctx, margin)
	}
	stop()
	r := <-results // always: the client must not outlive the measurement
	if err == nil {
		err = r.err
	}
	return ms(r.longest), err
}
