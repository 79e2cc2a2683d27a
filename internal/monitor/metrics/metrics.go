// Package metrics gives what is known of superdaemons as Prometheus metrics.
package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Source is where views come from.
type Source interface {
	// Views returns what is known of each superdaemon.
	Views() []collect.View
	// Found is what the patterns match.
	Found() []collect.Found
}

// phases are what a superdaemon can be doing.
var phases = []supervise.Phase{
	supervise.PhaseStarting, supervise.PhaseServing, supervise.PhaseRefilling, supervise.PhaseRestarting,
	supervise.PhaseCanary, supervise.PhaseDraining, supervise.PhaseStopDelay, supervise.PhaseStopping,
}

// families are the descriptions of all metrics.
var families []*prometheus.Desc

func family(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("start_server_"+name, help, labels, nil)
	families = append(families, d)
	return d
}

var (
	up         = family("up", "Whether the superdaemon answers on its control socket.", "control")
	serving    = family("serving", "Whether the superdaemon answers, and a worker of it gets connections.", "control")
	info       = family("info", "Always 1: name and version of the superdaemon.", "control", "name", "version")
	state      = family("state", "1 for what the superdaemon is doing, 0 for the other states.", "control", "state")
	started    = family("start_time_seconds", "When the superdaemon was started, since 1970.", "control")
	upgrades   = family("upgrades_total", "Images of the program that ran in the superdaemon's process before this one.", "control")
	generation = family("generation", "The live generation, 0 if there is none.", "control")
	starting   = family("starting_generation", "The generation that is starting, 0 if there is none.", "control")
	wanted     = family("wanted_workers", "How many workers there are to be.", "control")
	workers    = family("workers", "Workers by their state.", "control", "state")
	restarts   = family("restarts_total", "Generations that went live after the first attempt.", "control")
	failures   = family("failures_total", "Attempts to start workers that failed, since the monitor hears of them.", "control", "reason")
	failed     = family("last_attempt_failed", "Whether the last attempt to start a generation failed.", "control")
	exits      = family("worker_exits_total", "Workers that ended, since the monitor hears of them.", "control", "how")
	kills      = family("worker_kills_total", "Workers that did not go in time and were killed, since the monitor hears of them.", "control")
	ready      = family("worker_ready_seconds", "Time from a worker's start until it had proved itself.", "control")
	waiting    = family("socket_waiting_connections", "Connections that no worker has accepted yet; of a unix socket 1 if there are any.", "control", "socket", "network")
	waitingFor = family("socket_waiting_seconds", "For how long the connections that wait have not been accepted.", "control", "socket", "network")
	dropped    = family("socket_dropped_packets_total", "Packets that the kernel dropped as a UDP socket's queue was full.", "control", "socket")
	share      = family("traffic_ratio", "Share of the new connections that a generation gets, of 1.", "control", "generation")
	memory     = family("pss_bytes", "Proportional set size of the processes, of those that may be looked at.", "control", "process")
	cpu        = family("cpu_seconds_total", "CPU time of the processes since the monitor has seen them.", "control", "process")
	reconnects = family("monitor_reconnects_total", "Connections to the control socket that ended, and were made again.", "control")
	matches    = family("monitor_matches", "Control sockets that a pattern matches.", "pattern")
)

// Collector is for a Prometheus registry. It asks no superdaemon: it tells what is known.
type Collector struct{ Source Source }

// Describe is for the registry.
func (c Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range families {
		to <- d
	}
}

// Collect is for the registry.
func (c Collector) Collect(to chan<- prometheus.Metric) {
	for _, v := range c.Source.Views() {
		t := teller{to, v.Control}
		t.always(v)
		if v.Up {
			t.status(v.Status)
			t.used(v)
		}
	}
	seen := map[string]bool{}
	for _, f := range c.Source.Found() {
		if !seen[f.Pattern] {
			seen[f.Pattern] = true
			teller{to, f.Pattern}.gauge(matches, float64(f.Count))
		}
	}
}

