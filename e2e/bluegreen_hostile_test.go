//go:build linux

package e2e

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A worker cannot choose which worker gets connections. It can take away the program of the
// group, as SECURITY.md says: clients then are spread over all sockets, until the next step.
func TestBlueGreenHostileWorker(t *testing.T) {
	t.Parallel()
	root(t)
	addr, dir, grabber := "127.0.0.1:"+freePort(t), openDir(t), program(t, "grabber")
	require.NoError(t, os.Chmod(filepath.Dir(grabber), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	d := startIn(t, dir, nil, ours, "--port="+addr, "--user=nobody", "--blue-green", "--ready=probe", "--probe=http://"+addr+"/", "--probe=exec:test -e go", "--probe-timeout=20",
		"--interval=0.1", "--attempts=1", "--control=ctl", "--status-file=status", "--", grabber)
	d.isAll(1)
	d.hasNo("go")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=60")
	d.in("proving", 2, 1)
	for _, refused := range []string{`attach: operation not permitted$`, `unlock: operation not permitted$`, `filter: operation not permitted$`, `join: listen tcp \S+: bind: address already in use$`} {
		d.sees(2, refused)
	}
	assert.Equal(t, map[int]int{1: 200}, flood(t, "tcp", addr, 200))

	assert.Contains(t, joins(t, grabber, addr, stranger), "address already in use")
	assert.Equal(t, "join: <nil>", joins(t, grabber, addr, nil)) // our own user, who could stop start_server as well
	assert.Equal(t, map[int]int{1: 200}, flood(t, "tcp", addr, 200), "it gets nothing all the same")
	d.write("go", "")
	assert.Contains(t, printed(), "generation 2 is live")
	assert.Equal(t, map[int]int{2: 200}, flood(t, "tcp", addr, 200))

	d.write("detach", "")
	d.restarts("--drained")
	d.sees(1, `detach: <nil>$`)
	assert.Equal(t, map[int]int{3: 200}, flood(t, "tcp", addr, 200), "when it has proved itself all is as it should be")
	d.stop()
	d.runs()
}

// joins makes a process of a user listen at an address, until the test ends, and returns what
// it says of that.
func joins(t *testing.T, grabber, addr string, as *syscall.Credential) string {
	t.Helper()
	cmd := exec.Command(grabber, addr)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stdin.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// A TCP socket that was passed to us cannot have a second set.
func TestBlueGreenInheritedSocket(t *testing.T) {
	t.Parallel()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listening.Close()
	file, err := listening.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	for _, options := range []string{"--port=fd://3", "--inherit"} {
		c := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"`, "sh", ours, options, "--blue-green", "--", "sleep", "1000")
		c.Dir, c.ExtraFiles = tempDir(t), []*os.File{file}
		text, _ := c.CombinedOutput()
		assert.Equal(t, 2, c.ProcessState.ExitCode(), string(text))
		assert.Regexp(t, `^start_server: socket "[^"]+": blue/green needs a second set of it, which cannot be made for a TCP socket that was passed to us\n$`, string(text), options)
	}
}
