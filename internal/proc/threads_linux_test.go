package proc

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Not parallel: the threads are those of the whole test.
func TestSpareThreadsAreThere(t *testing.T) {
	threads := func() int {
		list, err := os.ReadDir("/proc/self/task")
		require.NoError(t, err)
		return len(list)
	}
	before, began := threads(), time.Now()
	SpareThreads()
	t.Logf("%d threads, then %d, in %v", before, threads(), time.Since(began))
	assert.GreaterOrEqual(t, threads(), blocked+runtime.GOMAXPROCS(0))
	is := threads()
	SpareThreads()
	assert.Less(t, threads(), is+blocked/2, "idle threads are used again; the runtime may start a few of its own")
}
