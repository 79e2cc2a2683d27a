//go:build linux

package e2e

import (
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hang is the limit for a stop, although some workers have to be killed after one second.
const hang = 5 * time.Second

// TestTermAtAnyMoment: at whatever moment TERM comes to a busy superdaemon, no process and no
// file is left, and it does not hang. STOPS says how many stops are tried.
func TestTermAtAnyMoment(t *testing.T) {
	t.Parallel()
	stops, err := strconv.Atoi(os.Getenv("STOPS"))
	if err != nil {
		stops = 40
	}
	moody := program(t, "moody")
	longest := make([]time.Duration, 4)
	var all sync.WaitGroup
	for i := range longest {
		all.Go(func() {
			for n := i; n < stops && !t.Failed(); n += len(longest) {
				longest[i] = max(longest[i], termAtAMoment(t, moody))
			}
		})
	}
	all.Wait()
	t.Logf("%d stops, the longest took %v, %v, %v and %v", stops, longest[0], longest[1], longest[2], longest[3])
}

// termAtAMoment runs one superdaemon, and returns how long its stop took.
func termAtAMoment(t *testing.T, worker string) time.Duration {
	dir := tempDir(t)
	options := []string{
		"--port=127.0.0.1:0", "--path=path", "--control=ctl", "--status-file=status", "--pid-file=pid", "--log-file=log",
		"--interval=0.1", "--kill-timeout=1", "--workers=" + strconv.Itoa(2+rand.IntN(3)),
	}
	for _, option := range []string{"--rolling", "--ready=notify", "--kill-group", "--subreaper", "--prefix-output", "--kill-old-delay=0.1"} {
		if rand.IntN(2) == 0 {
			options = append(options, option)
		}
	}
	d := startIn(t, dir, nil, ours, append(options, "--", worker)...)
	d.sees(1, `starting now`)
	<-d.bothered(time.After(rand.N(600 * time.Millisecond)))
	began := time.Now()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.gone:
	case <-time.After(hang):
		assert.Fail(t, "it hangs", "%v: %s", options, d.file("log"))
		return hang
	}
	took := time.Since(began)
	assert.Zero(t, d.cmd.ProcessState.ExitCode(), "%v: %s", options, d.file("log"))
	d.leftNothing(options)
	return took
}

// bothered sends HUPs and requests until the moment has come. The channel is closed then.
func (d *daemon) bothered(moment <-chan time.Time) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-moment:
				return
			case <-time.After(rand.N(30 * time.Millisecond)):
			}
			_ = d.cmd.Process.Signal([]syscall.Signal{syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU}[rand.IntN(3)])
			if conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl")); err == nil {
				_, _ = conn.Write([]byte("{\"command\":\"status\"}\n{\"command\":\"restart\"}\n"))
				time.AfterFunc(rand.N(time.Second), func() { conn.Close() }) // the connection may still be open at the end
			}
		}
	}()
	return over
}

// leftNothing checks that it has left nothing when it is gone.
func (d *daemon) leftNothing(options []string) {
	for pid := range processes(d.t) {
		cwd, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
		assert.NotEqual(d.t, d.dir, cwd, "%v: process %d is left; %s", options, pid, d.file("log"))
	}
	entries, err := os.ReadDir(d.dir)
	require.NoError(d.t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "notified.") {
			assert.Equal(d.t, "log", e.Name(), "%v: is left", options)
			continue
		}
		_, err := os.Lstat(filepath.Dir(d.file(e.Name())))
		assert.ErrorIs(d.t, err, fs.ErrNotExist, "%v: %s", options, d.file(e.Name()))
	}
}
