package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// upgrades is how many are made: each takes little.
const upgrades = 30

// awayTarget is how long the control socket may not answer while start_server becomes
// another image of itself, in ms.
const awayTarget = 10

// pause is how long a client waits before it asks again. Without a pause the client itself
// would keep the superdaemon busy.
const pause = 200 * time.Microsecond

// upgrade measures how long a client of the control socket waits at most while start_server
// is replaced, and counts the requests that the worker's clients lose. The original cannot
// be replaced while it runs.
func (b *bench) upgrade(ctx context.Context) ([]row, error) {
	use := usual
	use.asked = true
	v, err := b.launch(ctx, ours, use)
	if err != nil {
		return nil, err
	}
	defer v.stop()
	if err := v.settle(ctx); err != nil {
		return nil, err
	}
	starts, err := b.versions(ctx)
	if err != nil {
		return nil, err
	}
	quiet, err := v.upgrades(ctx)
	if err != nil {
		return nil, err
	}
	asking, stop := context.WithCancel(ctx)
	var lost atomic.Int64
	var askers sync.WaitGroup
	for _, keepalive := range []bool{false, true} {
		askers.Go(func() {
			for asking.Err() == nil {
				if _, _, err := getUntil(asking, v.address, keepalive); err != nil {
					lost.Add(1)
				}
			}
		})
	}
	busy, err := v.upgrades(ctx)
	stop()
	askers.Wait()
	if err != nil {
		return nil, err
	}
	only := func(n float64) values { return values{math.NaN(), n, math.NaN()} }
	return []row{
		row{label: "control socket away in an upgrade, ms", format: "%.2f", values: only(median(quiet))}.atMost(awayTarget),
		{label: "  to run start_server --version takes, ms", format: "%.2f", values: only(median(starts))},
		{label: "  while two clients never stop asking, ms", format: "%.2f", values: only(median(busy))},
		row{label: "  requests that these lose in 30 upgrades", format: "%.0f", values: only(float64(lost.Load()))}.atMost(0),
	}, nil
}

// versions measures how long the program takes to start and end: an upgrade waits for most of
// that.
func (t tools) versions(ctx context.Context) (took []float64, err error) {
	for range upgrades {
		began := time.Now()
		if err := exec.CommandContext(ctx, t.ours, "--version").Run(); err != nil {
			return nil, err
		}
		took = append(took, ms(time.Since(began)))
	}
	return took, nil
}

// upgrades replaces v's superdaemon that often, and returns how long it was away each time, in
// ms.
func (v *server) upgrades(ctx context.Context) (away []float64, err error) {
	for range upgrades {
		took, err := v.away(ctx)
		if err != nil {
			return nil, err
		}
		away = append(away, ms(took))
	}
	return away, nil
}

// away replaces v's superdaemon while a client asks for the status again and again. It returns
// the longest time that the client has waited for an answer. If the client is hung up on it
// asks again at once.
func (v *server) away(ctx context.Context) (longest time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	done := v.ask(ctx, "--upgrade", "--keep-workers")
	for {
		began := time.Now()
		for askStatus(v.control) != nil {
			if ctx.Err() != nil {
				return 0, errors.Join(ctx.Err(), (<-done).err)
			}
		}
		longest = max(longest, time.Since(began))
		time.Sleep(pause)
		select {
		case a := <-done:
			return longest, a.err
		default:
		}
	}
}

func askStatus(path string) error {
	conn, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, `{"command":"status"}`+"\n"); err != nil {
		return err
	}
	_, err = bufio.NewReader(conn).ReadString('\n')
	return err
}
