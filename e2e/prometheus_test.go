//go:build linux && extra

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFilesForPrometheusAreChecked(t *testing.T) {
	t.Parallel()
	promtool := needs(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"check", "config", "scrape.yml"}} {
		c := exec.Command(promtool, args...)
		c.Dir = filepath.Join(source, "deploy/prometheus")
		printed, err := c.CombinedOutput()
		assert.NoError(t, err, "%s", printed)
	}
	dir := tempDir(t)
	released(t, dir, "a")
	url := monitors(t, dir)
	eventually(t, func() bool { return strings.Contains(fetched(t, url+"healthz"), "ok") }, func() string { return fetched(t, url+"healthz") })
	c := exec.Command(promtool, "check", "metrics")
	c.Stdin = strings.NewReader(fetched(t, url+"metrics"))
	printed, err := c.CombinedOutput()
	assert.NoError(t, err, "%s", printed)
	assert.Empty(t, string(printed))
}
