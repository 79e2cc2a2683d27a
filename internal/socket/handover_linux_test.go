package socket

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// handed is what the next image gets of a Set's sockets. Both images are this process here, so
// the descriptors are duplicates.
func handed(t *testing.T, s *Set) []*Held {
	t.Helper()
	all := s.Hand()
	for _, h := range all {
		for i, n := range h.FDs {
			if n < 0 {
				continue
			}
			var err error
			h.FDs[i], err = fd.Dup(n)
			require.NoError(t, err)
		}
	}
	return all
}

// acceptedBy takes a connection from a socket's queue.
func acceptedBy(t *testing.T, n int) {
	t.Helper()
	polled, err := unix.Poll([]unix.PollFd{{Fd: int32(n), Events: unix.POLLIN}}, 10_000)
	require.NoError(t, err)
	require.Equal(t, 1, polled, "no connection waits")
	conn, _, err := unix.Accept(n)
	require.NoError(t, err)
	unix.Close(conn)
}

func TestHeldSocketsAreTakenOverWithTheirQueues(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	ports := []string{"127.0.0.1:0", "127.0.0.1:u0"}
	last := bind(t, Options{}, ports, []string{path})
	for i := range last.Sockets {
		if addr := last.Sockets[i].Addr; addr.Network() != "udp" {
			conn, err := net.Dial(addr.Network(), addr.String())
			require.NoError(t, err)
			defer conn.Close()
		}
	}
	next := bind(t, Options{Held: handed(t, last)}, []string{"127.0.0.1:0,backlog=7", "127.0.0.1:u0"}, []string{path + ",mode=0600"})
	for i := range next.Sockets {
		assert.Equal(t, last.Sockets[i].Addr.String(), next.Sockets[i].Addr.String())
		assert.Equal(t, last.Sockets[i].Name, next.Sockets[i].Name)
		if !next.Sockets[i].UDP {
			acceptedBy(t, next.Sockets[i].fd)
		}
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	assert.Empty(t, next.Lost())
}

// An option that is not given any more is switched off, also on sockets that workers have. One
// that cannot be switched off is reported.
func TestOptionsOfHeldSocketsAreThoseThatAreGivenNow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	last := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport,nodelay,defer-accept,fastopen=3,nonblock,backlog=5"}, []string{path + ",mode=0600,nonblock"})
	bound := last.Sockets[0].bound.Port()
	var told []string
	var mu sync.Mutex
	o := Options{Slots: 2, Held: handed(t, last), Stays: func(what string) { mu.Lock(); defer mu.Unlock(); told = append(told, what) }}
	next := bind(t, o, []string{"127.0.0.1:0"}, []string{path})
	require.Equal(t, bound, next.Sockets[0].bound.Port())
	for _, n := range slots(next.Sockets[0]) {
		for name, option := range map[string]int{"nodelay": unix.TCP_NODELAY, "defer-accept": unix.TCP_DEFER_ACCEPT, "fastopen": unix.TCP_FASTOPEN} {
			value, err := unix.GetsockoptInt(n, unix.IPPROTO_TCP, option)
			require.NoError(t, err)
			assert.Zero(t, value, name)
		}
		info, err := unix.GetsockoptTCPInfo(n, unix.IPPROTO_TCP, unix.TCP_INFO)
		require.NoError(t, err)
		assert.Greater(t, info.Sacked, uint32(5), "backlog")
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o777), info.Mode().Perm())
	assert.ElementsMatch(t, []string{
		`port "127.0.0.1:0" keeps SO_REUSEPORT: each running worker has a socket of its own; a stop and a start ends that`,
		`port "127.0.0.1:0" stays nonblocking, which workers that run share; a stop and a start ends that`,
		`path "` + path + `" stays nonblocking, which workers that run share; a stop and a start ends that`,
	}, told)
	again := bind(t, Options{Slots: 2, Held: handed(t, next)}, []string{"127.0.0.1:0,nodelay,defer-accept,fastopen=4"}, []string{path})
	assert.Equal(t, 1, option(t, again.Sockets[0], unix.IPPROTO_TCP, unix.TCP_NODELAY))
	assert.Equal(t, 1, option(t, again.Sockets[0], unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT))
	assert.Equal(t, 4, option(t, again.Sockets[0], unix.IPPROTO_TCP, unix.TCP_FASTOPEN))
}

