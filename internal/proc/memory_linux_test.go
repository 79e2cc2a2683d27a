package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A worker's memory is that of its descendants, too: here of a child of a child.
func TestMemoryIsThatOfAllDescendants(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	c := exec.Command("/bin/sh", "-c", `(x=$(head -c 33554432 /dev/zero | tr '\0' a); echo ready; read y; echo "$x" >/dev/null); :`)
	stdin, err := c.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	defer func() { stdin.Close(); _ = c.Wait() }()
	_, err = stdout.Read(make([]byte, 6))
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return Memory([]int{c.Process.Pid})[c.Process.Pid] > size }, 30*time.Second, 10*time.Millisecond)
	own := Memory([]int{os.Getpid(), 1 << 30})
	assert.Len(t, own, 1, "what is not there is left out")
	assert.Greater(t, own[os.Getpid()], int64(size), "a child's is its parent's, too")
}

func TestWhatOneProcessUses(t *testing.T) {
	t.Parallel()
	c := exec.Command("sleep", "1000")
	require.NoError(t, c.Start())
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	size, ok := PSS(c.Process.Pid)
	assert.True(t, ok)
	assert.Positive(t, size)
	assert.Less(t, size, int64(32<<20))
	assert.Positive(t, OwnMemory(c.Process.Pid))
	used, ok := CPUTime(c.Process.Pid)
	assert.True(t, ok)
	assert.Less(t, used, 10*time.Second)

	for _, nobody := range []int{-1, 0, 1 << 40} {
		_, ok = PSS(nobody)
		assert.False(t, ok, nobody)
		assert.Zero(t, OwnMemory(nobody))
		_, ok = CPUTime(nobody)
		assert.False(t, ok, nobody)
	}
}
