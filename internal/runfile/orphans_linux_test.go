package runfile

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// orphan is a process that is no child of ours. It ends at TERM unless it is stubborn.
func orphan(t *testing.T, stubborn bool) int {
	t.Helper()
	trap := "trap : HUP"
	if stubborn {
		trap = "trap : TERM"
	}
	cmd := exec.Command("sh", "-c", `sh -c '`+trap+`; echo $$; while :; do sleep 0.05; done' </dev/null & `)
	stdout, w, err := os.Pipe()
	require.NoError(t, err)
	defer stdout.Close()
	cmd.Stdout = w
	require.NoError(t, cmd.Run())
	w.Close()
	line := make([]byte, 0, 16)
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		_, err := io.ReadFull(stdout, b)
		require.NoError(t, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	return pid
}

// said collects what is logged.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// says waits for lines.
func (s *said) says(t *testing.T, want ...string) {
	t.Helper()
	got := func() []string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return append([]string{}, s.lines...)
	}
	require.Eventually(t, func() bool { return len(got()) >= len(want) }, patience, time.Millisecond, "%q", got())
	assert.Equal(t, want, got())
}

// found are the orphans of these workers.
func found(t *testing.T, pids ...int) (*Orphans, *said) {
	t.Helper()
	o, err := FindOrphans(testkit.StatusFile(t, pids...))
	require.NoError(t, err)
	s := &said{}
	o.Log = s.printf
	return o, s
}

func TestOrphansAreThoseThatAreListedAndThere(t *testing.T) {
	t.Parallel()
	pid := orphan(t, false)
	child := exec.Command("sleep", "1000")
	require.NoError(t, child.Start())
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	o, s := found(t, pid, child.Process.Pid, gonePid(t))
	assert.Equal(t, strconv.Itoa(pid), o.String(), "no child of ours is one, and none that is gone")
	assert.NotEqual(t, os.Getpid(), o.All[0].Parent)
	assert.NoError(t, o.Close())
	s.says(t, fmt.Sprintf("workers of a superdaemon that was killed go on:%d", pid))
	assert.Empty(t, o.All)
	assert.NoError(t, syscall.Kill(pid, 0), "it is let be")

	path := testkit.StatusFile(t, pid)
	before := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, before, before))
	o, err := FindOrphans(path)
	require.NoError(t, err)
	assert.Empty(t, o.All, "the file was written before it was started")
	o, err = FindOrphans(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	assert.Empty(t, o.All)
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(path, 65534, 65534))
		_, err = FindOrphans(path)
		assert.EqualError(t, err, fmt.Sprintf("status file: %q is another user's", path))
	}
}

// A worker may be ready, and listed, a few milliseconds after it was started.
func TestOrphanThatWasListedAsSoonAsItWasStarted(t *testing.T) {
	t.Parallel()
	pid := orphan(t, false)
	path := testkit.StatusFile(t, pid)
	stat, err := fd.ReadStat(pid)
	require.NoError(t, err)
	var up unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &up))
	sameTick := time.Now().Add(stat.Started - time.Duration(up.Nano()))
	require.NoError(t, os.Chtimes(path, sameTick, sameTick))
	o, err := FindOrphans(path)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(pid), o.String())
	o.Keep(func(*Orphan) bool { return false })
}

// The pid of a worker that is gone may be a thread's by now.
func TestThreadWithThePidOfAWorkerIsNoOrphan(t *testing.T) {
	t.Parallel()
	threads, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	pids := []int{orphan(t, false)}
	for _, entry := range threads {
		if n, err := strconv.Atoi(entry.Name()); err == nil && n != os.Getpid() {
			pids = append(pids, n)
		}
	}
	require.Greater(t, len(pids), 1)
	o, _ := found(t, pids...)
	assert.Equal(t, strconv.Itoa(pids[0]), o.String())
	o.Keep(func(*Orphan) bool { return false })
}

