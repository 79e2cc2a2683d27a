package socket

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// leftBehind is a worker that has lost its superdaemon, with our descriptors from 3 on. It ends
// with the test, even if that is killed.
func leftBehind(t *testing.T, fds ...int) Process {
	t.Helper()
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	t.Cleanup(func() { unix.Close(pipe[1]) })
	p, err := proc.Start(proc.Command{Args: []string{"cat"}, Env: os.Environ(), Files: append([]int{pipe[0], 1, 2}, fds...)})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, p.Signal(syscall.SIGKILL))
		p.Wait()
	})
	handle, err := unix.PidfdOpen(p.Pid(), 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(handle) })
	return Process{Pid: p.Pid(), Handle: handle, Parent: 1}
}

// noProcess is a number that no process has: it is beyond the greatest pid_max.
const noProcess = 1<<22 + 1

// taken are the sockets that TakeFrom has taken, which are closed with the test.
func taken(t *testing.T, specs []Spec, held []*Held, from ...Process) ([]*Held, error) {
	t.Helper()
	taken, err := TakeFrom(t.Context(), specs, held, from)
	t.Cleanup(func() { Drop(taken) })
	return taken, err
}

func inodeOf(t *testing.T, n int) uint64 {
	t.Helper()
	ino, err := inode(n)
	require.NoError(t, err)
	return ino
}

func TestSocketsAreTakenFromWorkersThatWereLeftBehind(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	last := bind(t, Options{Slots: 2, KeepPaths: true}, []string{"127.0.0.1:0,reuseport", "127.0.0.1:u0"}, []string{path})
	first, second := leftBehind(t, last.Table(0, 0, -1, 1, 2)[3:]...), leftBehind(t, last.Table(1, 0, -1, 1, 2)[3:]...)
	tcp := &last.Sockets[0]
	inodes := []uint64{inodeOf(t, tcp.fd), inodeOf(t, (*tcp.others)[0])}
	dial(t, "unix", path)
	texts := []string{tcp.Name + ",reuseport", fmt.Sprintf("127.0.0.1:u%d", portOf(t, last.Sockets[1])), "127.0.0.1:0", fmt.Sprintf("fd://%d", first.Handle)}
	require.NoError(t, last.Close())
	specs := append(parse(t, texts, []string{path}), Spec{Host: "::1", Port: 80, Tuning: Tuning{Family: 4}}) // a host without an address

	held, err := taken(t, specs, nil, first, second)
	require.NoError(t, err, "a host that is not found is for Bind to tell")
	require.Len(t, held, 3, "neither that of any port, nor what was passed to us")
	assert.Equal(t, []bool{true, false, false}, []bool{held[0].Slotted, held[1].Slotted, held[2].Slotted})
	for slot, n := range held[0].FDs {
		assert.Equal(t, inodes[slot], inodeOf(t, n), "that of slot %d", slot)
	}
	none, err := taken(t, specs, held, first, second)
	require.NoError(t, err)
	assert.Empty(t, none, "they are held by now")

	next := bind(t, Options{Held: held}, texts[:2], []string{path})
	assert.Equal(t, 1, next.Queues()[2].Waiting, "with its queue")
	next.Resteer()
	connectMany(t, next.Sockets[0].Addr, 60)
	assert.Equal(t, []int{60, 0}, landed(t, next.Sockets[0], 60)[:2], "one worker is asked for")

	ours := next.Inodes()
	assert.Len(t, ours, 4)
	assert.True(t, ours[inodes[1]])
	assert.True(t, Has(second.Pid, ours))
	assert.False(t, Has(leftBehind(t).Pid, ours))
	assert.False(t, Has(noProcess, ours))
}

// When the worker in slot 0 ended, the kernel moved the last socket to its place.
func TestSocketsOfSomeSlotsAreTaken(t *testing.T) {
	t.Parallel()
	for _, one := range []bool{false, true} {
		last := bind(t, Options{Slots: 4, KeepPaths: true}, []string{"127.0.0.1:0,reuseport"}, nil)
		var left []Process
		for slot := 1; slot < 4; slot++ {
			left = append(left, leftBehind(t, last.Table(slot, 0, -1, 1, 2)[3:]...))
		}
		text := last.Sockets[0].Name
		if !one {
			text += ",reuseport"
		}
		require.NoError(t, last.Close())
		held, err := taken(t, parse(t, []string{text}, nil), nil, left...)
		require.NoError(t, err)
		next := bind(t, Options{Slots: 3, Held: held}, []string{text}, nil)
		next.Resteer()
		if one { // it is for all workers from now on
			connectMany(t, next.Sockets[0].Addr, 40)
			assert.Equal(t, 40, landed(t, next.Sockets[0], 40)[0])
			continue
		}
		for n := 1; n <= 3; n++ {
			landsIn(t, next, n)
		}
		require.NoError(t, next.Grow(4))
		landsIn(t, next, 4)
	}
}

