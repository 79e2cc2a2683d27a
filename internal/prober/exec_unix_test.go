//go:build unix

package prober

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	addr := listen(t).Addr()
	for command, want := range map[string]string{
		"true":                            "",
		"exit 7":                          "exit code 7",
		"echo a; echo; echo b >&2; false": "exit code 1: b",
		"printf 'a\\033b'; exit 1":        "exit code 1: a?b",
		"kill -KILL $$":                   "killed by signal KILL",
		"nosuchcommand 2>/dev/null":       "exit code 127",
		`test "$SERVER_STARTER_PID,$SERVER_STARTER_GENERATION,$SERVER_STARTER_WORKER" = 77,4,2`: "",
		"test ! -t 0 && ! read line": "",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			err := checker(t, addr, "exec:"+command).Still(t.Context(), target(addr))
			if want == "" {
				assert.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Equal(t, want, strings.TrimPrefix(err.Error(), "exec:"+command+": "))
		})
	}
}

// TestACommandHasConnections: it speaks over one of them, and so to this worker.
func TestACommandHasConnections(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	addr := serveRaw(t, func(conn net.Conn) {
		text := make([]byte, 5)
		_, _ = io.ReadFull(conn, text)
		heard <- string(text)
		_, _ = io.WriteString(conn, "fine\n")
	})
	c := checker(t, addr, `exec:test "$SERVER_STARTER_PROBE" = "`+addr.String()+`=3" || exit 9; echo ping >&3; read answer <&3; echo "$answer"; test "$answer" = fine`)
	require.NoError(t, c.Still(t.Context(), target(addr)))
	assert.Equal(t, "ping\n", <-heard)
}

// TestACommandWithoutConnections: no variable tells of other connections either.
func TestACommandWithoutConnections(t *testing.T) {
	t.Parallel()
	addr := listen(t).Addr()
	c := checker(t, addr)
	env := c.Env
	c.Env = func() ([]string, error) {
		all, err := env()
		return append(all, "SERVER_STARTER_PROBE=8080=3", "OTHER=kept"), err
	}
	var err error
	c.Probes, err = probe.Parse([]string{`exec:test "${SERVER_STARTER_PROBE-none}$OTHER" = nonekept`}, c.Sockets, false)
	require.NoError(t, err)
	assert.NoError(t, c.Still(t.Context(), probe.Target{}))
}

// TestCommandsRunAsTheWorkersUser: and in the workers' directory.
func TestCommandsRunAsTheWorkersUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "it takes root, and in CI nothing is skipped")
		t.Skip("it takes root")
	}
	const nobody = 65534
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Skip("no /proc on this system")
	}
	c := checker(t, listen(t).Addr(), `exec:test "$(id -u) $(pwd)" = "65534 `+dir+`"`)
	c.Command, c.Dir = filepath.Join(dir, "start_server_probe"), dir
	c.Credential = &proc.Credential{UID: nobody, GID: nobody, Groups: []int{nobody}}
	require.NoError(t, os.WriteFile(c.Command, self, 0o755))
	assert.NoError(t, c.Still(t.Context(), target(c.Sockets[0].Addr)))
}

// TestACommandThatDoesNotEndIsKilled: with all that is in its process group.
func TestACommandThatDoesNotEndIsKilled(t *testing.T) {
	t.Parallel()
	addr := listen(t).Addr()
	file := t.TempDir() + "/pids"
	c := checker(t, addr, "exec:sleep 1000 & echo $$ $! >>"+file+"; echo waiting; wait")
	c.Timeout = 300 * time.Millisecond
	err := c.Still(t.Context(), target(addr))
	require.Error(t, err)
	assert.Regexp(t, "; wait: it has not ended within 0.3s: waiting$", err.Error())
	gone(t, file)
}

// TestACommandEndsWithTheLastCall: nobody waits for it any more.
func TestACommandEndsWithTheLastCall(t *testing.T) {
	t.Parallel()
	addr := listen(t).Addr()
	file := t.TempDir() + "/pids"
	c := checker(t, addr, "exec:sleep 1000 & echo $$ $! >>"+file+"; wait")
	ended := make(chan error)
	go func() { ended <- c.Pass(t.Context(), target(addr)) }()
	require.Eventually(t, func() bool { text, _ := os.ReadFile(file); return strings.HasSuffix(string(text), "\n") }, time.Minute, time.Millisecond)
	c.Close()
	assert.ErrorIs(t, <-ended, probe.ErrClosed)
	gone(t, file)
}

// gone waits until the processes that a file names are gone.
func gone(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotEmpty(t, strings.Fields(string(text)))
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		require.NoError(t, err)
		t.Cleanup(func() { // in case it is still there
			if t.Failed() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) }, time.Minute, time.Millisecond, "process %d", pid)
	}
}

// zombie tells whether a process has ended, and its parent has not waited for it. The parent
// may be one that never waits.
func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