// teller tells of one superdaemon. The label "control" comes first in all its metrics.
type teller struct {
	to      chan<- prometheus.Metric
	control string
}

func (t teller) tell(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
	m, err := prometheus.NewConstMetric(d, kind, value, append([]string{t.control}, labels...)...)
	if err != nil {
		m = prometheus.NewInvalidMetric(d, err)
	}
	t.to <- m
}

func (t teller) gauge(d *prometheus.Desc, value float64, labels ...string) {
	t.tell(d, prometheus.GaugeValue, value, labels...)
}

func (t teller) counter(d *prometheus.Desc, value float64, labels ...string) {
	t.tell(d, prometheus.CounterValue, value, labels...)
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// always tells what is known even of a superdaemon that is down.
func (t teller) always(v collect.View) {
	serves, _ := v.Serving()
	t.gauge(up, truth(v.Up))
	t.gauge(serving, truth(serves))
	t.counter(reconnects, float64(v.Counts.Reconnects))
	t.counter(kills, float64(v.Counts.Kills))
	for reason, n := range v.Counts.Failures {
		t.counter(failures, float64(n), reason)
	}
	for how, n := range v.Counts.Exits {
		t.counter(exits, float64(n), how)
	}
	m, err := prometheus.NewConstHistogram(ready, v.Counts.Ready.Count, v.Counts.Ready.Sum, v.Counts.Ready.Buckets, t.control)
	if err != nil {
		m = prometheus.NewInvalidMetric(ready, err)
	}
	t.to <- m
}

// status tells what the superdaemon has said.
func (t teller) status(s *control.Status) {
	t.gauge(info, 1, s.Name, s.Version)
	for _, phase := range phases {
		t.gauge(state, truth(s.State == phase), string(phase))
	}
	t.gauge(started, collect.Moment{Time: s.Started}.Seconds())
	t.counter(upgrades, float64(s.Upgrades))
	t.gauge(generation, float64(s.Generation))
	t.gauge(starting, float64(s.Starting))
	t.gauge(wanted, float64(s.WantedWorkers))
	t.counter(restarts, float64(s.Restarts))
	t.gauge(failed, truth(s.Failure != nil))
	by := map[supervise.WorkerState]int{}
	for _, w := range s.Workers {
		by[w.State]++
	}
	for _, is := range collect.States() {
		t.gauge(workers, float64(by[is]), string(is))
	}
	shared := map[int]bool{}
	for _, g := range s.Traffic {
		if !shared[g.Generation] {
			shared[g.Generation] = true
			t.gauge(share, g.Percent/100, strconv.Itoa(g.Generation))
		}
	}
	t.sockets(s.Sockets)
}

// sockets tells of each name once: with --port=…,reuseport each worker has a socket of the same
// name.
func (t teller) sockets(all []control.Socket) {
	type key struct{ name, network string }
	var order []key
	count, longest := map[key]int{}, map[key]float64{}
	for _, o := range all {
		k := key{o.Name, o.Network}
		if _, is := count[k]; !is {
			order = append(order, k)
		}
		count[k] += o.Waiting
		longest[k] = max(longest[k], o.WaitingFor)
	}
	for _, k := range order {
		if k.network != "udp" {
			t.gauge(waiting, float64(count[k]), k.name, k.network)
			t.gauge(waitingFor, longest[k], k.name, k.network)
		}
	}
}

// used tells what the processes use.
func (t teller) used(v collect.View) {
	t.counter(cpu, v.CPU.Superdaemon, "superdaemon")
	t.counter(cpu, v.CPU.Workers, "workers")
	if daemon, all := v.Memory(); daemon+all > 0 {
		t.gauge(memory, float64(daemon), "superdaemon")
		t.gauge(memory, float64(all), "workers")
	}
	for name, n := range v.Drops {
		t.counter(dropped, float64(n), name)
	}
}
