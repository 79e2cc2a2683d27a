package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// These are the roles that need Linux.
func init() {
	roles["show"] = func() {
		show()
		showDescriptors()
	}
	roles["narrow"] = narrow
	roles["scarce"] = scarce
	roles["point"] = func() { fmt.Fprintf(os.Stderr, "%s\n%s\n", link(1), link(2)) }
	roles["stay"] = func() { time.Sleep(time.Minute) }
}

// link is the file of a descriptor.
func link(fd int) string {
	to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	return to
}

// showDescriptors prints the descriptors that are sockets.
func showDescriptors() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "socket:") {
			fmt.Println("fd", e.Name(), to)
		}
	}
}

// spawn starts a worker whose output goes by way of us, and returns its pid and what it
// has written once it has ended.
func (l *log) spawn(t *testing.T, s *Spawner, generation, slot int) (pid int, lines []string) {
	t.Helper()
	s.Out, s.Relay = l.Output, true
	p, _, err := s.Spawn(generation, slot, 0)
	require.NoError(t, err)
	require.Zero(t, p.Wait())
	l.Wait()
	prefix := fmt.Sprintf("[%d] ", p.Pid())
	for line := range strings.Lines(l.written()) {
		if said, ok := strings.CutPrefix(line, prefix); ok {
			lines = append(lines, strings.TrimSuffix(said, "\n"))
		}
	}
	return p.Pid(), lines
}

func TestWorkerGetsWhatItIsTold(t *testing.T) {
	t.Parallel()
	set := bind(t, socket.Options{}, "web@127.0.0.1:0", "127.0.0.1:0=7")
	program, env := worker(t, "show", "--fd={fd:web},{fd:1}")
	program.Expand, program.Numbered = true, true
	s := &Spawner{Program: program, Sockets: set, Env: func() (Environ, supervise.Settings, error) {
		e, settings, err := env()
		return e.With("A=1", "SERVER_STARTER_PORT=stale", "NOTIFY_SOCKET=stale"), settings, err
	}}
	table := set.Table(0, 0, 0, 1, 2)
	_, lines := newLog().spawn(t, s, 5, 0)
	assert.Equal(t, []string{
		"args --fd=3,7",
		"env A=1",
		"env EINHORN_CHILD_INDEX=0",
		"env NOTIFY_SOCKET=stale", // Env has to leave it out
		"env SERVER_STARTER_GENERATION=5",
		"env SERVER_STARTER_LABELS=web=3",
		fmt.Sprintf("env SERVER_STARTER_PORT=%s=3;%s=7", set.Sockets[0].Name, set.Sockets[1].Name),
		"env SERVER_STARTER_WORKER=0",
		"fd 3 " + link(table[3]),
		"fd 7 " + link(table[7]),
	}, lines)
}

func TestWorkerIsToldItsOwnPid(t *testing.T) {
	t.Parallel()
	program, env := worker(t, "show")
	program.Exports = exports(t, "systemd")
	pid, lines := newLog().spawn(t, &Spawner{Program: program, Env: env, Sockets: bind(t, socket.Options{}, "127.0.0.1:0")}, 1, 0)
	assert.Contains(t, lines, fmt.Sprintf("env LISTEN_PID=%d", pid))
	assert.Contains(t, lines, "env LISTEN_FDS=1")
}

// WATCHDOG_PID is the worker's pid, and is set only with a watchdog.
func TestWorkerIsToldThatItIsWatched(t *testing.T) {
	t.Parallel()
	program, env := worker(t, "show")
	s := &Spawner{Program: program, Env: env, Sockets: &socket.Set{}, Notify: "@notify", Watchdog: time.Second}
	pid, lines := newLog().spawn(t, s, 1, 0)
	assert.Contains(t, lines, fmt.Sprintf("env WATCHDOG_PID=%d", pid))
	assert.Contains(t, lines, "env WATCHDOG_USEC=1000000")
	s.Watchdog = 0
	_, lines = newLog().spawn(t, s, 1, 0)
	assert.NotContains(t, strings.Join(lines, "\n"), "WATCHDOG")
}

func TestSlotHasASocketOfItsOwn(t *testing.T) {
	t.Parallel()
	set := bind(t, socket.Options{}, "127.0.0.1:0,reuseport")
	program, env := worker(t, "show")
	s := &Spawner{Program: program, Env: env, Sockets: set}
	out := newLog()
	inodes := map[string]bool{}
	for slot := range 3 {
		_, lines := out.spawn(t, s, 1, slot)
		inode := lines[len(lines)-1]
		assert.Equal(t, "fd 3 "+link(set.Table(slot, 0, 0, 1, 2)[3]), inode)
		inodes[inode] = true
	}
	assert.Len(t, inodes, 3, "made as slots came")
	assert.Error(t, set.Steer(4), "and no more of them")
}

