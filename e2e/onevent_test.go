//go:build linux

package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// told are the names of the events that commands have written to a file, a line each.
func (d *daemon) told(file string) (names []string) {
	d.t.Helper()
	for line := range strings.Lines(d.file(file)) {
		var event struct {
			Version int
			Event   string
		}
		require.NoError(d.t, json.Unmarshal([]byte(line), &event), line)
		require.Equal(d.t, 1, event.Version)
		names = append(names, event.Event)
	}
	return names
}

// tells waits until the file names these events, and no others.
func (d *daemon) tells(file string, names ...string) {
	d.t.Helper()
	eventually(d.t, func() bool { return len(d.told(file)) >= len(names) }, func() string { return d.file(file) + d.out.String() })
	assert.Equal(d.t, names, d.told(file))
}

func TestCommandsForEvents(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2", "--on-event=cat >> all", "--on-event=live,gave-up:cat >> some; echo output; exit 3")
	d.signal(syscall.SIGHUP)
	d.tells("some", "live", "live")
	d.sees(2, `^output$`)
	d.sees(2, `^command \d+ for an event has failed: exit code 3$`)
	d.sees(1, `^old worker \d+ died`)
	d.stop()
	d.tells("some", "live", "live")
	assert.Equal(t, []string{"started", "proven", "live", "restart-asked", "started", "proven", "live", "retiring", "exited", "stopping", "exited"}, d.told("all"), "also what was told at the end")
	d.runs()
}

// A command that hangs holds up neither a restart nor the end, and ends with its group.
func TestCommandForAnEventThatHangs(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2", "--on-event=live:sleep 1000 & echo server $!; wait")
	child := d.server(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^old worker \d+ died, status:0$`)
	d.stop()
	d.sees(1, `^command \d+ for an event is still there at the end, sending KILL$`)
	d.sees(1, `^1 event dropped at the end, as the commands for events are too slow$`)
	isGone(t, child)
	d.runs()
}

// A command lives through an upgrade, and the next image tells of events that wait. That image also
// reaps orphans here, but does not take the command for one.
func TestCommandsForEventsLiveThroughAnUpgrade(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.2", "--subreaper", `--on-event=live:echo server $$; cat >> some; while [ -e wait ]; do sleep 0.05; done; echo over $$`)
	d.server(1)
	d.sees(1, `^over \d+$`)
	d.write("wait", "")
	d.signal(syscall.SIGHUP)
	runs := d.server(2)
	d.signal(syscall.SIGHUP)
	d.serves("st", "3:%d\n", d.worker(3))
	d.upgraded("--keep-workers")
	require.True(t, alive(runs))
	d.hasNo("wait")
	assert.Equal(t, strconv.Itoa(runs), d.sees(3, `^over (\d+)$`)[1])
	d.tells("some", "live", "live", "live")
	d.stop()
	assert.NotContains(t, d.out.String(), "has failed")
	assert.NotContains(t, d.out.String(), "orphans")
	d.runs()
}

func TestCommandsForEventsBadInput(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		"--on-event=liv:true": `on-event liv:true: "liv" is no event; there are auto-restart, canary, exited, failed, gave-up, hung, killed, live, not-ready, promoted, proven, refill-failed, renewal-failed, renewed, resized, restart-asked, retiring, rolled-back, says, signalled, standby-over, started, stop-delayed, stopping, too-large, too-old, took-over, waiting`,
		"--on-event=live:":    `on-event live:: the command is missing`,
	} {
		code, printed := command(t, tempDir(t), ours, option, "--", "true")
		assert.Equal(t, 2, code, option)
		assert.Equal(t, "start_server: "+want+"\n", printed, option)
	}
}
