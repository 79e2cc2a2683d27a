//go:build linux

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/pages"
)

// The commands of daily use, as the README has them, with the server of examples/hello and
// a port that is free.
func TestCommandsOfEveryDay(t *testing.T) {
	t.Parallel()
	dir, port := tempDir(t), freePort(t)
	require.NoError(t, os.Symlink(hello, filepath.Join(dir, "server")))
	var block pages.Block
	for _, b := range pages.New("README.md", readFile(t, filepath.Join(source, "README.md"))).Blocks() {
		if b.Mark == "run by a test, in this order" {
			block = b
		}
	}
	require.Len(t, block.Lines, 5)

	var d *daemon
	for _, line := range block.Lines {
		args := pages.Words(strings.Replace(line, "--port=8080", "--port=127.0.0.1:"+port, 1))
		require.Equal(t, "start_server", args[0])
		args[0] = ours
		if d == nil {
			d = startIn(t, dir, nil, args[0], args[1:]...)
			eventually(t, func() bool {
				code, _ := command(t, dir, ours, "--status", "--control=app.ctl")
				return code == 0
			}, d.out.String)
			continue
		}
		answer, err := http.Get("http://127.0.0.1:" + port + "/")
		require.NoError(t, err, "before %s", line)
		answer.Body.Close()
		assert.Equal(t, http.StatusOK, answer.StatusCode)
		code, printed := command(t, dir, args[0], args[1:]...)
		assert.Zero(t, code, "%s: %s", line, printed)
	}
	assert.Zero(t, d.exit())
}