// The same holds for the owner and the group of a path. Only root may give a file away.
func TestOwnersOfAHeldPathAreThoseThatAreGivenNow(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "needs root, and in CI nothing is skipped")
		t.Skip("needs root")
	}
	dir := testkit.Dir(t)
	path := filepath.Join(dir, "s")
	owned := func(o Options, options string) *Set {
		specs := parse(t, nil, []string{path + options})
		require.NoError(t, Check(specs, Lookup{User: strconv.Atoi, Group: strconv.Atoi}))
		set, err := Bind(t.Context(), specs, o)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, set.Close()) })
		return set
	}
	last := owned(Options{}, ",owner=1,group=2")
	owners := func() (uid, gid uint32) {
		var st unix.Stat_t
		require.NoError(t, unix.Stat(path, &st))
		return st.Uid, st.Gid
	}
	uid, gid := owners()
	require.Equal(t, [2]uint32{1, 2}, [2]uint32{uid, gid})
	next := owned(Options{Held: handed(t, last)}, ",group=3")
	uid, gid = owners()
	assert.Equal(t, [2]uint32{0, 3}, [2]uint32{uid, gid})
	require.NoError(t, os.Chown(dir, 0, 4))
	require.NoError(t, os.Chmod(dir, 0o700|os.ModeSetgid))
	third := owned(Options{Held: handed(t, next)}, "")
	uid, gid = owners()
	assert.Equal(t, [2]uint32{0, 4}, [2]uint32{uid, gid}, "as in any directory of that kind")
	owned(Options{Held: handed(t, third)}, ",owner=5,group=6")
	uid, gid = owners()
	assert.Equal(t, [2]uint32{5, 6}, [2]uint32{uid, gid})
}

// A socket that was passed is shared with workers by then.
func TestASocketThatIsTakenAgainStaysNonblocking(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	n := file.Fd() // which makes it blocking, once
	port := fmt.Sprintf("fd://%d", n)
	nonblocking := func() bool {
		flags, err := unix.FcntlInt(n, unix.F_GETFL, 0)
		require.NoError(t, err)
		return flags&unix.O_NONBLOCK != 0
	}
	bind(t, Options{}, []string{port}, nil)
	assert.False(t, nonblocking())
	require.NoError(t, unix.SetNonblock(int(n), true)) // as a worker of Go does
	bind(t, Options{Again: true}, []string{port}, nil)
	assert.True(t, nonblocking())
}

func TestSocketsThatAreNotAskedForAnyMoreAreClosedLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	last := bind(t, Options{}, []string{"127.0.0.1:0"}, []string{path})
	next := bind(t, Options{Held: handed(t, last)}, []string{"127.0.0.1:0"}, nil)
	again := handed(t, next)
	require.Len(t, again, 2, "an image that comes before that has them, too")
	assert.Equal(t, path, again[1].Path)
	for _, n := range append(again[0].FDs, again[1].FDs...) {
		unix.Close(n)
	}
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()
	next.Relinquish()
	assert.NoFileExists(t, path)
	assert.Empty(t, next.Hand()[1:])
}

func TestPathThatWasRemovedIsBoundAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	last := bind(t, Options{}, nil, []string{path})
	require.NoError(t, os.Remove(path))
	next := bind(t, Options{Held: handed(t, last)}, nil, []string{path})
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	conn.Close()
	acceptedBy(t, next.Sockets[0].fd)
}

// A path whose socket a worker has shut down cannot be reached any more.
func TestPathThatWasShutDownIsBoundAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	last := bind(t, Options{}, nil, []string{path})
	shutDown(t, last.Sockets[0].fd)
	next := bind(t, Options{Held: handed(t, last)}, nil, []string{path})
	dial(t, "unix", path)
	accepted(t, next.Sockets[0].fd)
	next.Relinquish()
	dial(t, "unix", path)
	assert.Empty(t, next.Lost())
	_, lost, err := next.Revive()
	require.NoError(t, err)
	assert.Empty(t, lost)
}

func TestHeldSocketsOfSlots(t *testing.T) {
	t.Parallel()
	ports := []string{"127.0.0.1:0,reuseport"}
	last := bind(t, Options{Slots: 3}, ports, nil)
	next := bind(t, Options{Slots: 3, Held: handed(t, last)}, ports, nil)
	assert.Len(t, slots(next.Sockets[0]), 3)
	assert.NotContains(t, slots(next.Sockets[0]), -1)
	all := handed(t, next)
	require.Len(t, all, 1)
	assert.True(t, all[0].Slotted)
	// And as one socket for all workers.
	one := bind(t, Options{Slots: 3, Held: all}, []string{"127.0.0.1:0"}, nil)
	for range 8 {
		conn, err := net.Dial("tcp", one.Sockets[0].Addr.String())
		require.NoError(t, err)
		conn.Close()
		acceptedBy(t, one.Sockets[0].fd)
	}
}

