//go:build linux

package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const monitorToken = "correct-horse-battery-staple"

// monitors starts start_server_monitor for all control sockets in a directory, with all
// buttons, and returns where it is.
func monitors(t *testing.T, dir string) (url string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(monitorToken), 0o600))
	m := startIn(t, dir, nil, filepath.Join(filepath.Dir(ours), "start_server_monitor"), "--listen=127.0.0.1:0",
		"--allow=restart,stop,rollback,promote,workers", "--token-file=token", dir+"/*.ctl")
	return m.sees(1, `listening on (http://\S+/)$`)[0]
}

// released is a start_server whose program is a link. release points it to another program.
func released(t *testing.T, dir, name string, args ...string) (d *daemon, release func(to string)) {
	t.Helper()
	program := filepath.Join(dir, name+".program")
	release = func(to string) {
		t.Helper()
		require.NoError(t, os.RemoveAll(program))
		require.NoError(t, os.Symlink(to, program))
	}
	release(hello)
	args = append(args, "--port=127.0.0.1:0", "--log-file="+filepath.Join(dir, "log"), "--attempts=1", "--control="+filepath.Join(dir, name+".ctl"), "--", program)
	d = startIn(t, dir, nil, ours, args...)
	eventually(t, func() bool {
		code, _ := command(t, dir, ours, "--status", "--control="+name+".ctl")
		return code == 0
	}, d.out.String)
	return d, release
}

// The monitor under start_server itself: it is hot-restarted, and a stream goes on at the next
// generation.
func TestMonitorIsHotRestarted(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d := startIn(t, dir, nil, ours, "--port=127.0.0.1:0", "--ready=notify", "--control=own.ctl", "--",
		filepath.Join(filepath.Dir(ours), "start_server_monitor"), "own.ctl")
	url := d.sees(1, `listening on (http://\S+/)$`)[0]
	get := func() int {
		answer, err := http.Get(url + "healthz")
		require.NoError(t, err)
		answer.Body.Close()
		return answer.StatusCode
	}
	eventually(t, func() bool { return get() == http.StatusOK }, d.out.String)
	stream, err := http.Get(url + "api/events")
	require.NoError(t, err)
	defer stream.Body.Close()
	code, printed := command(t, dir, ours, "--restart", "--drained", "--timeout=60", "--control=own.ctl")
	require.Zero(t, code, printed)
	eventually(t, func() bool { return get() == http.StatusOK }, d.out.String)
	d.stop()
}

// The monitor sees that a superdaemon is killed, and that it comes again.
func TestMonitorSeesAKilledSuperdaemon(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	d, _ := released(t, dir, "a")
	url := monitors(t, dir)
	is := func(pattern string) {
		t.Helper()
		var body string
		eventually(t, func() bool {
			body = fetched(t, url+"metrics")
			return regexp.MustCompile(`(?m)` + pattern).MatchString(body)
		}, func() string { return pattern + "\n" + body })
	}
	is(`^start_server_up\{.*\} 1$`)
	worker := regexp.MustCompile(`"pid":(\d+),"state":"live"`).FindStringSubmatch(fetched(t, url+"api/status"))
	require.NotNil(t, worker)
	defer killChildren(t, d.cmd.Process.Pid)()
	d.isKilled()
	is(`^start_server_up\{.*\} 0$`)
	require.NoError(t, syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL))
	released(t, dir, "a")
	is(`^start_server_up\{.*\} 1$`)
}

// fetched is what is at an address.
func fetched(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text)
}