func TestSettingsAreThoseOfTheEnvironment(t *testing.T) {
	t.Parallel()
	program, env := worker(t, "show")
	given := supervise.Settings{KillOldDelay: time.Second, AutoRestart: time.Minute}
	s := &Spawner{Program: program, Sockets: &socket.Set{}, Out: newLog().Output, Relay: true, Env: func() (Environ, supervise.Settings, error) {
		e, _, err := env()
		return e, given, err
	}}
	p, settings, err := s.Spawn(1, 0, 0)
	require.NoError(t, err)
	p.Wait()
	assert.Equal(t, given, settings)
}

func TestWorkerWritesToTheLogItself(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	out := newLog()
	require.NoError(t, out.Open(path, output.Config{}))
	defer out.Close()
	s := &Spawner{Program: Program{Command: []string{"/bin/sh", "-c", "echo out; echo err >&2"}}, Sockets: &socket.Set{}, Out: out.Output,
		Env: func() (Environ, supervise.Settings, error) { return nil, supervise.Settings{}, nil }}
	p, _, err := s.Spawn(1, 0, 0)
	require.NoError(t, err)
	require.Zero(t, p.Wait())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "out\nerr\n", string(text))
}

func TestSocketThatIsPinnedWhereOutputWouldGo(t *testing.T) {
	t.Parallel()
	set := bind(t, socket.Options{}, "127.0.0.1:0=1")
	program, env := worker(t, "point")
	s := &Spawner{Program: program, Env: env, Sockets: set}
	_, lines := newLog().spawn(t, s, 1, 0)
	require.Len(t, lines, 2)
	assert.Equal(t, link(set.Table(0, 0, 0, -1, 2)[1]), lines[0])
	assert.Contains(t, lines[1], "pipe:", "the rest of what it writes comes by way of us")
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for _, prefix := range []bool{false, true} {
		out := newLog()
		s := &Spawner{Program: Program{Command: []string{"/nowhere/app"}}, Sockets: &socket.Set{}, Out: out.Output, Relay: prefix,
			Env: func() (Environ, supervise.Settings, error) { return nil, supervise.Settings{}, nil }}
		p, _, err := s.Spawn(1, 0, 0)
		noProcess(t, p)
		assert.EqualError(t, err, `program "/nowhere/app": no such file or directory`)
		out.Wait() // it returns, as no worker writes
		assert.Empty(t, out.written())
	}
}

func TestSteeringWaitsUntilNobodyWaits(t *testing.T) {
	t.Parallel()
	set := bind(t, socket.Options{}, "127.0.0.1:0,reuseport")
	out := newLog()
	s := &Spawner{Sockets: set, Out: out.Output}
	require.NoError(t, set.Grow(2))
	s.Steer(1)
	assert.Empty(t, out.written())
	s.Steer(3)
	assert.Contains(t, out.written(), "cannot steer to 3 slots: there are 2\n")
}

// limited runs this test binary in a role, with soft as its soft limit of descriptors. Go raises
// that for its own process, and gives the workers the original one.
func limited(t *testing.T, role string, soft int) []string {
	t.Helper()
	var hard unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &hard))
	if hard.Max < 1024 {
		t.Skip("the hard limit is too low to tell it from the soft one")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	out := newLog()
	relay, err := out.Relay()
	require.NoError(t, err)
	stdout, stderr := relay.Descriptors()
	p, err := proc.Start(proc.Command{
		Args: []string{"/bin/sh", "-c", fmt.Sprintf(`ulimit -Sn %d; exec "$0"`, soft), self},
		Env:  []string{roleVariable + "=" + role}, Files: []int{-1, stdout, stderr},
	})
	require.NoError(t, err)
	relay.Begin(output.Worker{Pid: p.Pid()})
	assert.Zero(t, p.Wait())
	out.Wait()
	return strings.Split(strings.TrimSuffix(strings.ReplaceAll(out.written(), fmt.Sprintf("[%d] ", p.Pid()), ""), "\n"), "\n")
}