func TestOnlyWhatIsAskedForIsTaken(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	both := bind(t, Options{}, []string{"[::]:0,v6only=0", "127.0.0.2:0"}, nil)
	from := leftBehind(t, both.Sockets[0].fd, both.Sockets[1].fd)
	port, other := portOf(t, both.Sockets[0]), portOf(t, both.Sockets[1])
	for text, want := range map[string]int{
		fmt.Sprintf("[::]:%d,v6only=0", port): 1,
		fmt.Sprintf("[::]:%d,v6only=1", port): 0,
		fmt.Sprintf("[::]:%d", port):          0,
		fmt.Sprintf("127.0.0.2:%d", other):    1,
		fmt.Sprintf("127.0.0.2:u%d", other):   0,
		fmt.Sprintf("127.0.0.3:%d", other):    0,
		fmt.Sprintf("localhost:%d", other):    0,
	} {
		held, err := taken(t, parse(t, []string{text}, nil), nil, from)
		require.NoError(t, err, text)
		assert.Len(t, held, want, text)
	}
}

func TestSocketsThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	s := &set.Sockets[0]
	orphan := leftBehind(t, s.fd)
	specs := parse(t, []string{s.Name}, nil)
	cat := fmt.Sprintf(`port %q: process %d (cat)`, s.Name, orphan.Pid)
	for _, c := range []struct {
		process Process
		want    string
	}{
		{Process{Pid: orphan.Pid, Handle: orphan.Handle, Parent: os.Getpid()},
			cat + fmt.Sprintf(": it is no orphan: its parent, process %d (%s), is alive and has the socket, too: stop that first", os.Getpid(), commandOf(os.Getpid()))},
		{Process{Pid: orphan.Pid, Handle: orphan.Handle, Parent: noProcess},
			cat + fmt.Sprintf(": cannot see whether its parent, process %d (gone), has the socket, too: open /proc/%[1]d/fd: no such file or directory", noProcess)},
		{Process{Pid: orphan.Pid, Handle: -1, Parent: 1}, cat + ": pidfd_getfd: bad file descriptor"},
		{Process{Pid: noProcess, Handle: -1, Parent: 1},
			fmt.Sprintf("port %q: cannot see what process %d (gone) has open: open /proc/%[2]d/fd: no such file or directory; run as root or as its user, or end it: kill %[2]d", s.Name, noProcess)},
	} {
		held, err := taken(t, specs, nil, c.process)
		assert.Empty(t, held)
		assert.EqualError(t, err, c.want)
		held, err = taken(t, specs, nil, c.process, orphan)
		assert.NoError(t, err, "another one has it, too")
		assert.Len(t, held, 1)
	}

	seen := openSockets([]Process{orphan})
	_, err := seen[0].get(0, fmt.Sprintf("socket:[%d]", inodeOf(t, s.fd)))
	assert.EqualError(t, err, fmt.Sprintf("process %d (cat) has closed it just now", orphan.Pid), "something else has its number")
	if os.Geteuid() != 0 {
		return // only root can be another user
	}
	err = asUser(4711, func() error {
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 4711, ^uintptr(0), ^uintptr(0)); errno != 0 { // the real user counts
			return errno
		}
		_, err := specs[0].takeFrom(s.bound.Addr(), seen)
		return err
	})
	assert.EqualError(t, err, fmt.Sprintf("process %d (cat) has it, and we may not take it from there: pidfd_getfd: operation not permitted; "+
		"run as root, or as its user with the right to trace it (ptrace(2)), or end it: kill %[1]d", orphan.Pid))
}

// The paths of sockets that orphans serve outlive this program.
func TestPathsAreKeptIfThatIsSaidLater(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		path := filepath.Join(testkit.Dir(t), strconv.FormatBool(keep))
		set := bind(t, Options{KeepPaths: !keep}, nil, []string{path})
		set.KeepPaths(keep)
		require.NoError(t, set.Close())
		_, err := os.Lstat(path)
		assert.Equal(t, keep, err == nil)
	}
}
