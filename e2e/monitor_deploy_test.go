//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUnitOfTheMonitorIsVerified(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	const installed = "/usr/local/bin/start_server_monitor"
	unit := deployed(t, "systemd/start_server_monitor.service")
	require.Contains(t, unit, installed)
	path := filepath.Join(dir, "start_server_monitor.service")
	there := filepath.Join(filepath.Dir(ours), "start_server_monitor")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(unit, installed, there)), 0o644))
	printed, _ := exec.Command(needs(t, "systemd-analyze"), "verify", "--man=no", path).CombinedOutput()
	for line := range strings.Lines(string(printed)) {
		assert.NotContains(t, line, "start_server_monitor", "%s", printed)
	}
}