// narrow is a superdaemon whose socket has a descriptor beyond the limit of its workers.
func narrow() {
	specs, err := socket.Parse([]string{"127.0.0.1:0=900"}, nil)
	fmt.Println(err)
	set, err := socket.Bind(context.Background(), specs, socket.Options{})
	fmt.Println(err)
	self, _ := os.Executable()
	s := &Spawner{Program: Program{Command: []string{self}}, Sockets: set, Out: output.New(os.Stdout, "a test"), Env: func() (Environ, supervise.Settings, error) {
		return Environ{roleVariable + "=stay"}, supervise.Settings{}, nil
	}}
	p, _, err := s.Spawn(1, 0, 0)
	fmt.Println(p == nil, err)
	_, err = unix.Wait4(-1, nil, unix.WNOHANG, nil)
	fmt.Println("children:", err)
	p, _, err = s.Spawn(2, 0, 0)
	fmt.Println(p == nil, err)
	if p != nil {
		_ = p.Signal(syscall.SIGKILL)
		p.Wait()
	}
}

func TestWorkerThatMayHaveTooFewDescriptors(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{
		"<nil>", "<nil>",
		"true 1 socket reaches up to descriptor 900, and RLIMIT_NOFILE is 512: raise it (ulimit -n 1924)",
		"children: no child processes",
		"false <nil>", // only the first generation is checked
	}, limited(t, "narrow", 512))
}

// The limit that the workers have counts. The first worker is started to see it, and then ended.
func TestLimitOfTheWorkersOwnIsTooLow(t *testing.T) {
	t.Parallel()
	set := bind(t, socket.Options{}, "127.0.0.1:0=50")
	program, env := worker(t, "stay")
	for soft, then := range map[uint64]string{
		66: "1 socket reaches up to descriptor 50, and RLIMIT_NOFILE is 66: raise it (ulimit -n 1074)",
		67: "",
	} {
		program.Start.Limits = []proc.Limit{{Name: "nofile", Soft: soft, Hard: soft}}
		s := &Spawner{Program: program, Env: env, Sockets: set, Out: newLog().Output}
		p, _, err := s.Spawn(1, 0, 0)
		if then != "" {
			assert.EqualError(t, err, then)
			noProcess(t, p)
			p, _, err = s.Spawn(2, 0, 0) // only the first generation is checked
		}
		require.NoError(t, err)
		_ = p.Signal(syscall.SIGKILL)
		p.Wait()
	}
}

// scarce is a superdaemon that has no descriptor left for the socket of another slot,
// and then none for the pipe of its worker.
func scarce() {
	specs, _ := socket.Parse([]string{"127.0.0.1:0,reuseport"}, nil)
	set, err := socket.Bind(context.Background(), specs, socket.Options{})
	fmt.Println(err)
	self, _ := os.Executable()
	s := &Spawner{Program: Program{Command: []string{self}}, Sockets: set, Out: output.New(os.Stdout, "a test"), Relay: true, Env: func() (Environ, supervise.Settings, error) {
		return Environ{roleVariable + "=stay"}, supervise.Settings{}, nil
	}}
	time.AfterFunc(time.Hour, func() {}) // starts Go's poller, which every superdaemon has by then
	for {                                // use up all descriptors that are free
		if _, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0); errors.Is(err, unix.EMFILE) {
			break
		}
	}
	for slot := range 2 {
		p, _, err := s.Spawn(2, 1-slot, 0)
		fmt.Println(p == nil, errors.Is(err, unix.EMFILE), strings.Contains(err.Error(), "socket for slot 1"))
	}
}

// A process that is started when its spawn is not waited for any longer is killed.
func TestProcessThatComesTooLateIsKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bounds
		late := make(chan *proc.Process, 1)
		r := b.run(func(context.Context) spawned {
			time.Sleep(time.Minute)
			p, err := proc.Start(proc.Command{Args: []string{"/bin/sleep", "600"}, Files: []int{-1, -1, -1}})
			assert.NoError(t, err)
			late <- p
			return spawned{process: p, err: err}
		})
		assert.EqualError(t, r.err, "a worker was not executed within 10s; it is not waited for any longer")
		assert.Empty(t, late)
		time.Sleep(time.Hour) // in the bubble: nothing is under way then
		pid := (<-late).Pid()
		if !assert.ErrorIs(t, unix.Kill(pid, 0), unix.ESRCH, "it is killed, and waited for") {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

func TestSuperdaemonThatHasNoDescriptorLeft(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{"<nil>", "true true true", "true true false"}, limited(t, "scarce", 64))
}
