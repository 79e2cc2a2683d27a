//go:build linux

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wrapped is a worker that does not exec its server. The server first runs how, and then
// prints its pid.
func wrapped(how string) []string {
	return []string{"--", "/bin/sh", "-c", `/bin/sh -c '` + how + `; echo server $$; while :; do sleep 0.05; done'; echo "it has ended"`}
}

// server is the pid of the nth wrapped server.
func (d *daemon) server(n int) int {
	d.t.Helper()
	pid, err := strconv.Atoi(d.sees(n, `^server (\d+)$`)[n-1])
	require.NoError(d.t, err)
	d.t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

func TestAServerThatItsWrapperLeavesBehindIsTold(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--interval=0.2", "--kill-group", "--kill-timeout=20"}, wrapped("true")...)...)
	first, wrapper := d.server(1), d.worker(1)
	d.signal(syscall.SIGHUP)
	d.sees(1, fmt.Sprintf(`^worker %d has left processes of its group behind, sending TERM to them:(\d+,)*%d\b`, wrapper, first))
	isGone(t, first)
	second := d.server(2)
	d.stop()
	assert.False(t, alive(second), "a stop waits for what was left behind")
	assert.NotContains(t, d.out.String(), "sending KILL")
}

func TestAServerThatItsWrapperLeavesBehindIsKilled(t *testing.T) {
	t.Parallel()
	for _, end := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		d := start(t, ours, append([]string{"--interval=0.2", "--kill-group", "--kill-timeout=0.5"}, wrapped(`trap "" TERM`)...)...)
		server, wrapper := d.server(1), d.worker(1)
		d.signal(end)
		if end == syscall.SIGTERM {
			require.Zero(t, d.exit())
			assert.False(t, alive(server), "start_server ends when all has")
		}
		d.sees(1, fmt.Sprintf(`^what worker %d has left behind is still there 0.5 secs after it was told to go, sending KILL$`, wrapper))
		isGone(t, server)
	}
}

// The wrapper is killed: its server is told, too. It is not waited for, because no timeout bounds
// that.
func TestAServerWhoseWrapperDiesIsTold(t *testing.T) {
	t.Parallel()
	d := start(t, ours, append([]string{"--interval=0.2", "--kill-group", "--signal-on-hup=USR1"}, wrapped(`trap "echo told USR1" USR1; trap "" TERM`)...)...)
	server, wrapper := d.server(1), d.worker(1)
	d.sees(1, `^starting new worker`)
	require.NoError(t, syscall.Kill(wrapper, syscall.SIGKILL))
	d.sees(1, `^told USR1$`)
	d.server(2)
	d.stop()
	assert.True(t, alive(server))
	assert.Len(t, regexp.MustCompile(`(?m)^worker \d+ has left processes`).FindAllString(d.out.String(), -1), 2)
}