// An error leaves the sockets to the image that goes on with them.
func TestHeldSocketsStayOpenWhenAnotherOneIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	last := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	both := parse(t, []string{"127.0.0.1:0", taken.Addr().String()}, nil)
	held := handed(t, last)
	used := (*InUseError)(nil)
	assert.ErrorAs(t, Try(t.Context(), both, Options{Held: held}), &used)
	_, err = Bind(t.Context(), both, Options{Held: held})
	assert.ErrorAs(t, err, &used)
	for _, n := range held[0].FDs {
		_, err = unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		assert.NoError(t, err)
		unix.Close(n)
	}
	assert.NoError(t, Try(t.Context(), both[:1], Options{Held: held}))
}

func TestWhatWasPassedIsFoundAgainWhereItWas(t *testing.T) {
	t.Parallel()
	set := &Set{Sockets: []Socket{{Spec: Spec{Taken: true, Source: 5}}, {Spec: Spec{}}}}
	sources, err := set.Sources()
	require.NoError(t, err)
	assert.Equal(t, []int{5}, sources)
	for n := range 3 {
		set.Sockets[1].Spec = Spec{Taken: true, Source: n, Text: "fd://x"}
		_, err = set.Sources()
		assert.EqualError(t, err, fmt.Sprintf(`socket "fd://x": what was passed as descriptor %d cannot be passed on to another image`, n))
	}
}

// An epoll(7), say.
func TestWhatIsOfNoKindIsNoSocket(t *testing.T) {
	t.Parallel()
	n, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	require.NoError(t, err)
	defer unix.Close(n)
	assert.EqualError(t, Check([]Spec{Inherited(n, "")}, Lookup{}),
		fmt.Sprintf(`socket "fd://%d": descriptor %[1]d is something else, not a socket`, n))
}

func TestWhetherAnUpgradeCouldBindIsTried(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	source := givenListener(t, unix.AF_INET, loopback())
	last := bind(t, Options{}, []string{"127.0.0.1:0", fmt.Sprintf("fd://%d", source)}, nil)
	held := handed(t, last)
	t.Cleanup(func() { Drop(held) })
	require.Len(t, held, 1, "what was passed to us stays where it is")
	specs := parse(t, []string{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:u0", fmt.Sprintf("fd://%d", source)}, []string{path})
	assert.NoError(t, Try(t.Context(), specs, Options{Held: held}))
	assert.NoFileExists(t, path)

	sided := parse(t, []string{"127.0.0.1:u0", "127.0.0.1:0"}, []string{path})
	sided[1].Reuseport, sided[1].Sided = true, true
	assert.EqualError(t, Try(t.Context(), sided, Options{Held: held}),
		`port "127.0.0.1:0": blue/green cannot be switched on or off while workers have the socket: stop, and start again`)
	assert.NoError(t, Try(t.Context(), sided, Options{}), "it can from the start")
	both := bindPorts(t, nil, "127.0.0.1:0")
	assert.EqualError(t, Try(t.Context(), specs[:1], Options{Held: both.Hand()}),
		`port "127.0.0.1:0": blue/green cannot be switched on or off while workers have the socket: stop, and start again`)
}

// A socket of all workers becomes that of slot 0.
func TestHeldSocketIsJoinedByThoseOfSlots(t *testing.T) {
	t.Parallel()
	last := bind(t, Options{}, []string{"127.0.0.1:0"}, nil)
	dial(t, "tcp", last.Sockets[0].Addr.String())
	next := bind(t, Options{Slots: 2, Held: handed(t, last)}, []string{"127.0.0.1:0,reuseport"}, nil)
	require.NoError(t, next.Grow(2))
	assert.Equal(t, 1, next.Queues()[0].Waiting)
	acceptedBy(t, next.Sockets[0].fd)
	landsIn(t, next, 1)
	landsIn(t, next, 2)
}

// If we may not give files away they stay as they are.
func TestOwnersThatWeMayNotChangeStay(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "needs root, and in CI nothing is skipped")
		t.Skip("needs root")
	}
	dir := testkit.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	path := filepath.Join(dir, "s")
	specs := parse(t, nil, []string{path})
	bindAs := func(o Options) (set *Set) {
		require.NoError(t, asUser(4711, func() (err error) {
			set, err = Bind(t.Context(), specs, o)
			return err
		}))
		t.Cleanup(func() { assert.NoError(t, set.Close()) })
		return set
	}
	last := bindAs(Options{})
	require.NoError(t, os.Chown(dir, 0, 4799))
	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSetgid))
	var told []string
	bindAs(Options{Held: handed(t, last), Stays: func(what string) { told = append(told, what) }})
	assert.Equal(t, []string{fmt.Sprintf("path %q keeps the owner and the group that it has, which we may not change; a stop and a start ends that", path)}, told)
	var st unix.Stat_t
	require.NoError(t, unix.Stat(path, &st))
	assert.Equal(t, []uint32{4711, 0}, []uint32{st.Uid, st.Gid})
}
