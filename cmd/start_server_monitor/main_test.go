//go:build linux

package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// asCommand makes the test binary the command, with the arguments that follow.
const asCommand = "START_SERVER_MONITOR_TEST"

// patience is how long anything that should happen may take on a busy machine.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// monitor is a monitor that runs.
type monitor struct {
	*exec.Cmd
	out testkit.Output
	url string
}

var listening = regexp.MustCompile(`listening on (http://\S+)/`)

// runs starts the command with a port that is free, and ends it with the test.
func runs(t testing.TB, args ...string) *monitor {
	t.Helper()
	m := &monitor{Cmd: exec.Command(os.Args[0], append([]string{"--listen=127.0.0.1:0"}, args...)...)}
	m.Env = append(os.Environ(), asCommand+"=1")
	m.Stdout, m.Stderr = &m.out, &m.out
	require.NoError(t, m.Start())
	t.Cleanup(func() {
		_ = m.Process.Kill()
		_ = m.Wait()
	})
	eventually(t, func() bool { return listening.MatchString(m.out.String()) }, m.out.String)
	m.url = listening.FindStringSubmatch(m.out.String())[1]
	return m
}

func eventually(t testing.TB, is func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// get returns an answer of the monitor.
func (m *monitor) get(t testing.TB, path string) (code int, body string) {
	t.Helper()
	answer, err := http.Get(m.url + path)
	require.NoError(t, err, "%s", &m.out)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

// value returns the value of a metric, by its name and labels.
func value(t testing.TB, metrics, name string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if rest, is := strings.CutPrefix(line, name+" "); is {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			require.NoError(t, err)
			return v
		}
	}
	t.Fatalf("%s is not there: %s", name, metrics)
	return 0
}

// plays makes the control socket of a superdaemon with that status. It lasts until closed is called
// or the test ends.
func plays(t testing.TB, path string, status control.Status) (closed func()) {
	t.Helper()
	s, err := control.Listen(path, control.Config{
		Do: func(_ control.Peer, r control.Request) control.Answer {
			switch r.Command {
			case "subscribe":
				return control.Subscription()
			case "status":
				now := status
				now.Workers = append([]control.Worker(nil), status.Workers...)
				return control.Answer{OK: true, Status: &now}
			}
			return control.Answer{Error: "no"}
		},
		Picture: func() *control.Status { return &status },
		Refused: func(string, int) {},
	})
	require.NoError(t, err)
	closed = sync.OnceFunc(func() { _ = s.Close() })
	t.Cleanup(closed)
	return closed
}

// serving returns the status of a superdaemon whose workers are those processes.
func serving(pids ...int) control.Status {
	s := control.Status{
		Name: "start_server", Pid: os.Getpid(), State: supervise.PhaseServing, Started: time.Now(), Generation: 1,
		WantedWorkers: len(pids), Version: "1.0.0",
		Sockets: []control.Socket{{Name: "8080", Network: "tcp", Address: "0.0.0.0:8080", FD: 3}},
	}
	for i, pid := range pids {
		after := 0.2
		s.Workers = append(s.Workers, control.Worker{ID: control.ID{Generation: 1, Slot: i, Pid: pid}, State: supervise.StateLive, ReadyAfter: &after})
	}
	return s
}

// sleeps starts n processes.
func sleeps(t testing.TB, n int) (pids []int) {
	t.Helper()
	for range n {
		c := exec.Command("sleep", "1000")
		require.NoError(t, c.Start())
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		pids = append(pids, c.Process.Pid)
	}
	return pids
}

// BenchmarkScrape scrapes a monitor of 50 superdaemons with four workers each, once a second, and
// reports the CPU time that the monitor takes. It should take no more than 20 ms a second, which
// is 2 % of a core.
func BenchmarkScrape(b *testing.B) {
	const superdaemons, workers = 50, 4
	dir, err := os.MkdirTemp("", "ss")
	require.NoError(b, err)
	defer os.RemoveAll(dir)
	for i := range superdaemons {
		plays(b, filepath.Join(dir, fmt.Sprintf("%d.ctl", i)), serving(sleeps(b, workers)...))
	}
	m := runs(b, filepath.Join(dir, "*.ctl"))
	eventually(b, func() bool { code, _ := m.get(b, "/healthz"); return code == http.StatusOK }, m.out.String)
	used := func() float64 {
		_, text := m.get(b, "/metrics")
		return value(b, text, "process_cpu_seconds_total")
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	before := used()
	for range b.N {
		<-tick.C
		_, text := m.get(b, "/metrics")
		require.Equal(b, superdaemons, strings.Count(text, "\nstart_server_up{"))
	}
	b.ReportMetric((used()-before)*1000/float64(b.N), "cpu-ms/scrape")
}
