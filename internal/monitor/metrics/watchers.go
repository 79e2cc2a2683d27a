package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	watchers = prometheus.NewDesc("start_server_monitor_event_clients", "Clients that follow the stream of events.", nil, nil)
	slow     = prometheus.NewDesc("start_server_monitor_event_clients_dropped_total", "Clients that did not keep up with the stream of events.", nil, nil)
)

// Watchers is for a registry: how many clients follow, and how many were dropped.
type Watchers func() (now int, dropped uint64)

// Describe is for the registry.
func (w Watchers) Describe(to chan<- *prometheus.Desc) { to <- watchers; to <- slow }

// Collect is for the registry.
func (w Watchers) Collect(to chan<- prometheus.Metric) {
	now, dropped := w()
	to <- prometheus.MustNewConstMetric(watchers, prometheus.GaugeValue, float64(now))
	to <- prometheus.MustNewConstMetric(slow, prometheus.CounterValue, float64(dropped))
}
