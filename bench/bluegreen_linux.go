package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// sharing is how generations share a port.
type sharing struct {
	name string
	setup
}

// sharings are compared with the first one. The original knows only that.
func sharings() []sharing {
	use := setup{notify: true, asked: true}
	reuseport, sides := use, use
	reuseport.port = ",reuseport"
	sides.options = []string{"--blue-green"}
	return []sharing{{"plain", use}, {"reuseport", reuseport}, {"blue-green", sides}}
}

// rollbackTarget is how long a rollback may take until the old generation answers, in ms.
const rollbackTarget = 5

// manyPorts is how many ports are compared with one.
const manyPorts = 100

// blueGreen measures what sockets for each generation cost, and how fast a rollback is.
func (b *bench) blueGreen(ctx context.Context) ([]row, error) {
	var rows []row
	for _, measure := range []func(context.Context) ([]row, error){b.rollback, b.sharedLoad, b.sharedRestart, b.sharedMemory} {
		made, err := measure(ctx)
		if err != nil {
			return rows, err
		}
		rows = append(rows, made...)
	}
	return rows, nil
}

// rollback measures from the start of start_server --rollback to an answer of the old
// generation. The request is made after the command has returned.
func (b *bench) rollback(ctx context.Context) ([]row, error) {
	v, err := b.launch(ctx, ours, setup{notify: true, asked: true, options: []string{"--blue-green", "--keep-old=600"}})
	if err != nil {
		return nil, err
	}
	defer v.stop()
	var times, returned []float64
	for range b.n {
		if err := v.settle(ctx); err != nil {
			return nil, err
		}
		asking := v.ask(ctx, "--restart", "--timeout="+patience.String())
		_, err := v.await(ctx, protocol.Ready, 0)
		if a := <-asking; err != nil || a.err != nil {
			return nil, errors.Join(err, a.err)
		}
		if err := sleep(ctx, rest); err != nil {
			return nil, err
		}
		began := protocol.Now()
		a := <-v.ask(ctx, "--rollback", "--timeout="+patience.String())
		if a.err != nil {
			return nil, a.err
		}
		if err := getOnce(v.address); err != nil {
			return nil, err
		}
		times, returned = append(times, ms(protocol.Now()-began)), append(returned, ms(a.ended-began))
		if _, err := v.await(ctx, protocol.Terminated, 0); err != nil {
			return nil, err
		}
	}
	return []row{
		row{label: "--rollback to an old generation's answer, ms", format: "%.2f", values: oursValue(times)}.atMost(rollbackTarget),
		{label: "  of which the command, ms", format: "%.2f", values: oursValue(returned)},
	}, nil
}

// inTurn measures each way of sharing in turn, n times.
func (b *bench) inTurn(measure func(sharing) (float64, error)) (map[string][]float64, error) {
	ways := sharings()
	all := map[string][]float64{}
	for turn := range b.n {
		for i := range ways {
			way := ways[(turn+i)%len(ways)]
			v, err := measure(way)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.name, err)
			}
			all[way.name] = append(all[way.name], v)
		}
	}
	return all, nil
}

// launchSharings starts a server of each way of sharing. The caller must stop them.
func (b *bench) launchSharings(ctx context.Context) (servers map[string]*server, stop func(), err error) {
	servers = map[string]*server{}
	stop = func() {
		for _, v := range servers {
			v.stop()
		}
	}
	for _, way := range sharings() {
		if servers[way.name], err = b.launch(ctx, ours, way.setup); err != nil {
			delete(servers, way.name)
			stop()
			return nil, nil, err
		}
	}
	return servers, stop, nil
}

// sharedLoad measures requests on fresh connections.
func (b *bench) sharedLoad(ctx context.Context) ([]row, error) {
	servers, stop, err := b.launchSharings(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	got, err := b.inTurn(func(way sharing) (float64, error) {
		v := servers[way.name]
		if err := v.settle(ctx); err != nil {
			return 0, err
		}
		return requestsPerSecond(ctx, v.address, false)
	})
	if err != nil {
		return nil, err
	}
	var rows []row
	off := noise(got["plain"])
	for _, way := range sharings() {
		rows = append(rows, row{label: "requests per second, fresh, " + way.name, format: "%.0f", values: oursValue(got[way.name])})
		if way.name == "plain" {
			continue
		}
		var shares []float64
		for i, n := range got[way.name] {
			shares = append(shares, n/got["plain"][i])
		}
		share := row{label: "  as a share of plain", format: "%.3f", values: oursValue(shares), target: fmt.Sprintf("1.00 +- %.2f", off)}
		share.met = median(shares) >= 1-off
		rows = append(rows, share)
	}
	return rows, nil
}

// sharedRestart measures from HUP to the old worker's signal.
func (b *bench) sharedRestart(ctx context.Context) ([]row, error) {
	servers, stop, err := b.launchSharings(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	got, err := b.inTurn(func(way sharing) (float64, error) {
		v := servers[way.name]
		if err := v.settle(ctx); err != nil {
			return 0, err
		}
		took, err := v.restart(ctx)
		return ms(took), err
	})
	var rows []row
	for _, way := range sharings() {
		rows = append(rows, row{label: "HUP to signal, ready at once, " + way.name + ", ms", format: "%.2f", values: oursValue(got[way.name])})
	}
	return rows, err
}

// sharedMemory measures the memory of the superdaemon for each port beyond the first.
func (b *bench) sharedMemory(ctx context.Context) ([]row, error) {
	got, err := b.inTurn(func(way sharing) (float64, error) {
		var pss []int
		for _, ports := range []int{1, manyPorts} {
			way.ports = ports
			v, err := b.launch(ctx, ours, way.setup)
			if err != nil {
				return 0, err
			}
			err = v.settle(ctx)
			var used usage
			if err == nil {
				used, err = readUsage(v.cmd.Process.Pid)
			}
			v.stop()
			if err != nil {
				return 0, err
			}
			pss = append(pss, used.pss)
		}
		return float64(slices.Max(pss)-pss[0]) / (manyPorts - 1), nil
	})
	var rows []row
	for _, way := range sharings() {
		rows = append(rows, row{label: "PSS for each port but the first, " + way.name + ", KiB", format: "%.2f", values: oursValue(got[way.name])})
	}
	return rows, err
}
