//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatusFileThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	sub := filepath.Join(dir, "sub")
	require.NoError(t, os.Mkdir(sub, 0o755))
	d := startWorkersIn(t, dir, nil, ours, "--interval=0.2", "--status-file=sub/st")
	d.serves("sub/st", "1:%d\n", d.worker(1))
	require.NoError(t, os.RemoveAll(sub))
	d.sees(1, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.sees(1, `^status file: .*no such file or directory: trying again until it is right$`)
	d.sees(1, `^old worker \d+ died`)
	require.NoError(t, os.Mkdir(sub, 0o755))
	d.sees(2, `^worker \d+ is up`)
	d.signal(syscall.SIGHUP)
	d.serves("sub/st", "3:%d\n", d.worker(3))
	d.stop()
}

func TestStatusFileOfAPredecessorIsRemoved(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "st"), []byte("7:4194305\n"), 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--interval=5", "--status-file=st")
	d.worker(1)
	assert.NoFileExists(t, filepath.Join(dir, "st"))
	d.stop()
	assert.NoFileExists(t, filepath.Join(dir, "st"))
}

func TestStatusFileThatIsGoneAtTheEndIsNoFailure(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--interval=0.2", "--status-file=st")
	d.serves("st", "1:%d\n", d.worker(1))
	require.NoError(t, os.Remove(filepath.Join(d.dir, "st")))
	d.stop()
}
