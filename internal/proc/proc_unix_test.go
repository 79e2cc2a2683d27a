//go:build unix

package proc

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// run starts a shell script and returns its first words and its raw status.
func run(t *testing.T, script string, more func(*Command)) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c := Command{Args: []string{"/bin/sh", "-c", script}, Files: []int{-1, int(w.Fd()), 2}}
	if more != nil {
		more(&c)
	}
	p, err := Start(c)
	require.NoError(t, err)
	w.Close()
	out, _ := bufio.NewReader(r).ReadString(0)
	r.Close()
	return strings.TrimSpace(out), p.Wait()
}

func TestStatusIsRaw(t *testing.T) {
	t.Parallel()
	_, status := run(t, "exit 3", nil)
	assert.Equal(t, 3<<8, status)
	_, status = run(t, "kill -9 $$", nil)
	assert.Equal(t, 9, status)
}

func TestSignalBeforeAndAfterTheEnd(t *testing.T) {
	t.Parallel()
	p, err := Start(Command{Args: []string{"sleep", "100"}, Env: os.Environ(), Files: []int{0, 1, 2}})
	require.NoError(t, err)
	require.NoError(t, p.Signal(syscall.SIGTERM))
	assert.Equal(t, int(syscall.SIGTERM), p.Wait())
	assert.NoError(t, p.Signal(syscall.SIGTERM), "a process that has ended is no error")
}

func TestChildHasItsTableAndNothingElse(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc on this system")
	}
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	leaked, err := unix.Dup(int(null.Fd())) // not close-on-exec, as if inherited
	require.NoError(t, err)
	defer unix.Close(leaked)
	require.NoError(t, SealInherited())
	out, _ := run(t, `for f in /proc/$$/fd/*; do [ -e "$f" ] && echo ${f##*/}; done`, func(c *Command) {
		c.Files = append(c.Files, -1, int(null.Fd()), int(null.Fd()))
	})
	assert.Equal(t, []string{"1", "2", "4", "5"}, strings.Fields(out))
}

func TestProgramIsLookedUpAsTheChildWould(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prog"), []byte("#!/bin/sh\necho here\n"), 0o755))

	out, _ := run(t, "", func(c *Command) { c.Args, c.Dir = []string{"./prog"}, dir })
	assert.Equal(t, "here", out, "relative to the working directory")
	out, _ = run(t, "", func(c *Command) { c.Args, c.Env = []string{"prog"}, []string{"PATH=/nowhere", "PATH=/none:" + dir} })
	assert.Equal(t, "here", out, "in the PATH that counts")
	out, _ = run(t, "", func(c *Command) { c.Args, c.Dir, c.Env = []string{"prog"}, dir, []string{"PATH=."} })
	assert.Equal(t, "here", out, "in the working directory by PATH")
}

func TestScriptWithoutAnInterpreterLineIsTheShells(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bare")
	require.NoError(t, os.WriteFile(path, []byte("echo $0 $1\n"), 0o755))
	out, _ := run(t, "", func(c *Command) { c.Args = []string{path, "arg"} })
	assert.Equal(t, path+" arg", out)
}

func TestWithoutAPathTheDefaultIsSearched(t *testing.T) {
	t.Parallel()
	out, _ := run(t, "", func(c *Command) { c.Args, c.Env = []string{"sh", "-c", "echo here"}, []string{"A=1"} })
	assert.Equal(t, "here", out)
}

func TestWhatCannotBeStartedSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	plain := file("plain", "#!/bin/sh\n", 0o644)
	script := file("script", "#!/no/such/interpreter\n", 0o755)
	for want, c := range map[string]Command{
		`program "/no/such/program": no such file`:                 {Args: []string{"/no/such/program"}},
		`program "nosuch": not found in PATH=/a:/b`:                {Args: []string{"nosuch"}, Env: []string{"PATH=/a:/b"}},
		`program "/bin/sh -c": no such file or directory; its arg`: {Args: []string{"/bin/sh -c"}},
		`program "sh -c": not found in PATH=/bin; its arguments`:   {Args: []string{"sh -c"}, Env: []string{"PATH=/bin"}},
		`program "plain": ` + plain + `: permission denied`:        {Args: []string{"plain"}, Env: []string{"PATH=" + dir}},
		`program "` + plain + `": permission denied`:               {Args: []string{plain}},
		`program "` + dir + `/": is a directory`:                   {Args: []string{dir + "/"}},
		`program "` + script + `": no such file or directory; its`: {Args: []string{script}},
		`working directory: stat /no/such/dir: no such file`:       {Args: []string{"/bin/sh"}, Dir: "/no/such/dir"},
		`working directory: "` + plain + `" is not a directory`:    {Args: []string{"/bin/sh"}, Dir: plain},
	} {
		_, err := Start(c)
		assert.ErrorContains(t, err, want)
	}
}
