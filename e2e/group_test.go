//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// With --signal-group a server gets the signal of a restart, although its wrapper only waits
// for it and passes nothing on. Each of the two is told once.
func TestWholeGroupIsTold(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--interval=0.2", "--signal-group", "--signal-on-hup=USR1", "--kill-timeout=20", "--"},
		"/bin/sh", "-c", `trap : USR1 TERM; /bin/sh -c 'trap "echo told \$\$ USR1; exit" USR1; trap "echo told \$\$ TERM; exit" TERM; echo server $$; while :; do sleep 0.05; done'; echo "wrapper ends"`)...)
	first, wrapper := d.server(1), d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^told %d USR1$`, first))
	isGone(t, first)
	isGone(t, wrapper)
	d.sees(1, `^wrapper ends$`)
	second := d.server(2)
	d.stop()
	d.sees(1, fmt.Sprintf(`^told %d TERM$`, second))
	assert.Equal(t, 2, strings.Count(d.out.String(), "told "))
	assert.NotContains(t, d.out.String(), "sending KILL")
}

// What is left of a group that was told is not told again, but killed at the kill timeout.
func TestRestOfAGroupThatWasToldIsKilled(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--interval=0.2", "--signal-group", "--kill-timeout=1"}, wrapped(`trap "echo told TERM" TERM`)...)...)
	server, wrapper := d.server(1), d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^worker %d has left processes of its group behind, which were sent TERM when it was:(\d+,)*%d\b`, wrapper, server))
	d.sees(1, fmt.Sprintf(`^what worker %d has left behind is still there 1 secs after it was told to go, sending KILL$`, wrapper))
	isGone(t, server)
	assert.Len(t, d.sees(1, `^told TERM$`), 1)
	d.stop()
	assert.False(t, alive(d.server(2)))
}

// orphaned is a worker that leaves a process behind in a session of its own.
func orphaned(how string) []string {
	return []string{"--", "/bin/sh", "-c", `setsid /bin/sh -c '` + how + `; echo server $$; while :; do sleep 0.05; done' & trap "exit 0" TERM; while :; do sleep 0.05; done`}
}

func TestOrphansAreEndedAtTheStop(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ how, then string }{
		{`trap "echo told TERM; exit" TERM`, "told TERM"},
		{`trap "" TERM`, "sending KILL to orphans of workers that are still there 0.5 secs later:"},
	} {
		d := start(t, ours, append([]string{"--interval=0.2", "--subreaper", "--status-file=status", "--kill-timeout=0.5"}, orphaned(c.how)...)...)
		first := d.server(1)
		d.isLive(1)
		d.signal(syscall.SIGHUP)
		isGone(t, d.worker(1))
		second := d.server(2)
		d.isLive(2)
		require.True(t, alive(first), "a restart leaves it alone")
		d.stop()
		d.sees(1, `^sending TERM to orphans of workers:\d+,\d+`)
		assert.False(t, alive(first) || alive(second))
		assert.Contains(t, d.out.String(), c.then)
	}
}

// A child that was there before the first worker is no orphan of a worker.
func TestChildrenOfWhoHasStartedUsAreLeftAlone(t *testing.T) {
	t.Parallel()
	d := start(t, "/bin/sh", "-c", `/bin/sh -c 'echo server $$; while :; do sleep 0.05; done' & exec "$0" --subreaper --interval=0.2 --status-file=status -- sleep 1000`, ours)
	stranger := d.server(1)
	d.isLive(1)
	d.stop()
	assert.True(t, alive(stranger))
	assert.NotContains(t, d.out.String(), "orphans")
}
