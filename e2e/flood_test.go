//go:build linux

package e2e

import (
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// floods calls do in some goroutines as often as it can, for three seconds.
func floods(do func()) {
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
				do()
			}
		})
	}
	all.Wait()
}

// HUPs without end cost little memory and few lines, and the last one is not lost.
func TestFloodOfHUPs(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=0.2", "--control=ctl", "--status-file=st", "--", "sleep", "1000")
	d.serves("st", "1:%d\n", d.worker(1))
	before, _ := d.usage()
	floods(func() { d.cmd.Process.Signal(syscall.SIGHUP) })
	after, _ := d.usage()
	assert.Less(t, after-before, 8<<10, "kB")
	d.sees(1, `^received HUP \d+ times more within a second: taken as one$`)
	asked := d.status().Generation // the last HUP may have been carried out by now
	d.signal(syscall.SIGHUP)
	eventually(t, func() bool { s := d.status(); return s.Generation > asked && s.State == "serving" }, d.out.String)
	assert.Less(t, strings.Count(d.out.String(), "received HUP"), 400)
	d.stop()
}

// STATUS lines without end cost little, and a worker that says that it is ready is still heard.
func TestFloodOfStatusLines(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--interval=0.2", "--control=ctl", "--ready=notify", "--ready-timeout=20", "--status-file=st", "--", "/bin/sh", "-c", `systemd-notify --ready; exec sleep 1000`)
	needs(t, "systemd-notify")
	d.serves("st", "1:%d\n", d.worker(1))
	conn, err := net.Dial("unixgram", environ(t, d.worker(1), "NOTIFY_SOCKET"))
	require.NoError(t, err)
	defer conn.Close()
	before := d.ticks()
	var all sync.WaitGroup
	all.Go(func() { floods(func() { conn.Write([]byte("STATUS=busy")) }) })
	code, printed := d.ask("--restart", "--timeout=25")
	assert.Zero(t, code, printed)
	all.Wait()
	assert.Less(t, d.ticks()-before, 150, "hundredths of a second, of three seconds")
	d.stop()
}
