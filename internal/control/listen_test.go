//go:build unix

package control

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quiet is the Config of a superdaemon that ignores refusals.
var quiet = Config{Do: echo, Refused: func(string, int) {}}

// stale leaves a socket on which no process listens.
func stale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
}

func TestModeOfTheSocket(t *testing.T) {
	t.Parallel()
	s, path := listenWith(t, Config{})
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, info.Mode())
	require.NoError(t, s.Close())
	assert.NoFileExists(t, path)
}

func TestStaleSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "ctl")
	stale(t, path)
	require.NoError(t, os.Chmod(path, 0o777))
	s, err := Listen(path, quiet)
	require.NoError(t, err)
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, info.Mode())
	call(t, path).say("x\n")
	require.NoError(t, s.Close())
}

func TestLiveSocketIsRefused(t *testing.T) {
	t.Parallel()
	_, path := listenWith(t, Config{})
	before, err := os.Lstat(path)
	require.NoError(t, err)
	_, err = Listen(path, quiet)
	assert.EqualError(t, err, `control socket "`+path+`": a process listens there already`)
	after, err := os.Lstat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(before, after), "the one that is there is left alone")
	c := call(t, path)
	c.say(`{"command":"x"}` + "\n")
	assert.Equal(t, true, c.hear()["ok"])
}

// A process whose queue is full is alive, too.
func TestBusySocketIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Dir(t), "ctl")
	fd, err := fd.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM)
	require.NoError(t, err)
	defer syscall.Close(fd)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	require.NoError(t, syscall.Listen(fd, 1))
	for { // until its queue is full
		conn, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	_, err = Listen(path, quiet)
	assert.ErrorContains(t, err, "a process listens there already")
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	file, socket := filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	require.NoError(t, os.WriteFile(file, []byte("precious"), 0o644))
	stale(t, socket)
	for name, make := range map[string]func(path string) error{
		"directory":       func(path string) error { return os.Mkdir(path, 0o755) },
		"pipe":            func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"link":            func(path string) error { return os.Symlink(file, path) },
		"link to nothing": func(path string) error { return os.Symlink("nothing", path) },
		"link to socket":  func(path string) error { return os.Symlink(socket, path) },
		"another file":    func(path string) error { return os.Link(file, path) },
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, make(path))
		before, err := os.Lstat(path)
		require.NoError(t, err)
		_, err = Listen(path, quiet)
		assert.EqualError(t, err, `control socket "`+path+`": what is there is not a socket, and is left alone`, name)
		after, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, before, after, name)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}

func TestPathsThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t)
	path := filepath.Join(dir, "no", "such")
	_, err := Listen(path, quiet)
	assert.EqualError(t, err, `control socket "`+path+`": bind: no such file or directory`)
	_, err = Listen(filepath.Join(dir, strings.Repeat("x", 200)), quiet)
	assert.ErrorContains(t, err, "bind: ")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestSocketOfAnotherIsLeftAtClose(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path string){
		"another server's": func(t *testing.T, path string) {
			other, err := Listen(path, quiet)
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, other.Close()) })
		},
		"a file": func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, nil, 0o644)) },
	} {
		s, path := listenWith(t, Config{})
		require.NoError(t, os.Remove(path))
		replace(t, path)
		require.NoError(t, s.Close())
		_, err := os.Lstat(path)
		assert.NoError(t, err, "%s is still there", name)
	}

	s, path := listenWith(t, Config{})
	require.NoError(t, os.Remove(path))
	assert.NoError(t, s.Close(), "that it has gone is no fault")
}
