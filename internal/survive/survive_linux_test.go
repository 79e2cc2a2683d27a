package survive

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/runfile"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// patience is how long anything may take on a machine that is busy with something else.
const patience = 30 * time.Second

// log collects what is printed.
type log struct{ testkit.Output }

// says waits until all of the log is want.
func (l *log) says(t *testing.T, want string) {
	t.Helper()
	assert.Eventually(t, func() bool { return l.String() == want }, patience, time.Millisecond, "%s", l)
}

// survivors are the Survivors of a superdaemon. set gets its sockets once they are bound.
func survivors(set **socket.Set) (*Survivors, *log) {
	l := &log{}
	return &Survivors{
		Out: output.New(l, "a test"), Set: func() *socket.Set { return *set },
		Signal: syscall.SIGTERM, Delay: func() time.Duration { return 0 },
	}, l
}

func parse(t *testing.T, ports ...string) []socket.Spec {
	t.Helper()
	specs, err := socket.Parse(ports, nil)
	require.NoError(t, err)
	return specs
}

// bind binds sockets, which are closed when the test ends.
func bind(t *testing.T, specs []socket.Spec, held []*socket.Held) *socket.Set {
	t.Helper()
	set, err := socket.Bind(t.Context(), specs, socket.Options{Held: held})
	require.NoError(t, err)
	t.Cleanup(func() { set.Close() })
	return set
}

// orphan starts a process that is no child of ours and has a listening socket at addr. It ends
// with the test, even if the test is killed.
func orphan(t *testing.T) (pid int, addr string) {
	t.Helper()
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) != "0" && os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can take the sockets of others here, and in CI nothing is skipped")
		t.Skip("only root can take the sockets of others here")
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	waits, ends, err := os.Pipe()
	require.NoError(t, err)
	defer waits.Close()
	t.Cleanup(func() { ends.Close() })
	cmd := exec.Command("sh", "-c", `cat <&4 >/dev/null 2>&1 & echo $!`)
	cmd.ExtraFiles = []*os.File{file, waits}
	printed, err := cmd.Output()
	require.NoError(t, err)
	pid, err = strconv.Atoi(strings.TrimSpace(string(printed)))
	require.NoError(t, err)
	return pid, ln.Addr().String()
}

