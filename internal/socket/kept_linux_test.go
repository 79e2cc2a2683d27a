package socket

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/lestrrat/go-server-starter/internal/fdenv"
)

func TestNamesInTheStore(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		key       string
		nth, slot int
		name      string
	}{
		{"tcp ::1 80 6 true", 0, unslotted, "start_server/0/-/tcp+%3A%3A1+80+6+true"},
		{"unix /a b:c/%ü", 2, 0, "start_server/2/0/unix+%2Fa+b%3Ac%2F%25%C3%BC"},
		{strings.Repeat(":", 100), 1, 17, "start_server/1/17/#"},
	} {
		name := keptName(row.key, row.nth, row.slot)
		if strings.Contains(row.name, "#") {
			assert.Regexp(t, `^start_server/1/17/#[0-9a-f]{32}$`, name)
		} else {
			assert.Equal(t, row.name, name)
		}
		assert.Less(t, len(name), 256)
		assert.NotContains(t, name, ":")
		same, nth, slot, ok := parseKept(name)
		assert.True(t, ok)
		assert.Equal(t, row.nth, nth)
		assert.Equal(t, row.slot, slot)
		other, _, _, _ := parseKept(keptName(row.key, row.nth, row.slot+1))
		assert.Equal(t, same, other)
	}
	for _, name := range []string{"", "web", "start_server/", "start_server/0/0", "start_server/x/-/a", "start_server/0/-1/a", "start_server/-1/-/a"} {
		_, _, _, ok := parseKept(name)
		assert.False(t, ok, name)
	}
}

// passes duplicates what is to be put into the store, as a manager does.
func passes(t *testing.T, unkept []Unkept) (passed []fdenv.Passed) {
	t.Helper()
	for _, u := range unkept {
		passed = append(passed, fdenv.Passed{FD: u.FD, Name: u.Name})
	}
	return passed
}

func TestStoreIsComparedWithTheSockets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	specs, err := Parse([]string{"127.0.0.1:0,127.0.0.1:0,127.0.0.1:0,reuseport,127.0.0.1:u0"}, []string{path})
	require.NoError(t, err)
	set, err := Bind(t.Context(), specs, Options{Slots: 2, KeepPaths: true})
	require.NoError(t, err)
	unkept, gone, err := set.Unkept(nil)
	require.NoError(t, err)
	require.Len(t, unkept, 6)
	assert.Empty(t, gone)
	var kept []Kept
	for _, u := range unkept {
		kept = append(kept, u.Kept)
	}
	none, gone, err := set.Unkept(append(kept, Kept{"start_server/0/-/old", 1}))
	require.NoError(t, err)
	assert.Empty(t, none)
	assert.Equal(t, []string{"start_server/0/-/old"}, gone)
	wrong := append([]Kept{{kept[0].Name, kept[0].Ino + 1}}, kept[1:]...)
	again, gone, err := set.Unkept(wrong)
	require.NoError(t, err)
	assert.Equal(t, []string{kept[0].Name}, gone, "another socket has its name")
	require.Len(t, again, 1)
	again[0].Close()

	addrs := set.Addrs()
	conn, err := net.Dial("tcp", addrs[0].String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, set.Close())

	held, known := Restore(specs, passes(t, unkept))
	assert.ElementsMatch(t, kept, known)
	next, err := Bind(t.Context(), specs, Options{Slots: 2, Held: held})
	require.NoError(t, err)
	defer next.Close()
	assert.Equal(t, addrs, next.Addrs())
	none, gone, err = next.Unkept(known)
	require.NoError(t, err)
	assert.Empty(t, none)
	assert.Empty(t, gone)
	assert.Equal(t, 1, next.Queues()[0].Waiting)
}

// The service manager does not know in which order the kernel has them by now.
func TestOrderOfTheGroupInTheStore(t *testing.T) {
	t.Parallel()
	specs := parse(t, []string{"127.0.0.1:0"}, nil)
	specs[0].Reuseport, specs[0].Sided = true, true
	last, err := Bind(t.Context(), specs, Options{Slots: 3})
	require.NoError(t, err)
	begin(t, last)
	for _, n := range []int{0, 4, 2} {
		shutDown(t, last.Sockets[0].files()[n])
		revives(t, last)
	}
	unkept, _, err := last.Unkept(nil)
	require.NoError(t, err)
	require.NoError(t, last.Close())
	held, _ := Restore(specs, passes(t, unkept))
	set, err := Bind(t.Context(), specs, Options{Slots: 3, Held: held})
	require.NoError(t, err)
	defer set.Close()
	begin(t, set)
	separates(t, set, &set.Sockets[0], 3)
}

