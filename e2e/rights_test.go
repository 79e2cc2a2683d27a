//go:build linux

package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stranger is a user that has nothing to do with a superdaemon.
var stranger = &syscall.Credential{Uid: 65533, Gid: 65533}

// lingerer is the program that passes sockets whose close(2) blocks for a day.
func lingerer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(openDir(t), "linger")
	text, err := exec.Command("go", "build", "-o", program, "./testdata/linger").CombinedOutput()
	require.NoError(t, err, string(text))
	return program
}

// linger makes program pass n of them to a unix socket, as a user. It goes on until the test ends.
func linger(t *testing.T, program string, as *syscall.Credential, network, path string, n int) {
	t.Helper()
	cmd := exec.Command(program, network, path, strconv.Itoa(n))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
}

// A TCP socket with SO_LINGER that is passed to the notify socket holds nothing up when it
// is closed.
func TestSocketsThatLingerInTheNotifySocket(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "systemd-notify")
	program := lingerer(t)
	for _, n := range []int{1, 10, 60} {
		d := startIn(t, openDir(t), nil, ours, "--user=nobody", "--control=ctl", "--interval=0.2", "--ready=notify", "--ready-timeout=5", "--status-file=st",
			"--", "/bin/sh", "-c", `systemd-notify --ready; exec sleep 1000`)
		d.serves("st", "1:%d\n", d.worker(1))
		linger(t, program, stranger, "unixgram", environ(t, d.worker(1), "NOTIFY_SOCKET"), n)
		began := time.Now()
		code, printed := d.ask("--restart", "--timeout=20")
		assert.Zero(t, code, "after %d: %s", n, printed)
		d.stop()
		assert.Less(t, time.Since(began), deadline)
	}
}

// Nor does one that is passed to the control socket, by a client that may connect or one
// that is turned away.
func TestSocketsThatLingerInTheControlSocket(t *testing.T) {
	t.Parallel()
	root(t)
	program := lingerer(t)
	for _, as := range []*syscall.Credential{stranger, {Uid: 65534, Gid: 65534}} {
		d := startIn(t, openDir(t), nil, ours, "--user=nobody", "--control=ctl", "--interval=0.2", "--status-file=st", "--", "sleep", "1000")
		d.serves("st", "1:%d\n", d.worker(1))
		for range 3 {
			linger(t, program, as, "unix", filepath.Join(d.dir, "ctl"), 5)
		}
		began := time.Now()
		code, printed := d.ask("--restart", "--timeout=20")
		assert.Zero(t, code, printed)
		d.stop()
		assert.Less(t, time.Since(began), deadline)
	}
}
