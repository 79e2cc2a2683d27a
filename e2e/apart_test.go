//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// newTerminal makes a terminal: what is typed on one end is read from the other.
func newTerminal(t *testing.T) (screen, line *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { screen.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	line, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { line.Close() })
	return screen, line
}

// A worker of another user gets nothing of root's session, terminal, capabilities and keys.
func TestAWorkerOfAnotherUserKeepsNothingOfRoots(t *testing.T) {
	t.Parallel()
	root(t)
	_, line := newTerminal(t)
	// The keyring belongs to this thread, which ends with the goroutine, and to what it starts.
	runtime.LockOSThread()
	_, err := unix.KeyctlJoinSessionKeyring("e2e of start_server")
	require.NoError(t, err)
	_, err = unix.AddKey("user", "e2e:secret", []byte("root's"), unix.KEY_SPEC_SESSION_KEYRING)
	require.NoError(t, err)
	for _, option := range []string{"--kill-timeout=5", "--kill-group"} {
		script := `exec "$0" --user=64003 --group=64003 --interval=0.2 "$1" -- /bin/sh -c 'cat /proc/keys >&2; echo told >&2; exec sleep 1000' >&0`
		cmd := exec.Command(needs(t, "setpriv"), "--inh-caps=+kill", "/bin/sh", "-c", script, ours, option)
		cmd.Stdin = line
		d := follow(t, openDir(t), cmd)
		pid := d.worker(1)
		d.sees(1, `^told$`)
		eventually(t, func() bool { return processStatus(t, pid, "Name") == "sleep" }, func() string { return "it is not executed" })
		assert.NotContains(t, d.out.String(), "e2e:secret")
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			assert.Equal(t, "0000000000000000", processStatus(t, pid, set), set)
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		require.NoError(t, err)
		fields := strings.Fields(string(stat))
		assert.Equal(t, []string{strconv.Itoa(pid), strconv.Itoa(pid), "0"}, fields[4:7], "its group, its session, and no terminal of that")
		stdin, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/0", pid))
		require.NoError(t, err)
		assert.Equal(t, "/dev/null", stdin)
		stdout, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/1", pid))
		require.NoError(t, err)
		assert.Equal(t, line.Name(), stdout)
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/1", pid))
		require.NoError(t, err)
		assert.Regexp(t, `(?m)^flags:\s+\d*1$`, string(info), "write only")
		d.stop()
		isGone(t, pid)
	}
}

func TestLimitsAndNoNewPrivileges(t *testing.T) {
	t.Parallel()
	d := start(t, ours, "--limit=nofile=100:200", "--limit=core=0", "--limit=cpu=1000:unlimited", "--limit=as=500000000",
		"--no-new-privs", "--interval=0.2", "--", "sleep", "1000")
	pid := d.worker(1)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	require.NoError(t, err)
	for _, want := range []string{`Max open files +100 +200 `, `Max core file size +0 +0 `, `Max cpu time +1000 +unlimited `, `Max address space +500000000 +500000000 `} {
		assert.Regexp(t, want, string(text))
	}
	assert.Equal(t, "1", processStatus(t, pid, "NoNewPrivs"))
	d.stop()

	for limit, want := range map[string]string{
		"files=1":           `"files" is none of as, core, `,
		"nofile":            "its value is missing",
		"nofile=":           `"" is neither a number nor "unlimited"`,
		"nofile=2:1":        "the soft limit 2 is greater than the hard limit 1",
		"nofile=-1":         `"-1" is neither`,
		"nofile=unlimited:": `"" is neither`,
	} {
		code, printed := command(t, tempDir(t), ours, "--limit="+limit, "--", "true")
		assert.Equal(t, 2, code, printed)
		assert.Contains(t, printed, want)
		assert.Len(t, regexp.MustCompile(`\n`).FindAllString(printed, -1), 1, printed)
	}
	code, printed := command(t, tempDir(t), ours, "--limit=core=1", "--limit=core=2", "--", "true")
	assert.Equal(t, 2, code, printed)
	assert.Contains(t, printed, "core is there twice")
}
