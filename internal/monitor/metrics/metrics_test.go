package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/monitor/collect"
)

// fixed is a Source that does not change.
type fixed []collect.View

func (f fixed) Views() []collect.View { return f }
func (f fixed) Found() []collect.Found {
	return []collect.Found{{Pattern: "/run/*", Count: 2}, {Pattern: "/run/*"}}
}

// views has one superdaemon of which all is known, and one that is not there.
func views() fixed {
	s := &control.Status{Name: "start_server", Pid: 1, State: "canary", Started: time.Now(), Generation: 1, Version: "1", Workers: []control.Worker{{State: "live"}, {State: "live"}, {State: "?"}}}
	for range 3 { // with reuseport several sockets have one name, and a hostile superdaemon may repeat anything
		s.Sockets = append(s.Sockets, control.Socket{Name: "80", Network: "tcp", Waiting: 2, WaitingFor: 1})
		s.Traffic = append(s.Traffic, control.Traffic{Generation: 2, Percent: 5})
	}
	return fixed{
		{Control: "/run/a", Up: true, Asked: true, Status: s, Processes: map[int]collect.Process{1: {PSS: 1000}}, Drops: map[string]uint64{"53": 1},
			Counts: collect.Counts{Failures: map[string]uint64{"exit": 1}, Exits: map[string]uint64{"zero": 1}, Ready: collect.Histogram{Count: 1, Sum: 1, Buckets: map[float64]uint64{1: 1}}}},
		{Control: "/run/b", Asked: true, Why: "it is not there"},
	}
}

func TestMetricsAreAsTheGuidelinesHaveThem(t *testing.T) {
	t.Parallel()
	for _, c := range []prometheus.Collector{Collector{views()}, Watchers(func() (int, uint64) { return 1, 2 })} {
		faults, err := testutil.CollectAndLint(c)
		require.NoError(t, err)
		assert.Empty(t, faults)
	}
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(Collector{views()}))
	faults, err := testutil.GatherAndLint(registry)
	require.NoError(t, err)
	assert.Empty(t, faults)
}

func TestMetricsOfSuperdaemons(t *testing.T) {
	t.Parallel()
	require.NoError(t, testutil.CollectAndCompare(Collector{views()}, strings.NewReader(`
# HELP start_server_socket_waiting_connections Connections that no worker has accepted yet; of a unix socket 1 if there are any.
# TYPE start_server_socket_waiting_connections gauge
start_server_socket_waiting_connections{control="/run/a",network="tcp",socket="80"} 6
# HELP start_server_traffic_ratio Share of the new connections that a generation gets, of 1.
# TYPE start_server_traffic_ratio gauge
start_server_traffic_ratio{control="/run/a",generation="2"} 0.05
# HELP start_server_up Whether the superdaemon answers on its control socket.
# TYPE start_server_up gauge
start_server_up{control="/run/a"} 1
start_server_up{control="/run/b"} 0
`), "start_server_up", "start_server_socket_waiting_connections", "start_server_traffic_ratio"))
	assert.Equal(t, 9, testutil.CollectAndCount(Collector{views()}, "start_server_workers"), "a state that nobody knows is none")
}

var metric = regexp.MustCompile(`\bstart_server_[a-z_]+`)

// Every metric that deploy and the documentation name exists.
func TestMetricsThatAreNamedExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/monitor.md")
	require.NoError(t, err)
	there := map[string]bool{"start_server_monitor": true} // the command
	for _, d := range append(families, watchers, slow) {
		name := metric.FindString(d.String())
		there[name] = true
		there[name+"_bucket"] = d == ready
		assert.True(t, strings.Contains(string(page), "`"+name+"`"), "docs/monitor.md lacks %s", name)
	}
	files := []string{"deploy/prometheus/alerts.yml", "deploy/prometheus/dashboard.json", "docs/monitor.md"}
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join("../../..", file))
		require.NoError(t, err)
		names := metric.FindAllString(string(text), -1)
		assert.Greater(t, len(names), 10, file)
		for _, name := range names {
			assert.True(t, there[name], "%s: %s", file, name)
		}
	}
}

func TestFilesForPrometheusCanBeRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"alerts.yml", "scrape.yml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join("../../../deploy/prometheus", name))
		require.NoError(t, err)
		var v map[string]any
		if strings.HasSuffix(name, ".json") {
			err = json.Unmarshal(text, &v)
		} else {
			err = yaml.Unmarshal(text, &v)
		}
		require.NoError(t, err, name)
		assert.NotEmpty(t, v)
	}
}
