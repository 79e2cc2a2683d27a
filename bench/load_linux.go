package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// The load: clients that each send the next request as soon as the last is answered.
const (
	clients  = 4
	loadTime = 2 * time.Second
)

func (b *bench) loadKeepalive(ctx context.Context) ([]row, error) { return b.load(ctx, true) }

func (b *bench) loadFresh(ctx context.Context) ([]row, error) { return b.load(ctx, false) }

// load measures requests per second, on connections that stay or on a new one for each
// request.
func (b *bench) load(ctx context.Context, keepalive bool) ([]row, error) {
	f, err := b.launchAll(ctx, b.all(), usual)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	if err := f.settle(ctx); err != nil {
		return nil, err
	}
	s, err := repeat(b.n, b.all(), func(s subject) (float64, error) {
		return requestsPerSecond(ctx, f[s].address, keepalive)
	})
	if err != nil {
		return nil, err
	}
	label := "requests per second, fresh connections"
	if keepalive {
		label = "requests per second, keep-alive"
	}
	share := row{label: "  as a share of bare", format: "%.3f", values: s.overBare(quotient)}
	off := noise(s[bare])
	share.target = fmt.Sprintf("1.00 +- %.2f", off)
	share.met = share.values[ours] >= 1-off
	return []row{{label: label, format: "%.0f", values: s.medians()}, share}, nil
}

func requestsPerSecond(ctx context.Context, address string, keepalive bool) (float64, error) {
	asking, stop := context.WithTimeout(ctx, loadTime)
	defer stop()
	type result struct {
		count int
		err   error
	}
	results := make(chan result, clients)
	began := time.Now()
	for range clients {
		go func() {
			count, _, err := getUntil(asking, address, keepalive)
			results <- result{count, err}
		}()
	}
	sum := 0
	var first error
	for range clients {
		r := <-results
		sum += r.count
		if first == nil {
			first = r.err
		}
	}
	return float64(sum) / time.Since(began).Seconds(), first
}

// noise is the share by which measurements of the same thing differ, at least 2 %. A ratio
// that is this close to 1 says nothing.
func noise(of []float64) float64 {
	least := 0.02
	var steps []float64
	for i := 1; i < len(of); i++ {
		steps = append(steps, math.Abs(of[i]/of[i-1]-1))
	}
	if len(steps) == 0 {
		return least
	}
	return max(least, median(steps))
}
