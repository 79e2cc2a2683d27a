package launch

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shell starts a worker that is a script, and that leads a process group.
func shell(t *testing.T, script string) (*Spawner, supervise.Process, *log) {
	t.Helper()
	out := newLog()
	s := &Spawner{
		Program: Program{Command: []string{"/bin/sh", "-c", script}, Start: proc.Command{Group: true}},
		Sockets: &socket.Set{}, Out: out.Output, Relay: true,
		Env: func() (Environ, supervise.Settings, error) {
			return Environ{"PATH=/usr/bin:/bin"}, supervise.Settings{}, nil
		},
	}
	p, _, err := s.Spawn(1, 0, 0)
	require.NoError(t, err)
	t.Cleanup(func() { syscall.Kill(-p.Pid(), syscall.SIGKILL) }) // if processes of its group are left, the group still has that number
	return s, p, out
}

func TestWhatAWorkerHasLeftBehind(t *testing.T) {
	t.Parallel()
	s, p, out := shell(t, "sleep 600 >/dev/null 2>&1 & echo $!")
	require.Zero(t, p.Wait())
	out.Wait()
	_, said, _ := strings.Cut(strings.TrimSpace(out.written()), "] ")
	pid, err := strconv.Atoi(said)
	require.NoError(t, err, out.written())
	left := s.Leftovers(p)
	require.NotNil(t, left)
	assert.Equal(t, []int{pid}, left.Pids())
	require.NoError(t, left.Signal(syscall.SIGKILL))
	left.Wait()
	assert.True(t, s.Leftovers(p) == nil, "an interface that holds a nil")
}

func TestWorkerThatHasLeftNothingBehind(t *testing.T) {
	t.Parallel()
	s, p, _ := shell(t, "exit 3")
	require.Equal(t, 3<<8, p.Wait())
	assert.True(t, s.Leftovers(p) == nil, "an interface that holds a nil")
}

func TestSignalForAWorkerAndItsGroup(t *testing.T) {
	t.Parallel()
	s, p, out := shell(t, "sleep 600 >/dev/null 2>&1 & echo begun; wait")
	require.Eventually(t, func() bool { return strings.Contains(out.written(), "begun") }, 20*time.Second, time.Millisecond)
	require.NoError(t, s.SignalGroup(p, syscall.SIGTERM))
	assert.Equal(t, int(syscall.SIGTERM), p.Wait())
	assert.True(t, s.Leftovers(p) == nil, "its child has got it, too")
}

// stranger is a worker that no Spawner has started.
type stranger struct{ signals []os.Signal }

func (*stranger) Pid() int    { return 4711 }
func (*stranger) Ended() bool { return true }
func (*stranger) Wait() int   { return 0 }
func (p *stranger) Signal(sig os.Signal) error {
	p.signals = append(p.signals, sig)
	return os.ErrProcessDone
}

func TestWorkerThatIsNoProcessOfOurs(t *testing.T) {
	t.Parallel()
	p := &stranger{}
	assert.Equal(t, os.ErrProcessDone, (&Spawner{}).SignalGroup(p, syscall.SIGINT))
	assert.Equal(t, []os.Signal{syscall.SIGINT}, p.signals)
	assert.True(t, (&Spawner{}).Leftovers(p) == nil)
}
