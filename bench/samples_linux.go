package main

import (
	"context"
	"math"
	"slices"
	"time"
)

// samples are the measurements of each subject, in the order they were made.
type samples [subjects][]float64

// repeat measures the subjects in turn, n times, so that a machine that gets slower does
// so for all. Each turn begins with another subject: the last measurement may leave caches
// warm or the kernel busy.
func repeat(n int, of []subject, measure func(subject) (float64, error)) (samples, error) {
	var all samples
	for turn := range n {
		for i := range of {
			s := of[(turn+i)%len(of)]
			v, err := measure(s)
			if err != nil {
				return all, err
			}
			all[s] = append(all[s], v)
		}
	}
	return all, nil
}

// medians has NaN for a subject that was not measured.
func (s samples) medians() values {
	return values{median(s[bare]), median(s[ours]), median(s[original])}
}

// overBare combines each superdaemon's sample with bare's of the same turn, and returns
// the medians.
func (s samples) overBare(combine func(with, bare float64) float64) values {
	var all samples
	for _, subject := range []subject{ours, original} {
		for i, v := range s[subject] {
			all[subject] = append(all[subject], combine(v, s[bare][i]))
		}
	}
	return all.medians()
}

func difference(a, b float64) float64 { return a - b }

func quotient(a, b float64) float64 { return a / b }

func median(of []float64) float64 {
	if len(of) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(of))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// ms is a time in the unit of the table.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fleet is one running server of each subject.
type fleet map[subject]*server

// launchAll starts a server of each subject. The caller must stop them.
func (t tools) launchAll(ctx context.Context, of []subject, use setup) (fleet, error) {
	f := make(fleet)
	for _, s := range of {
		v, err := t.launch(ctx, s, use)
		if err != nil {
			f.stop()
			return nil, err
		}
		f[s] = v
	}
	return f, nil
}

// settle blocks until all servers are at rest.
func (f fleet) settle(ctx context.Context) error {
	for _, v := range f {
		if err := v.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f fleet) stop() {
	for _, v := range f {
		v.stop()
	}
}
