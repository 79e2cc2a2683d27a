//go:build unix

package socket

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAfterCloseThereIsNoSocketLeft(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	set := bind(t, Options{Slots: 2}, []string{"127.0.0.1:0,reuseport"}, []string{path})
	require.NoError(t, set.Close())

	assert.NoError(t, set.Grow(4))
	assert.Equal(t, []int{-1}, slots(set.Sockets[0]), "none is made")
	for _, n := range []int{0, 1, 2, 9} {
		assert.NoError(t, set.Steer(n))
		assert.NoError(t, set.Drain(n))
		queued, err := set.Queued(n)
		assert.NoError(t, err)
		assert.Zero(t, queued)
		assert.Equal(t, []int{7, 8, 9, -1, -1}, set.Table(n, 0, 7, 8, 9))
	}
	assert.Empty(t, set.Lost(), "who would look for it?")
	assert.NoError(t, set.Close())
}

func TestPathsThatAreNotOursAnyMoreAreLost(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	kept, gone, other := filepath.Join(dir, "kept"), filepath.Join(dir, "gone"), filepath.Join(dir, "other")
	set := bind(t, Options{}, []string{"127.0.0.1:0"}, []string{kept, gone, other})
	assert.Empty(t, set.Lost())
	require.NoError(t, os.Remove(gone))
	assert.Equal(t, []string{gone}, set.Lost())
	require.NoError(t, os.WriteFile(other+".new", nil, 0o600))
	require.NoError(t, os.Rename(other+".new", other))
	assert.Equal(t, []string{gone, other}, set.Lost())
}

func TestPlanSaysWhatIsKnownBefore(t *testing.T) {
	t.Parallel()
	source := givenListener(t, unix.AF_INET, loopback())
	path := filepath.Join(testkit.Dir(t), "s")
	specs := parse(t, []string{fmt.Sprintf("80,u53,127.0.0.1:0,u0,fd://%d,fd://%d", source, maxFD)}, []string{path})
	sa, err := unix.Getsockname(source)
	require.NoError(t, err)
	port := sa.(*unix.SockaddrInet4).Port
	plan := Plan(specs)
	for i, want := range []struct{ name, network, addr string }{
		{"80", "tcp", ":80"},
		{"53", "udp", ":53"},
		{"", "tcp", ":0"},
		{"", "udp", ":0"},
		{fmt.Sprintf("127.0.0.1:%d", port), "tcp", fmt.Sprintf("127.0.0.1:%d", port)},
		{"", "", ""}, // Check tells that it is not open
		{path, "unix", path},
	} {
		s := plan[i]
		assert.Equal(t, want.name, s.Name, s.Text)
		assert.Equal(t, 3+i, s.FD, s.Text)
		assert.Equal(t, -1, s.fd, s.Text)
		if want.network == "" {
			assert.Nil(t, s.Addr, s.Text)
			continue
		}
		assert.Equal(t, want.network, s.Addr.Network(), s.Text)
		assert.Equal(t, want.addr, s.Addr.String(), s.Text)
	}
	assert.NoFileExists(t, path)
}

// many are so many specifications of a free port.
func many(t *testing.T, n int) []Spec {
	t.Helper()
	return parse(t, slices.Repeat([]string{"127.0.0.1:0"}, n), nil)
}

func TestManySocketsAreBoundAsFewAre(t *testing.T) {
	t.Parallel()
	specs := many(t, 4*manySockets+3)
	set, err := Bind(t.Context(), specs, Options{})
	require.NoError(t, err)
	ports := map[int]bool{}
	for i, s := range set.Sockets {
		assert.Equal(t, 3+i, s.FD)
		ports[portOf(t, s)] = true
	}
	assert.Len(t, ports, len(specs))
	assert.NoError(t, set.Close())
}

func TestFirstOfManyThatCannotBeBoundIsNamed(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]int{{3, 390}, {150, 250}, {205, 210}, {390}} {
		specs := many(t, 4*manySockets)
		for _, i := range bad {
			specs[i] = Spec{Text: fmt.Sprint(i), Path: "/no/such/directory/s", Pin: -1}
		}
		_, err := Bind(t.Context(), specs, Options{})
		assert.EqualError(t, err, fmt.Sprintf(`cannot bind path "%d": bind: no such file or directory`, bad[0]))
	}
}

func TestHostsAddressIsOfTheFamilyAskedFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host   string
		family int
		want   string // "": there is none
	}{
		{"127.0.0.1", 0, "127.0.0.1:80"}, {"127.0.0.1", 4, "127.0.0.1:80"}, {"127.0.0.1", 6, ""},
		{"::1", 0, ""}, {"::1", 4, ""}, {"::1", 6, "[::1]:80"},
	} {
		s := Spec{Host: c.host, Port: 80, Tuning: Tuning{Family: c.family}} // as if it were a name
		addr, err := s.resolve(t.Context())
		if c.want == "" {
			assert.Error(t, err, "%+v", c)
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, c.want, addr.String())
	}
}

func TestZonesOfAnAddress(t *testing.T) {
	t.Parallel()
	loop, err := net.InterfaceByIndex(1)
	require.NoError(t, err)
	for zone, want := range map[string]int{"": 0, "1073741824": 1 << 30, loop.Name: 1} {
		sa, err := sockaddr(netip.AddrPortFrom(netip.MustParseAddr("fe80::1").WithZone(zone), 80))
		require.NoError(t, err)
		assert.Equal(t, &unix.SockaddrInet6{Addr: [16]byte{0: 0xfe, 1: 0x80, 15: 1}, Port: 80, ZoneId: uint32(want)}, sa)

		back, addr := nameOf(sa, true)
		name := "[fe80::1%" + zone + "]:80"
		assert.Equal(t, cmp.Or(map[string]string{"": "[fe80::1]:80"}[zone], name), back)
		assert.Equal(t, "tcp", addr.Network())
	}
	unknown := netip.AddrPortFrom(netip.MustParseAddr("fe80::1%no-such-one"), 80)
	s := Socket{Spec: Spec{Text: "x"}}
	n, err := s.open(unknown, false, Options{})
	assert.ErrorContains(t, err, `zone "no-such-one": `)
	assert.Equal(t, -1, n, "there is nothing to close")
}

func TestWhatHasNoNameIsToldOfNone(t *testing.T) {
	t.Parallel()
	for _, sa := range []unix.Sockaddr{&unix.SockaddrInet4{}, &unix.SockaddrInet6{}, &unix.SockaddrUnix{}, &unix.SockaddrUnix{Name: "@"}, nil} {
		name, addr := nameOf(sa, false)
		assert.Empty(t, name)
		assert.NotNil(t, addr)
	}
}