// listens tells whether an address takes connections.
func listens(addr string) bool {
	conn, err := net.Dial("tcp4", addr)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// refuses waits until connections to an address are refused: a child that is being started has
// our descriptors for a moment. No other test binds there.
func refuses(t *testing.T, addr string) {
	t.Helper()
	assert.Eventually(t, func() bool { return !listens(addr) }, patience, time.Millisecond)
}

// kept binds a port as the service manager keeps it for a superdaemon that was killed.
func kept(t *testing.T, port string) (passed fdenv.Passed, addr string) {
	t.Helper()
	set, err := socket.Bind(t.Context(), parse(t, port), socket.Options{})
	require.NoError(t, err)
	defer set.Close()
	all, _, err := set.Unkept(nil)
	require.NoError(t, err)
	require.Len(t, all, 1)
	return fdenv.Passed{FD: all[0].FD, Name: all[0].Name}, set.Sockets[0].Addr.String()
}

func TestSocketsThatWereKeptAreTakenOver(t *testing.T) {
	t.Parallel()
	var set *socket.Set
	s, _ := survivors(&set)
	wanted, addr := kept(t, "127.0.0.1:0")
	other, left := kept(t, "127.0.0.2:0")
	s.Passed = []fdenv.Passed{wanted, other}
	specs := parse(t, "127.0.0.1:0")
	held := s.Find(t.Context(), specs)
	set = bind(t, specs, held)
	assert.Equal(t, addr, set.Sockets[0].Addr.String())
	assert.True(t, listens(left), "it is known only when all is bound that it is not asked for")
	s.Bound()
	refuses(t, left)
	assert.True(t, listens(addr))
	assert.NoError(t, s.Close())
}

func TestSocketsAreGivenUpIfNotAllCanBeBound(t *testing.T) {
	t.Parallel()
	s, _ := survivors(nil)
	passed, addr := kept(t, "127.0.0.3:0")
	s.Passed = []fdenv.Passed{passed}
	s.Find(t.Context(), parse(t, "127.0.0.3:0"))
	bind := errors.New("no such address")
	assert.Equal(t, bind, s.Lost(bind))
	refuses(t, addr)
}

func TestOrphansAreReplacedWhenAGenerationServes(t *testing.T) {
	t.Parallel()
	pid, addr := orphan(t)
	other, elsewhere := orphan(t)
	var set *socket.Set
	s, log := survivors(&set)
	s.Orphans = testkit.StatusFile(t, pid, other)
	hears := s.Observers(nil)
	require.Len(t, hears, 1)
	specs := parse(t, addr)
	set = bind(t, specs, s.Find(t.Context(), specs))
	said := fmt.Sprintf("1 socket taken over from workers of a superdaemon that was killed:%d,%d\n", pid, other)
	log.says(t, said)
	s.Bound()
	assert.True(t, s.OrphansServe())
	status, err := s.OpenStatus(s.Orphans, false)
	require.NoError(t, err)
	assert.FileExists(t, s.Orphans, "who comes after us finds them by it")

	hears[0].Hear(supervise.Started{})
	assert.True(t, s.OrphansServe(), "a worker that was started does not serve yet")
	hears[0].Hear(supervise.WentLive{})
	log.says(t, said+fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d\nworker %[1]d of a superdaemon that was killed is gone\n", pid))
	assert.False(t, s.OrphansServe())
	assert.True(t, listens(elsewhere), "it has none of our sockets, so it is let be")
	assert.True(t, listens(addr))
	assert.NoError(t, status.Remove())
	assert.NoError(t, s.Close())
}

// An image that goes on does to orphans what the last one had planned.
func TestOrphansAreHandedOver(t *testing.T) {
	t.Parallel()
	pid, addr := orphan(t)
	var set *socket.Set
	s, _ := survivors(&set)
	s.Orphans = testkit.StatusFile(t, pid)
	s.Observers(nil)
	specs := parse(t, addr)
	set = bind(t, specs, s.Find(t.Context(), specs))
	s.Bound()
	h, again := s.Hand()
	defer again()
	require.Len(t, h.Orphans.Orphans, 1)

	var retired atomic.Int32
	for _, live := range []bool{false, true} {
		next, log := survivors(&set)
		next.Last = &h
		next.Delay = func() time.Duration { retired.Add(1); return 0 }
		assert.Empty(t, next.Find(t.Context(), specs), "sockets are handed over by another way")
		next.Bound()
		status, err := next.OpenStatus(s.Orphans, true)
		require.NoError(t, err)
		assert.NoError(t, status.Remove())
		assert.FileExists(t, s.Orphans, "it lists orphans")
		next.GoOn(live)
		if live {
			log.says(t, fmt.Sprintf("sending TERM to workers of a superdaemon that was killed:%d\nworker %[1]d of a superdaemon that was killed is gone\n", pid))
		} else {
			assert.True(t, next.OrphansServe())
			assert.Empty(t, log.String())
		}
	}
	assert.EqualValues(t, 1, retired.Load(), "by the image of which a generation serves")
}

// An image that cannot bind its sockets goes back to the last one, which goes on with the orphans
// that it has handed over.
func TestOrphansAreKeptForTheLastImage(t *testing.T) {
	t.Parallel()
	handle, err := unix.PidfdOpen(os.Getpid(), 0)
	require.NoError(t, err)
	defer unix.Close(handle)
	s, _ := survivors(nil)
	s.Last = &Held{Orphans: &runfile.HeldOrphans{Orphans: []runfile.Orphan{{Pid: os.Getpid(), Handle: handle}}}}
	s.Find(t.Context(), nil)
	bind := errors.New("no such address")
	assert.Equal(t, bind, s.Lost(bind))
	assert.NoError(t, unix.PidfdSendSignal(handle, 0, nil, 0), "its handle is open")
}

// A port may be in use because orphans have it that could not be found.
func TestWhyOrphansAreNotReplacedIsToldWhereAPortIsInUse(t *testing.T) {
	t.Parallel()
	s, _ := survivors(nil)
	s.Orphans = t.TempDir()
	specs := parse(t, "127.0.0.1:0")
	used := bind(t, specs, nil)
	assert.Empty(t, s.Find(t.Context(), specs))
	_, err := socket.Bind(t.Context(), parse(t, used.Sockets[0].Addr.String()), socket.Options{})
	require.Error(t, err)
	assert.ErrorContains(t, s.Lost(err), err.Error()+"; replace-orphans: ")
	bind := errors.New("no such address")
	assert.Equal(t, bind, s.Lost(bind), "which is another reason")
}

func TestOnlyWhatThereIsToDoHearsOfEvents(t *testing.T) {
	t.Parallel()
	const store, orphans = "*report.Store", "*report.First"
	manager := report.NewManager(func(string, ...any) {}, func() {})
	for name, c := range map[string]struct {
		is   Survivors
		m    *report.Manager
		want []string
	}{
		"nothing":                     {Survivors{}, manager, nil},
		"to be kept":                  {Survivors{Keep: true}, manager, []string{store}},
		"kept before":                 {Survivors{Passed: []fdenv.Passed{{Name: "start_server/0/-/x"}}}, manager, []string{store}},
		"kept by the last image":      {Survivors{Last: &Held{Kept: []socket.Kept{{Name: "x"}}}}, manager, []string{store}},
		"without a manager":           {Survivors{Keep: true}, nil, nil},
		"orphans":                     {Survivors{Orphans: "status"}, nil, []string{orphans}},
		"both":                        {Survivors{Keep: true, Orphans: "status"}, manager, []string{store, orphans}},
		"orphans of the last image":   {Survivors{Last: &Held{Orphans: &runfile.HeldOrphans{}}}, manager, []string{orphans}},
		"nothing from the one before": {Survivors{Last: &Held{}}, manager, nil},
	} {
		var got []string
		for _, o := range c.is.Observers(c.m) {
			got = append(got, fmt.Sprintf("%T", o))
		}
		assert.Equal(t, c.want, got, name)
		h, again := c.is.Hand()
		again()
		assert.Equal(t, c.is.last().Kept, h.Kept, name)
	}
}
