// Command bench measures start_server of this module beside the original, the
// Perl program of the same name, and prints one table. Run it from within the
// module, on a machine that does nothing else:
//
//	go run ./bench
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// bench is what all experiments share.
type bench struct {
	n    int           // measurements per cell
	idle time.Duration // how long idleness is watched
	tools
}

// experiment makes some rows of the table.
type experiment struct {
	name string
	run  func(*bench, context.Context) ([]row, error)
}

var experiments = []experiment{
	{"start", (*bench).start},
	{"takeover", (*bench).takeover},
	{"longest", (*bench).longest},
	{"ready", (*bench).ready},
	{"restart-returns", (*bench).restartReturns},
	{"crash", (*bench).crash},
	{"upgrade", (*bench).upgrade},
	{"idle", (*bench).idleFresh},
	{"idle-restarted", (*bench).idleRestarted},
	{"ports", (*bench).ports},
	{"ports-restart", (*bench).portsRestart},
	{"many", (*bench).many},
	{"load-keepalive", (*bench).loadKeepalive},
	{"load-fresh", (*bench).loadFresh},
	{"blue-green", (*bench).blueGreen},
}

func main() {
	b := &bench{}
	flag.IntVar(&b.n, "n", 7, "measurements per cell, of which the table shows the median")
	flag.DurationVar(&b.idle, "idle", 10*time.Second, "how long to watch idle processes")
	only := flag.String("only", "", "run the experiments whose name matches this `regexp`, such as '^(start|crash)$'")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := b.main(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) main(ctx context.Context, only string) error {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if b.n < 1 {
		return errors.New("-n: at least one measurement is needed")
	}
	dir, err := os.MkdirTemp("", "start_server-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	header := facts(b.n) // before we load the machine
	if b.tools, err = build(ctx, dir); err != nil {
		return err
	}
	var rows []row
	var faults []error
	for _, e := range experiments {
		if !chosen.MatchString(e.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s\n", e.name)
		made, err := e.run(b, ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil { // the other rows are still worth having
			faults = append(faults, fmt.Errorf("%s: %w", e.name, err))
		}
		rows = append(rows, made...)
	}
	fmt.Print(header)
	printTable(os.Stdout, rows, b.hasOriginal())
	return errors.Join(faults...)
}
