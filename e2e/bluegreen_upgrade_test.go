//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A start_server without start_server_probe could not ask the next worker: it says so before
// anything has happened.
func TestUpgradeToOneThatCannotProbe(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--port=web@127.0.0.1:0", "--blue-green", "--ready=probe", "--probe=http://web/", "--interval=0.2", "--control=ctl", "--", hello)
	d.sees(1, `^worker \d+ is ready`)
	lone := filepath.Join(tempDir(t), "start_server")
	require.NoError(t, os.Link(ours, lone))
	code, printed := command(t, d.dir, lone, "--upgrade", "--control=ctl")
	assert.Equal(t, 1, code, printed)
	assert.Contains(t, printed, "start_server_probe is neither beside start_server nor in PATH")
	assert.NotContains(t, d.out.String(), "this is start_server", "nothing has happened")
	assert.Equal(t, 1, d.status().Generation)
	d.stop()
}
