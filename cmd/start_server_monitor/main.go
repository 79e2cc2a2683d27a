// Command start_server_monitor looks after superdaemons by their control sockets: metrics for
// Prometheus, health checks, and a page.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/jessevdk/go-flags"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
	"github.com/lestrrat/go-server-starter/internal/monitor/metrics"
	"github.com/lestrrat/go-server-starter/internal/monitor/web"
	"github.com/lestrrat/go-server-starter/internal/text"
	"github.com/lestrrat/go-server-starter/listener"
)

const name = "start_server_monitor"

// gcPercent makes the garbage collector run less often: a few megabytes stay, and each scrape
// makes some more that do not.
const gcPercent = 400

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	if cmdline.Completing() {
		return cmdline.Complete(stdout, &o, args, map[string]cmdline.Values{"allow": o.allowed})
	}
	parser, patterns, err := parse(&o, args)
	if err == nil && !o.Help && !o.Version {
		err = o.check(patterns)
	}
	switch {
	case err != nil:
		return cmdline.Fail(stderr, name, cmdline.Usage, err)
	case o.Help:
		parser.WriteHelp(stdout)
		fmt.Fprint(stdout, epilogue)
		return cmdline.OK
	case o.Version:
		fmt.Fprintln(stdout, cmdline.Version(name, starter.Version))
		return cmdline.OK
	}
	cmdline.FewThreads()
	debug.SetGCPercent(gcPercent)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve(ctx, &o, stderr); err != nil {
		return cmdline.Fail(stderr, name, cmdline.Error, err)
	}
	return cmdline.OK
}

func parse(o *options, args []string) (*flags.Parser, []string, error) {
	return cmdline.Parse(name, "[OPTIONS] PATH...", o, args)
}

// logTo writes lines with our name before them, one at a time. Foreign text is made printable.
func logTo(w io.Writer) func(format string, args ...any) {
	var mu sync.Mutex
	return func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(w, "%s: %s\n", name, text.Line(fmt.Sprintf(format, args...)))
	}
}

// serve blocks until ctx ends or TERM comes.
func serve(ctx context.Context, o *options, stderr io.Writer) error {
	log := logTo(stderr)
	listeners, err := listen(o.Listen)
	if err != nil {
		return err
	}
	hub := web.NewHub()
	collector := collect.New(collect.Config{
		Patterns: o.patterns, Forget: o.forget, Rescan: o.rescan, Log: log, Observer: hub,
	})
	site, err := web.New(web.Config{
		Source: collector, Hub: hub, Metrics: exposition(collector, hub, log),
		Version: starter.Version, Allow: o.allow, Token: o.token, Log: log,
	})
	if err != nil {
		return err
	}
	looking, end := context.WithCancel(context.Background()) // until the last request is answered
	var running sync.WaitGroup
	running.Go(func() { collector.Run(looking) })
	defer func() { end(); running.Wait() }()
	for _, l := range listeners {
		log("listening on %s", address(l))
	}
	srv := site.Server()
	srv.ErrorLog = errorLog(log)
	status := fmt.Sprintf("STATUS=looking for control sockets at %s", text.Count(len(o.patterns), "path"))
	_, _ = daemon.SdNotify(false, status) // package listener says READY=1, when all accept
	return listener.Serve(ctx, srv, listeners...)
}

// address returns where a listener listens, for people.
func address(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return "http://" + l.Addr().String() + "/"
}

// exposition answers a scrape.
func exposition(source metrics.Source, hub *web.Hub, log func(string, ...any)) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.Collector{Source: source},
		metrics.Watchers(hub.Clients),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            errorLog(log),
		ErrorHandling:       promhttp.ContinueOnError,
		DisableCompression:  true, // it takes longer than all the rest
		MaxRequestsInFlight: 8,
	})
}
