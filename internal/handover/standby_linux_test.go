package handover

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/notify"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Files that are still needed stay: the paths of sockets that the service manager or orphans have,
// and the status file by which the next superdaemon finds orphans.
func TestStopRemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	for what, row := range map[string]struct {
		state               State
		keepsPath, keepsOwn bool
	}{
		"nothing else":                       {},
		"sockets that are kept":              {State{Kept: []socket.Kept{{Name: "a"}}}, true, false},
		"orphans that serve":                 {State{Orphans: &runfile.HeldOrphans{}}, true, true},
		"orphans that were told to go by it": {State{Orphans: &runfile.HeldOrphans{Plan: runfile.Retirement{At: time.Now()}}}, false, false},
	} {
		dir := t.TempDir()
		in := func(name string) string { return filepath.Join(dir, name) }
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: in("sock"), Net: "unix"})
		require.NoError(t, err)
		defer l.Close()
		info, err := os.Lstat(in("sock"))
		require.NoError(t, err)
		require.NoError(t, os.Mkdir(in("told"), 0o700))
		require.NoError(t, os.WriteFile(in("told/notify"), nil, 0o600))
		require.NoError(t, os.WriteFile(in("status"), nil, 0o600))
		is := info.Sys().(*syscall.Stat_t)
		s := row.state
		s.Stop, s.StatusFile, s.Notify = "TERM", in("status"), &notify.Held{Path: in("told"), FD: -1}
		s.Sockets = []*socket.Held{{Path: in("sock"), Dev: uint64(is.Dev), Ino: is.Ino}}
		s.stop(0)
		assert.NoDirExists(t, in("told"), what)
		_, err = os.Lstat(in("sock"))
		assert.Equal(t, row.keepsPath, err == nil, what)
		_, err = os.Lstat(in("status"))
		assert.Equal(t, row.keepsOwn, err == nil, what)
	}
}

// A process that was started when the superdaemon had ended has only got the pid of a worker.
func TestStopEndsNoStranger(t *testing.T) {
	t.Parallel()
	p, err := proc.Start(proc.Command{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Files: []int{0, 1, 2}})
	require.NoError(t, err)
	stat, err := fd.ReadStat(p.Pid())
	require.NoError(t, err)
	s := &State{Stop: "TERM", Loop: &supervise.Frozen{}, Processes: []proc.Handed{p.Hand()}}
	s.stop(stat.Started - fd.Tick)
	after, err := fd.ReadStat(p.Pid())
	require.NoError(t, err)
	assert.NotEqual(t, byte('Z'), after.State, "it has not ended")
	stopped := make(chan struct{})
	go func() { s.stop(stat.Started); close(stopped) }()
	status := p.Wait()
	assert.Equal(t, syscall.SIGTERM, syscall.WaitStatus(status).Signal(), "a worker is ended")
	<-stopped
}
