package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
	"github.com/lestrrat/go-server-starter/internal/control"
)

// sizes are the numbers of workers. The last two are compared by the cost of each worker
// beyond the first.
var sizes = [...]int{1, 50, 200}

// surge is the surge of a rolling restart.
const surge = 10

// flatTarget is what one of 200 workers may cost the superdaemon, as a multiple of the
// cost of one of 50.
const flatTarget = 1.25

// life is what a superdaemon used from its start to its end.
type life struct {
	start   float64 // ms until all workers were live
	restart float64 // ms until --restart --drained returned
	stop    float64 // ms from TERM to the end
	cpu     float64 // ms, of the superdaemon alone, all its life
	pss     float64 // KiB, of the superdaemon alone, idle after the restart
}

// many measures a superdaemon with many workers; the original has only one. Most of the time
// is the workers' own: they share the cores. CPU time and memory are the superdaemon's.
func (b *bench) many(ctx context.Context) ([]row, error) {
	lives := make(map[int][]life)
	for turn := range b.n {
		for i := range sizes {
			workers := sizes[(turn+i)%len(sizes)]
			l, err := b.live(ctx, workers)
			if err != nil {
				return nil, err
			}
			lives[workers] = append(lives[workers], l)
		}
	}
	cpu := func(l life) float64 { return l.cpu }
	pss := func(l life) float64 { return l.pss }
	return slices.Concat(
		bySize(lives, "start until all are live, ms", "%.1f", func(l life) float64 { return l.start }),
		bySize(lives, "restart, drained, ms", "%.1f", func(l life) float64 { return l.restart }),
		bySize(lives, "stop, ms", "%.1f", func(l life) float64 { return l.stop }),
		bySize(lives, "CPU for all that, ms", "%.1f", cpu),
		flat(lives, "CPU, each but the first, ms", "%.2f", cpu),
		bySize(lives, "PSS, idle, KiB", "%.0f", pss),
		flat(lives, "PSS, each but the first, KiB", "%.1f", pss),
	), nil
}

// bySize makes a row of one measure for each of sizes.
func bySize(lives map[int][]life, what, format string, take func(life) float64) (rows []row) {
	for _, workers := range sizes {
		rows = append(rows, oursOnly(workers, what, format, each(lives[workers], take)))
	}
	return rows
}

// flat compares the cost of a worker beyond the first, with 200 and with 50 workers of the
// same turn.
func flat(lives map[int][]life, what, format string, take func(life) float64) []row {
	one, few, many := each(lives[sizes[0]], take), each(lives[sizes[1]], take), each(lives[sizes[2]], take)
	var times []float64
	for i := range one {
		few[i] = (few[i] - one[i]) / float64(sizes[1]-sizes[0])
		many[i] = (many[i] - one[i]) / float64(sizes[2]-sizes[0])
		times = append(times, many[i]/few[i])
	}
	multiple := fmt.Sprintf("  as a multiple of --workers=%d", sizes[1])
	return []row{
		oursOnly(sizes[1], what, format, few),
		oursOnly(sizes[2], what, format, many),
		row{label: multiple, format: "%.2f", values: oursValue(times)}.atMost(flatTarget),
	}
}

func each(lives []life, take func(life) float64) []float64 {
	var values []float64
	for _, l := range lives {
		values = append(values, take(l))
	}
	return values
}

// oursOnly is a row that only ours has a value for.
func oursOnly(workers int, what, format string, of []float64) row {
	return row{label: fmt.Sprintf("--workers=%d: %s", workers, what), format: format, values: oursValue(of)}
}

func oursValue(of []float64) values { return values{math.NaN(), median(of), math.NaN()} }

// live starts a superdaemon with that many workers, restarts them, lets it rest
// and stops it.
func (t tools) live(ctx context.Context, workers int) (life, error) {
	use := setup{notify: true, asked: true, workers: workers}
	if workers > surge {
		use.surge = surge
	}
	v, err := t.launch(ctx, ours, use)
	if err != nil {
		return life{}, err
	}
	l, err := v.busyLife(ctx)
	told := protocol.Now()
	v.stop()
	if err != nil {
		return life{}, err
	}
	select {
	case <-v.done:
	default:
		return life{}, errors.New("start_server survives kill -9")
	}
	l.stop, l.cpu = ms(v.ended-told), ms(v.cpu)
	switch {
	case !v.cmd.ProcessState.Success():
		err = fmt.Errorf("start_server did not stop as it should: %v", v.cmd.ProcessState)
	case v.cpu == 0:
		err = errors.New("the system does not tell how much CPU time start_server has used")
	}
	return l, err
}

// busyLife is a life without its end.
func (v *server) busyLife(ctx context.Context) (l life, err error) {
	if err := v.awaitServing(ctx); err != nil {
		return l, err
	}
	l.start = ms(protocol.Now() - v.began)
	if err := v.settle(ctx); err != nil {
		return l, err
	}
	took, err := v.restartDrained(ctx)
	if err != nil {
		return l, err
	}
	l.restart = ms(took)
	if err := v.settle(ctx); err != nil {
		return l, err
	}
	used, err := readUsage(v.cmd.Process.Pid)
	l.pss = float64(used.pss)
	return l, err
}

// awaitServing blocks until the superdaemon says that all workers are live. Call it when they
// are ready: every question costs the superdaemon CPU time.
func (v *server) awaitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := control.Dial(ctx, v.control)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		a, err := c.Do(ctx, control.Request{Command: "status"}, nil)
		if err != nil || a.Status.State == "serving" {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// restartDrained measures how long start_server --restart --drained runs.
func (v *server) restartDrained(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	began := protocol.Now()
	// Its own timeout comes before ours, and its message says more.
	asking := v.ask(ctx, "--restart", "--drained", "--timeout="+patience.String())
	for range v.use.workers {
		if _, err := v.await(ctx, protocol.Terminated, 0); err != nil {
			cancel()
			return 0, errors.Join(err, (<-asking).err)
		}
	}
	a := <-asking
	return a.ended - began, a.err
}
