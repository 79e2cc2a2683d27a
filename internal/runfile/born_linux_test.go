package runfile

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessesAreToldByTheTickTheyWereStartedIn(t *testing.T) {
	t.Parallel()
	us, err := fd.ReadStat(os.Getpid())
	require.NoError(t, err)
	assert.True(t, bornSince(os.Getpid(), us.Started), "in that very tick")
	assert.False(t, bornSince(os.Getpid(), us.Started+fd.Tick))
	assert.True(t, bornSince(gonePid(t), us.Started+fd.Tick), "nobody can tell")

	serving := Status{Entries: []Entry{{1, gonePid(t)}, {1, os.Getpid()}}}
	assert.True(t, serving.bornSince(us.Started))
	assert.False(t, serving.bornSince(us.Started+fd.Tick), "one is older")
	assert.True(t, Status{}.bornSince(us.Started+fd.Tick))
}

func TestNextTickIsBetweenWhatWasStartedBeforeAndAfter(t *testing.T) {
	t.Parallel()
	started := func() int {
		cmd := exec.Command("cat")
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			stdin.Close()
			cmd.Wait()
		})
		return cmd.Process.Pid
	}
	for range 5 {
		before := started()
		tick := nextTick()
		assert.Positive(t, tick)
		assert.False(t, bornSince(before, tick))
		assert.True(t, bornSince(started(), tick))
		assert.Zero(t, tick%fd.Tick)
		assert.LessOrEqual(t, tick, fd.Uptime())
	}
}

// A worker that was already starting when the restart was asked for does not count.
func TestRestartIsNotOverWithAWorkerOfBefore(t *testing.T) {
	t.Parallel()
	old := startFake(t) // plays a worker
	f := startFake(t)
	f.do("status 1:9000100")
	answer := f.restart()
	f.do("status 2:" + strconv.Itoa(old.pid()))
	pending(t, answer, "it was started before")
	f.do("status 3:" + strconv.Itoa(startFake(t).pid()))
	assert.NoError(t, answered(t, answer))
}

func TestWhatHasEndedIsNotRunning(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	pid := cmd.Process.Pid
	assert.True(t, running(pid))
	stdin.Close() // it ends, and nobody has waited for it
	require.Eventually(t, func() bool { return !running(pid) }, patience, time.Millisecond)
	assert.True(t, alive(pid), "there is a zombie")
	require.NoError(t, cmd.Wait())
	assert.False(t, running(pid))
	assert.False(t, running(gonePid(t)))
}
