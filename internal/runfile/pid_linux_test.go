package runfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// /dev/full takes no pid. It is not ours to remove, so it is reached by a link.
func TestPidFileOnAFullDiskIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pid")
	require.NoError(t, os.Symlink("/dev/full", path))
	_, err := Hold(path)
	assert.ErrorContains(t, err, fmt.Sprintf("cannot write pid file %q: ", path))
	_, err = os.Lstat(path)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}
