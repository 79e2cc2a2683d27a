package main

import (
	"context"
	"fmt"

	"github.com/lestrrat/go-server-starter/bench/internal/protocol"
)

// firstAnswer measures from just before the start of a server to its first complete
// answer. One request is made, when the worker says that it accepts. A client that keeps
// trying would take CPU time from the start that it measures. Under a superdaemon it could
// also connect before there is a worker, but not to a bare worker.
func (t tools) firstAnswer(ctx context.Context, s subject, use setup) (float64, error) {
	v, err := t.launch(ctx, s, use)
	if err != nil {
		return 0, err
	}
	defer v.stop()
	if err := getOnce(v.address); err != nil {
		return 0, err
	}
	return ms(protocol.Now() - v.began), nil
}

// cheap is how many times as often as others a start is measured: it takes little time,
// and varies much.
const cheap = 5

// overBareTarget is what a superdaemon may add to the start, in ms.
const overBareTarget = 1.6

func (b *bench) start(ctx context.Context) ([]row, error) {
	s, err := repeat(cheap*b.n, b.all(), func(s subject) (float64, error) {
		return b.firstAnswer(ctx, s, usual)
	})
	if err != nil {
		return nil, err
	}
	over := row{label: "  over bare, ms", format: "%.2f", values: s.overBare(difference)}
	return []row{
		{label: "start to first answer, ms", format: "%.2f", values: s.medians()},
		over.atMost(overBareTarget),
	}, nil
}

// portsTarget is how long a start with many ports may take, as a multiple of bare's.
const portsTarget = 1.2

func (b *bench) ports(ctx context.Context) ([]row, error) {
	var rows []row
	for _, ports := range []int{1, 100, 1000} {
		s, err := repeat(cheap*b.n, b.all(), func(s subject) (float64, error) {
			use := usual
			use.ports = ports
			return b.firstAnswer(ctx, s, use)
		})
		if err != nil {
			return rows, err
		}
		rows = append(rows, row{
			label:  fmt.Sprintf("start to answer, last of %d ports, ms", ports),
			format: "%.2f", values: s.medians(),
		})
		if ports == 1000 {
			times := row{label: "  as a multiple of bare", format: "%.2f", values: s.overBare(quotient)}
			rows = append(rows, times.atMost(portsTarget))
		}
	}
	return rows, nil
}
