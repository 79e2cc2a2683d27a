//go:build linux && extra

package e2e

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	extraServers["Java"] = restartJava
	extraReleases = append(extraReleases, func(*testing.T) map[string]release { return map[string]release{"Java": java} })
}

var java = release{file: "Server.class", content: serverClass, broken: "broken", program: []string{"java", "-cp", ".", "Server"}, port: "@ADDR@=0"}

func restartJava(t *testing.T) {
	java, addr := needs(t, "java"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr+"=0", map[string]string{"Server.class": serverClass(t)}, []string{brief}, java, "-cp", ".", "Server")
	d.losesNothing("tcp", addr, 4, 4)
}

// serverClass is testdata/Server.java, compiled.
func serverClass(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	text, err := exec.Command(needs(t, "javac"), "-d", dir, inTestdata("Server.java")).CombinedOutput()
	require.NoError(t, err, "%s", text)
	return readFile(t, filepath.Join(dir, "Server.class"))
}
