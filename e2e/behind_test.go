//go:build linux

package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A client of --restart stands still while thousands of events come and the restart is done.
// When it goes on it learns that the restart is done.
func TestClientThatFallsBehind(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--control=ctl", "--status-file=st", "--workers=3", "--interval=0.5", "--", "sleep", "1000")
	eventually(t, func() bool { return strings.Count(d.file("st"), "\n") == 3 }, d.out.String)
	said := &testkit.Output{}
	cmd := exec.Command(ours, "--control=ctl", "--restart", "--drained", "--timeout=60")
	cmd.Dir, cmd.Stdout, cmd.Stderr = d.dir, said, said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	seesIn(t, said.String, 1, `^generation 2: worker \d+ started`)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	d.talk(slices.Repeat([]string{`{"command":"signal","signal":"CONT"}`}, 3000)...) // an event each
	eventually(t, func() bool { s := d.status(); return s.Generation == 2 && s.State == "serving" }, d.out.String)
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	assert.NoError(t, cmd.Wait(), "it printed:\n%s", said)
	d.stop()
}