// What the manager passes is checked.
func TestWhatIsOfNoUseInTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	path := filepath.Join(dir, "s")
	specs, err := Parse([]string{"127.0.0.1:80"}, []string{path})
	require.NoError(t, err)
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	defer unix.Close(pipe[1])
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	file, err := ln.(*net.TCPListener).File()
	require.NoError(t, err)
	other, err := unix.Dup(int(file.Fd()))
	require.NoError(t, err)
	file.Close()
	set, err := Bind(t.Context(), specs[1:], Options{KeepPaths: true})
	require.NoError(t, err)
	unkept, _, err := set.Unkept(nil)
	require.NoError(t, err)
	require.NoError(t, set.Close())
	require.NoError(t, unix.Unlink(path))

	held, known := Restore(specs, []fdenv.Passed{
		{FD: pipe[0], Name: keptName(specs[0].key(), 1, unslotted)},
		{FD: other, Name: keptName(specs[0].key(), 0, unslotted)}, // of another port
		{FD: unkept[0].FD, Name: unkept[0].Name},                  // its file is gone
	})
	assert.Len(t, known, 3)
	require.Len(t, held, 1, "that of another port, to be given up")
	assert.NotEqual(t, specs[0].key(), held[0].Key)
	assert.Equal(t, ln.Addr().String(), held[0].Bound)
	Drop(held)
}

// A socket that is in the store under one of our names, but is of another kind, is not used.
func TestKeptSocketOfAnotherKindIsNotUsed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "s")
	specs := parse(t, []string{"127.0.0.1:0", "127.0.0.1:u0", "127.0.0.2:0", "fd://3"}, []string{path})
	tcp, udp := func() int { return givenListener(t, unix.AF_INET, loopback()) }, func() int { return given(t, unix.AF_INET, unix.SOCK_DGRAM, loopback()) }
	stream := givenListener(t, unix.AF_UNIX, &unix.SockaddrUnix{Name: path})
	for _, c := range []struct {
		spec int
		fd   int
		want bool
	}{
		{0, tcp(), true}, {0, udp(), false}, {0, stream, false},
		{1, udp(), true}, {1, tcp(), false}, {1, stream, false},
		{2, tcp(), false}, // it is bound elsewhere
		{3, tcp(), false}, // that is passed to us
		{4, stream, true}, {4, tcp(), false},
	} {
		n, err := unix.Dup(c.fd)
		require.NoError(t, err)
		held, known := Restore(specs, []fdenv.Passed{{FD: n, Name: keptName(specs[c.spec].key(), 0, unslotted)}})
		require.Len(t, known, 1)
		require.Len(t, held, 1, "what is not asked for is given up later")
		assert.Equal(t, c.want, held[0].Key == specs[c.spec].key(), "%s: %+v", specs[c.spec].Text, held[0])
		Drop(held)
	}

	gram := given(t, unix.AF_UNIX, unix.SOCK_DGRAM, &unix.SockaddrUnix{Name: path + "2"})
	closed, foreign := given(t, unix.AF_INET, unix.SOCK_STREAM, nil), tcp()
	for fd, name := range map[int]string{gram: keptName("unix "+path+"2", 0, unslotted), noFile: keptName("tcp", 0, unslotted), closed: keptName("tcp", 1, unslotted), foreign: "web"} {
		n := fd
		var ino uint64
		if fd != noFile {
			var err error
			n, err = unix.Dup(fd)
			require.NoError(t, err)
			ino = inodeOf(t, n)
		}
		held, known := Restore(specs, []fdenv.Passed{{FD: n, Name: name}})
		assert.Empty(t, held, name)
		if fd == noFile {
			assert.Empty(t, known, "the manager had nothing")
		} else {
			assert.Equal(t, []Kept{{name, ino}}, known)
		}
		if is, err := inode(n); err == nil {
			assert.NotEqual(t, ino, is, "it was closed")
		}
	}
}
