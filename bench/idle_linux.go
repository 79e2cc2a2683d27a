package main

import (
	"context"
	"fmt"
	"time"
)

// pssTarget is how much memory an idle superdaemon may hold, in KiB.
const pssTarget = 4096

// looksTime is the time after a start in which ours looks twice whether the workers accept
// connections.
const looksTime = 7 * time.Second

// idleFresh watches superdaemons that went live looksTime ago, new ones each time.
func (b *bench) idleFresh(ctx context.Context) ([]row, error) {
	var w watched
	for range b.n {
		f, err := b.launchAll(ctx, b.superdaemons(), usual)
		if err != nil {
			return nil, err
		}
		if err = f.settle(ctx); err == nil {
			err = sleep(ctx, looksTime)
		}
		if err == nil {
			err = w.watch(ctx, f, b.idle)
		}
		f.stop()
		if err != nil {
			return nil, err
		}
	}
	return w.rows(fmt.Sprintf("idle for %v, %v after the start", b.idle, looksTime)), nil
}

// idleRestarted watches the same superdaemons after each of several restarts.
func (b *bench) idleRestarted(ctx context.Context) ([]row, error) {
	f, err := b.launchAll(ctx, b.superdaemons(), usual)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	for range 20 {
		if err := f.settle(ctx); err != nil {
			return nil, err
		}
		if err := f.restart(ctx); err != nil {
			return nil, err
		}
	}
	var w watched
	for range b.n {
		if err := w.watch(ctx, f, b.idle); err != nil {
			return nil, err
		}
	}
	return w.rows("idle for " + b.idle.String() + " after 20 restarts"), nil
}

// restart restarts all of them at the same time.
func (f fleet) restart(ctx context.Context) error {
	faults := make(chan error, len(f))
	for _, v := range f {
		go func() {
			_, err := v.restart(ctx)
			faults <- err
		}()
	}
	var first error
	for range f {
		if err := <-faults; first == nil {
			first = err
		}
	}
	return first
}

// watched is what superdaemons used while idle.
type watched struct{ pss, ticks, switches samples }

// watch adds what each server of f, at rest, uses in that time. All are watched at once.
func (w *watched) watch(ctx context.Context, f fleet, during time.Duration) error {
	if err := f.settle(ctx); err != nil {
		return err
	}
	before := make(map[subject]usage)
	var err error
	for s, v := range f {
		if before[s], err = readUsage(v.cmd.Process.Pid); err != nil {
			return err
		}
	}
	if err := sleep(ctx, during); err != nil {
		return err
	}
	for s, v := range f {
		after, err := readUsage(v.cmd.Process.Pid)
		if err != nil {
			return err
		}
		w.pss[s] = append(w.pss[s], float64(after.pss))
		w.ticks[s] = append(w.ticks[s], float64(after.ticks-before[s].ticks))
		w.switches[s] = append(w.switches[s], float64(after.switches-before[s].switches))
	}
	return nil
}

func (w *watched) rows(label string) []row {
	cells := func(what string, s samples, limit float64) row {
		r := row{label: label + what, format: "%.0f", values: s.medians()}
		return r.atMost(limit)
	}
	return []row{
		cells(", PSS, KiB", w.pss, pssTarget),
		cells(", CPU ticks", w.ticks, 0),
		cells(", switches", w.switches, 0),
	}
}
