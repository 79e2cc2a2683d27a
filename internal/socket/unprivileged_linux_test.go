package socket

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unprivileged runs f as a user that is not root.
func unprivileged(f func() error) error {
	if syscall.Geteuid() != 0 {
		return f()
	}
	return asUser(4711, f)
}

func TestPortThatNeedsRootSaysSo(t *testing.T) {
	t.Parallel()
	first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err == nil && string(first) == "0\n" {
		t.Skip("anybody may bind any port here")
	}
	specs := parse(t, []string{"127.0.0.1:1"}, nil)
	err = unprivileged(func() error {
		_, err := Bind(t.Context(), specs, Options{})
		return err
	})
	assert.EqualError(t, err, `cannot bind port "127.0.0.1:1": bind: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE`)
}

func TestPathWhereWeMayNotWriteIsNoMatterOfPorts(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o555))
	path := filepath.Join(dir, "s")
	specs := parse(t, nil, []string{path})
	bound := func() error {
		_, err := Bind(t.Context(), specs, Options{})
		return err
	}
	assert.EqualError(t, unprivileged(bound), fmt.Sprintf("cannot bind path %q: bind: permission denied", path))

	require.NoError(t, os.Chmod(dir, 0))
	assert.EqualError(t, unprivileged(bound), fmt.Sprintf("cannot bind path %q: bind: permission denied", path))

	require.NoError(t, os.Chmod(dir, 0o755)) // for the end
}

// Not parallel: the limit is the process's.
func TestSocketsWithTooFewDescriptorsLeaveNothingBehind(t *testing.T) {
	path := filepath.Join(testkit.Dir(t), "s")
	listener := givenListener(t, unix.AF_INET, loopback())
	specs := parse(t, []string{fmt.Sprintf("127.0.0.1:0,reuseport,127.0.0.1:u0,fd://%d", listener)}, []string{path})
	before := testkit.Descriptors(t)
	free := 0
	for ; ; free++ {
		sockets := Plan(specs)
		set := &Set{Sockets: sockets, options: Options{Slots: 2, steered: 2}}
		restore := testkit.Leave(t, free)
		err := bindAll(t.Context(), sockets, make([]*Held, len(sockets)), set.options)
		if err == nil {
			err := set.Grow(5)
			assert.ErrorContains(t, err, `cannot make a socket for slot `)
			assert.ErrorIs(t, err, unix.EMFILE)
		}
		restore()
		require.NoError(t, set.Close())
		require.Equal(t, before, testkit.Descriptors(t), "with %d", free)
		require.NoFileExists(t, path)
		if err == nil {
			break
		}
		require.ErrorIs(t, err, unix.EMFILE, "with %d", free)
	}
	assert.GreaterOrEqual(t, free, 5, "so each step has failed once")

	restore := testkit.Leave(t, 0)
	defer restore()
	s := &Socket{Spec: specs[0]}
	n, err := s.open(s.bound, false, Options{})
	assert.ErrorIs(t, err, unix.EMFILE)
	assert.Equal(t, -1, n, "there is nothing to close")
	assert.False(t, haveIPv6(), "as far as we can tell")
}

// Not parallel either.
func TestSlotsThatFailHalfwayGetNothing(t *testing.T) {
	for _, text := range []string{"127.0.0.1:0", "127.0.0.1:u0"} {
		set := bind(t, Options{Slots: 1}, []string{text + ",reuseport"}, nil)
		s := &set.Sockets[0]
		restore := testkit.Leave(t, 2)
		err := set.Grow(5)
		restore()
		assert.ErrorIs(t, err, unix.EMFILE)
		require.Len(t, *s.others, 2, text)
		for range 60 {
			conn, err := net.Dial(s.Addr.Network(), s.Addr.String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte("hello"))
			require.NoError(t, err)
		}
		waits, err := set.Queued(1)
		require.NoError(t, err)
		assert.Zero(t, waits, text)
	}
}

// Not parallel either. Sides go on working when no connection of ours can be made.
func TestSidesWithTooFewDescriptors(t *testing.T) {
	specs := parse(t, []string{"127.0.0.1:0"}, nil)
	specs[0].Reuseport, specs[0].Sided = true, true
	for range 2 * spareFiles { // so that the limit is not too low for a worker
		given(t, unix.AF_INET, unix.SOCK_STREAM, nil)
	}
	before := testkit.Descriptors(t)
	free := 0
	for failed := true; failed; free++ {
		restore := testkit.Leave(t, free)
		set, err := Bind(t.Context(), specs, Options{Slots: 1})
		restore()
		if failed = err != nil; failed {
			require.ErrorIs(t, err, unix.EMFILE, "with %d", free)
		} else {
			require.NoError(t, set.Close())
		}
		require.Equal(t, before, testkit.Descriptors(t), "with %d", free)
	}
	assert.Equal(t, 5, free, "three sockets, and one that watches them")

	set, s := bindSided(t, 2, "127.0.0.1:0")
	connectMany(t, s.Addr, 1)
	require.NoError(t, set.Split(1, All))
	shutDown(t, s.at(1, 1))
	restore := testkit.Leave(t, 0)
	_, _, revived := set.Revive() // the expected order holds
	_, connected := set.Connect(t.Context(), 0, 0, 1)
	_, cleared := set.Clear(0)
	_, _, unkept := set.Unkept(nil)
	counted, stop := set.Count(1)
	stop()
	restore()
	assert.NoError(t, revived)
	assert.EqualError(t, connected, `cannot connect to port "127.0.0.1:0": socket: too many open files`)
	assert.EqualError(t, cleared, `port "127.0.0.1:0": cannot close what nobody has accepted: accept: too many open files`)
	assert.ErrorIs(t, unkept, unix.EMFILE)
	assert.Zero(t, counted(), "nobody counts")
	assert.Equal(t, 1, clearSide(t, set, 0), "what could not be closed waits on")
	separates(t, set, s, 2)
}
