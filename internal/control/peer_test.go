//go:build linux

package control

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// askVar makes this binary a client of the socket that the variable names. It then runs no
// tests.
const askVar = "CONTROL_TEST_ASK"

func TestMain(m *testing.M) {
	if path, ok := os.LookupEnv(askVar); ok {
		ask(path)
	}
	os.Exit(m.Run())
}

// ask prints the answer to a request, or why there is none. After the path, a blank and
// a command to ask for may follow.
func ask(path string) {
	path, command, _ := strings.Cut(path, " ")
	conn, err := net.Dial("unix", path)
	if err == nil {
		_, _ = io.WriteString(conn, `{"command":"`+cmp.Or(command, "status")+`"}`+"\n") // fails if it was turned away already
		_ = conn.(*net.UnixConn).CloseWrite()
		_, err = io.Copy(os.Stdout, conn)
	}
	if err != nil {
		fmt.Println(err)
	}
	os.Exit(0)
}

// asUser runs this binary as another user.
func asUser(t *testing.T, uid uint32, path string) (pid int, said string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	dir := testkit.Dir(t)
	require.NoError(t, os.Chmod(dir, 0o755))
	helper := filepath.Join(dir, "helper")
	// A child that another test forks meanwhile would hold the file open for writing. The
	// file could then not be executed ("text file busy").
	syscall.ForkLock.RLock()
	err = os.WriteFile(helper, self, 0o755)
	syscall.ForkLock.RUnlock()
	require.NoError(t, err)
	cmd := exec.Command(helper)
	cmd.Env = append(os.Environ(), askVar+"="+path, "GORACE=atexit_sleep_ms=0")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	return cmd.Process.Pid, string(text)
}

func TestAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can be another user, and in CI nothing is skipped")
		t.Skip("only root can be another user")
	}
	const nobody = 65534
	var refused told
	_, path := listenWith(t, Config{Refused: refused.refused, Do: func(p Peer, r Request) Answer {
		if p.UID == nobody {
			t.Error("it was asked for by another user")
		}
		return echo(p, r)
	}})
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755))
	_, said := asUser(t, nobody, path)
	assert.Contains(t, said, "permission denied", "by the mode of the socket")
	assert.Empty(t, refused.all())

	require.NoError(t, os.Chmod(path, 0o666))
	pid, said := asUser(t, nobody, path)
	why := fmt.Sprintf("process %d runs as user 65534, neither as user 0 nor as root: ask as one of these", pid)
	assert.Equal(t, `{"version":1,"ok":false,"error":"`+why+`"}`, strings.Split(said, "\n")[0])
	for range 5 {
		asUser(t, nobody, path)
	}
	assert.Equal(t, []string{why + ", and 0 more"}, refused.all())

	_, said = asUser(t, 0, path)
	assert.Equal(t, `{"version":1,"ok":true,"log":["status"]}`+"\n", said)
}

// The user that the workers run as may connect, and is recognized. Refused hears what that user
// may not do.
func TestWorkersUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		require.Empty(t, os.Getenv("CI"), "only root can be another user, and in CI nothing is skipped")
		t.Skip("only root can be another user")
	}
	const nobody, other = 65534, 65533
	var refused told
	_, path := listenWith(t, Config{Refused: refused.refused, Worker: nobody, Do: func(p Peer, r Request) Answer {
		if p.OfWorkers && r.Command != "worker:ack" {
			return Refusal("not for you")
		}
		return echo(p, r)
	}})
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o755))
	_, said := asUser(t, nobody, path+" worker:ack")
	assert.Equal(t, `{"version":1,"ok":true,"log":["worker:ack"]}`+"\n", said)
	assert.Empty(t, refused.all())
	for _, command := range []string{"status", "stop", "help", "subscribe"} {
		_, said = asUser(t, nobody, path+" "+command)
		assert.Equal(t, `{"version":1,"ok":false,"error":"not for you"}`+"\n", said)
	}
	_, said = asUser(t, other, path)
	assert.Contains(t, said, "runs as user 65533, neither as user 0 nor as root")
	_, said = asUser(t, 0, path)
	assert.Equal(t, `{"version":1,"ok":true,"log":["status"]}`+"\n", said)
}
