//go:build linux

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/pages"
)

// ofREADME is the block of the README that has the mark.
func ofREADME(t *testing.T, mark string) pages.Block {
	t.Helper()
	for _, b := range pages.New("README.md", readFile(t, filepath.Join(source, "README.md"))).Blocks() {
		if b.Mark == mark {
			return b
		}
	}
	require.Fail(t, "README.md has no such block", mark)
	return pages.Block{}
}

// The first commands of a newcomer, in a directory that looks like a clone.
func TestCommandsOfTheFirstMinutes(t *testing.T) {
	t.Parallel()
	needs(t, "perl")
	needs(t, "curl")
	dir, port := tempDir(t), freePort(t)
	require.NoError(t, os.Symlink(filepath.Join(source, "examples"), filepath.Join(dir, "examples")))
	script := strings.Join(ofREADME(t, "run by a test, as a script").Lines, "\n")
	script = strings.ReplaceAll(script, "--port=8080", "--port=127.0.0.1:"+port)
	script = strings.ReplaceAll(script, ":8080/", ":"+port+"/")
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(dir, "app.ctl")); err == nil { // something has failed
			command(t, dir, ours, "--stop", "--control=app.ctl")
		}
	})
	sh := exec.Command("sh", "-e", "-c", script)
	sh.Dir = dir
	sh.Env = append(os.Environ(), "PATH="+filepath.Dir(ours)+":"+os.Getenv("PATH"))
	printed, err := sh.CombinedOutput()
	require.NoError(t, err, "%s", printed)
	assert.Regexp(t, `hello from pid \d+, generation 1\n`, string(printed))
	assert.Regexp(t, `hello from pid \d+, generation 2\n`, string(printed))
}

// The commands of daily use from the README, with the server of examples/hello and a free
// port.
func TestCommandsOfEveryDay(t *testing.T) {
	t.Parallel()
	dir, port := tempDir(t), freePort(t)
	require.NoError(t, os.Symlink(hello, filepath.Join(dir, "server")))
	block := ofREADME(t, "run by a test, in this order")
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
