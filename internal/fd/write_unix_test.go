//go:build unix

package fd

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The file blocks when Go opens it, and does not block any more when it is full.
func TestWriteAllWaitsForAFileThatAnotherHasMadeNonblocking(t *testing.T) {
	t.Parallel()
	r, w, err := Pipe()
	require.NoError(t, err)
	from, to := os.NewFile(uintptr(r), "r"), os.NewFile(uintptr(w), "w")
	defer from.Close()
	require.NoError(t, unix.SetNonblock(w, true))
	text := strings.Repeat("a line\n", 1<<16)
	wrote := make(chan error, 1)
	go func() {
		wrote <- WriteAll(to, text)
		to.Close()
	}()
	got, err := io.ReadAll(from)
	require.NoError(t, err)
	assert.NoError(t, <-wrote)
	assert.True(t, text == string(got), "%d bytes of %d", len(got), len(text))
}