func TestOrphansThatAreToldGo(t *testing.T) {
	t.Parallel()
	pid := orphan(t, false)
	o, s := found(t, pid)
	assert.False(t, o.Asked())
	o.Retire(syscall.SIGTERM, 0, 0)
	o.Retire(syscall.SIGTERM, 0, 0)
	assert.True(t, o.Asked())
	s.says(t, fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d", pid), fmt.Sprintf("worker %d of a superdaemon that was killed is gone", pid))
	assert.NoError(t, o.Close())
	assert.Len(t, s.lines, 2)
	var none *Orphans
	none.Retire(syscall.SIGTERM, 0, 0)
	none.GoOn()
}

func TestOrphanThatStaysIsKilled(t *testing.T) {
	t.Parallel()
	pid := orphan(t, true)
	o, s := found(t, pid)
	o.Retire(syscall.SIGTERM, 0, 300*time.Millisecond)
	s.says(t, fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d", pid))
	assert.NoError(t, o.Close(), "it waits for that")
	s.says(t,
		fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d", pid),
		fmt.Sprintf("workers of a superdaemon that was killed are still there 0.3 secs after they were told to go, sending KILL:%d", pid),
		fmt.Sprintf("worker %d of a superdaemon that was killed is gone", pid))
}

func TestOrphansAreLetBeBeforeTheDelayIsOver(t *testing.T) {
	t.Parallel()
	pid := orphan(t, false)
	o, s := found(t, pid)
	o.Retire(syscall.SIGTERM, time.Hour, time.Hour)
	assert.NoError(t, o.Close())
	s.says(t, fmt.Sprintf("workers of a superdaemon that was killed go on:%d", pid))
	assert.NoError(t, syscall.Kill(pid, 0))
	o, _ = found(t, pid)
	assert.NoError(t, o.Close())
	o.Retire(syscall.SIGTERM, 0, 0)
	assert.False(t, o.Asked(), "it is closed")
}

// The next image does what the last one has planned, at the planned time, and no more.
func TestOrphansAreHandedOver(t *testing.T) {
	t.Parallel()
	pid := orphan(t, true)
	o, s := found(t, pid)
	o.Retire(syscall.SIGTERM, 0, 400*time.Millisecond)
	s.says(t, fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d", pid))
	h, _ := o.Hand() // and it does nothing more
	require.NotNil(t, h)
	assert.True(t, h.Plan.Told)
	assert.False(t, h.Plan.KillAt.IsZero())
	heard := &said{}
	next := AdoptOrphans(h, heard.printf)
	assert.True(t, next.Asked())
	assert.Equal(t, strconv.Itoa(pid), next.String())
	next.GoOn()
	heard.says(t,
		fmt.Sprintf("workers of a superdaemon that was killed are still there 0.4 secs after they were told to go, sending KILL:%d", pid),
		fmt.Sprintf("worker %d of a superdaemon that was killed is gone", pid))
	assert.NoError(t, next.Close())

	later := orphan(t, false)
	o, _ = found(t, later)
	h, again := o.Hand()
	again()
	assert.True(t, h.Plan.At.IsZero(), "they are not to go")
	kept := AdoptOrphans(h, heard.printf)
	kept.GoOn()
	assert.False(t, kept.Asked())
	assert.NoError(t, syscall.Kill(later, 0))
	none := &Orphans{}
	h, again = none.Hand()
	again()
	assert.Nil(t, h)
}

// Without a timeout they are not waited for.
func TestOrphansThatWereToldAreLetBe(t *testing.T) {
	t.Parallel()
	pid := orphan(t, true)
	o, said := found(t, pid)
	o.Retire(syscall.SIGTERM, 0, 0)
	told := fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d", pid)
	said.says(t, told)
	require.NoError(t, o.Close())
	said.says(t, told, fmt.Sprintf("workers of a superdaemon that was killed go on:%d", pid))
	assert.NoError(t, syscall.Kill(pid, 0), "it is there")
}

func TestNoOrphansAreHandedOver(t *testing.T) {
	t.Parallel()
	for _, o := range []*Orphans{nil, {}} {
		h, again := o.Hand()
		assert.Nil(t, h)
		again()
		o.Retire(syscall.SIGTERM, 0, 0)
		o.GoOn()
	}
}

// Not parallel: the limit is the process's.
func TestOrphansWithTooFewDescriptors(t *testing.T) {
	pid := orphan(t, false)
	path := testkit.StatusFile(t, pid, pid, pid, pid, pid, pid, pid, pid)
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(entries)
	}
	before, failed := open(), 0
	for scarce := (unix.Rlimit{Cur: 3, Max: limit.Max}); ; scarce.Cur++ {
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &scarce))
		o, err := FindOrphans(path)
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		if err == nil {
			assert.Len(t, o.All, 8)
			o.Keep(func(*Orphan) bool { return false })
			break
		}
		assert.ErrorIs(t, err, unix.EMFILE)
		assert.Empty(t, o.All, "all, or none")
		if strings.HasPrefix(err.Error(), "worker ") {
			failed++
			assert.EqualError(t, err, fmt.Sprintf("worker %d of status file %q: open /proc/%[1]d/stat: too many open files", pid, path))
		}
		require.Equal(t, before, open(), "with %d", scarce.Cur)
	}
	assert.GreaterOrEqual(t, failed, 7, "each but the first has failed once")
}
