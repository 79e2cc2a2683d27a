//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The examples in deploy/ give a server only what it needs.

func TestUnitsAreHard(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"app.service", "app-standalone.service"} {
		u := parseUnit(t, name)
		for _, key := range []string{
			"NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups", "ProtectHostname",
			"ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "RestrictNamespaces", "RestrictRealtime",
			"RestrictSUIDSGID", "LockPersonality",
		} {
			assert.Equal(t, "yes", u.one(t, key), "%s %s", name, key)
		}
		assert.Equal(t, "strict", u.one(t, "ProtectSystem"), name)
		assert.Equal(t, "0077", u.one(t, "UMask"), name)
		// A worker's user must not be able to write to the directory of root's files.
		start := u.command(t, "ExecStart")
		assert.Equal(t, len(u["User"]) == 0, valueOf(start, "user") != "", "%s: User= or --user, not both", name)
	}
	u := parseUnit(t, "app.service")
	assert.Equal(t, "yes", u.one(t, "RemoveIPC"))
	assert.Empty(t, u.one(t, "CapabilityBoundingSet"))
}

func TestPodIsHard(t *testing.T) {
	t.Parallel()
	spec, container, _ := pod(t)
	assert.Equal(t, false, dig(spec, "automountServiceAccountToken"))
	assert.Equal(t, false, dig(spec, "enableServiceLinks"))
	assert.Equal(t, true, dig(spec, "securityContext", "runAsNonRoot"))
	assert.Equal(t, "RuntimeDefault", dig(spec, "securityContext", "seccompProfile", "type"))
	assert.Equal(t, false, dig(container, "securityContext", "allowPrivilegeEscalation"))
	assert.Equal(t, true, dig(container, "securityContext", "readOnlyRootFilesystem"))
	assert.Equal(t, []any{"ALL"}, dig(container, "securityContext", "capabilities", "drop"))
}

// TestImageIsBuiltByPodman: Podman, too, can build the image. It guesses no registry, and its
// tmpfs knows no uid=.
func TestImageIsBuiltByPodman(t *testing.T) {
	t.Parallel()
	for _, stage := range stages(t) {
		require.Equal(t, "FROM", stage[0].name)
		image := strings.Fields(stage[0].args)[0]
		host, _, _ := strings.Cut(image, "/")
		assert.True(t, image == "scratch" || strings.Contains(host, "."), "%s names no registry", image)
	}
	for _, page := range []string{"docs/containers.md", "README.md"} {
		assert.NotContains(t, readFile(t, filepath.Join(source, page)), "--tmpfs /run/app:uid=", page)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
