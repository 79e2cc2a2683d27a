//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBadCommandLine: one clear line, exit 2, nothing touched.
func TestBadCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--bogus", "--", "true"}, "--bogus: no such option; see start_server --help"},
		{[]string{}, "the server program is missing"},
		{[]string{"--port=80", "--"}, "the server program is missing"},
		{[]string{"--", ""}, "the server program is empty"},
		{[]string{"--port=70000", "--", "true"}, `port "70000": "70000" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`},
		{[]string{"--port=80x", "--", "true"}, `port "80x": "80x" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`},
		{[]string{"--port=", "--", "true"}, `--port: its value is missing`},
		{[]string{"--port=-1", "--", "true"}, `port "-1": "-1" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`},
		{[]string{"--port=::1:80", "--", "true"}, `port "::1:80": an IPv6 address stands in brackets, as in [::1]:8080`},
		{[]string{"--port=256.0.0.1:80", "--", "true"}, `port "256.0.0.1:80": "256.0.0.1" is neither an address nor a host name`},
		{[]string{"--port=8080,8080", "--", "true"}, `port "8080": it is asked for twice`},
		{[]string{"--port=8080=3", "--port=8081=3", "--", "true"}, `port "8081=3": descriptor 3 is also asked for by "8080=3"`},
		{[]string{"--port=8080=-1", "--", "true"}, `port "8080=-1": descriptor "-1" is not a number from 0 to 1048575`},
		{[]string{"--port=8080=1048576", "--", "true"}, `port "8080=1048576": descriptor "1048576" is not a number from 0 to 1048575`},
		{[]string{"--path=/tmp/" + strings.Repeat("x", 120), "--", "true"}, `path "/tmp/` + strings.Repeat("x", 120) + `": 125 bytes are too long for a unix socket; 107 fit`},
		{[]string{"--path=/tmp/a;b", "--", "true"}, `path "/tmp/a;b": a semicolon, newline or NUL cannot be told to the worker`},
		{[]string{"--path=", "--", "true"}, `--path: its value is missing`},
		{[]string{"--interval=x", "--", "true"}, `--interval: "x" is not a duration such as 2, 0.5 or 300ms`},
		{[]string{"--interval=-1", "--", "true"}, `--interval: duration "-1" is negative`},
		{[]string{"--kill-old-delay=1e300", "--", "true"}, `--kill-old-delay: duration "1e300" is longer than a hundred years`},
		{[]string{"--auto-restart-interval=0", "--", "true"}, `--auto-restart-interval: 0 would restart without end`},
		{[]string{"--backlog=many", "--", "true"}, `--backlog: "many" is not a number from 1 to 2147483647`},
		{[]string{"--restart", "--pid-file=x"}, `--restart needs --control, or --pid-file and --status-file`},
		{[]string{"--stop"}, `--stop needs --control or --pid-file`},
		{[]string{"--stop", "--restart", "--pid-file=x"}, `--restart and --stop exclude each other`},
		{[]string{"--timeout=3", "--", "true"}, `--timeout is for --restart, --rollback, --promote, --stop, --reopen, --status, --print-config and --upgrade only`},
		{[]string{"--daemonize=yes", "--", "true"}, `--daemonize: "yes" is neither started nor ready`},
		{[]string{"--daemonize", "--", "true"}, `--daemonize needs --log-file`},
		{[]string{"--interval"}, `--interval: its value is missing`},
		{[]string{"--export=sistemd", "--", "true"}, `export "sistemd": there are only systemd, einhorn, unicorn, puma, nginx, php-fpm`},
		{[]string{"--export=puma,unicorn", "--export=puma", "--", "true"}, `export "puma": it is asked for twice`},
		{[]string{"--export=systemd", "--port=8080=5", "--", "true"}, `export "systemd": the sockets must be at descriptors from 3 on, in the order given, and "8080" is at 5: do not pin it there`},
		{[]string{"--export=unicorn", "--port=u53", "--", "true"}, `export "unicorn": it cannot name a udp socket, and "53" is one`},
		{[]string{"--expand", "--port=8080", "--", "true", "--fd={fd:x}"}, `argument "--fd={fd:x}": {fd:x} names no socket; there are 0 (8080)`},
		{[]string{"--expand", "--path=/tmp/x", "--", "true", "{port:0}"}, `argument "{port:0}": {port:0} is a unix socket, which has no port`},
		{[]string{"--log-file=|", "--", "true"}, `log file "|": the command is missing`},
		{[]string{"--path=/tmp/x,mod=600", "--", "true"}, `path "/tmp/x,mod=600": option "mod=600" is not one of backlog, mode, owner, group, nonblock`},
		{[]string{"--path=/tmp/x", "--control=/tmp/x", "--", "true"}, `socket and control socket are both "/tmp/x"`},
		{[]string{"--umask=9", "--", "true"}, `--umask: "9" is not an octal number from 0 to 777`},
		{[]string{"--nice=a", "--", "true"}, `--nice: "a" is not a number from -20 to 19`},
		{[]string{"--drop-env=A=B", "--", "true"}, `drop-env "A=B" is not the name of a variable`},
		{[]string{"--s=x", "--", "true"}, `--s=x: ambiguous: --subreaper, --signal-on-hup, --signal-on-term, --signal-group, --stop-delay, --surge, --status-file, --stop, --status; see start_server --help`},
	} {
		code, printed := command(t, tempDir(t), ours, c.args...)
		assert.Equal(t, 2, code, "%q", c.args)
		assert.Equal(t, "start_server: "+c.want+"\n", printed, "%q", c.args)
	}
	code, printed := command(t, tempDir(t), ours, "--signal-on-hup=FOO", "--signal-on-term=0", "--", "true")
	assert.Equal(t, 2, code)
	assert.Regexp(t, `^start_server: --signal-on-hup: signal "FOO" is not one of ABRT .*\nstart_server: --signal-on-term: signal "0" is not one of .*\n$`, printed, "all faults at once")
}

// TestCannotStart: one clear line, exit 1, nothing left behind.
func TestCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer packets.Close()
	dir := tempDir(t)
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte("x"), mode))
		return path
	}
	regular, plain := file("regular", 0o644), file("plain", 0o644)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "equals"), 0o755))
	file("equals/A=B", 0o644)
	sleep := []string{"--", "sleep", "1000"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--", "no-such-program"}, `start_server: program "no-such-program": not found in PATH=`},
		{[]string{"--", "/no/such/program"}, `start_server: program "/no/such/program": no such file or directory`},
		{[]string{"--", plain}, `start_server: program "` + plain + `": permission denied`},
		{append([]string{"--port=" + taken.Addr().String()}, sleep...), `start_server: cannot bind port "` + taken.Addr().String() + `": bind: address already in use; stop what uses it`},
		{append([]string{"--port=127.0.0.1:u" + strings.TrimPrefix(packets.LocalAddr().String(), "127.0.0.1:")}, sleep...), `bind: address already in use`},
		{append([]string{"--port=no-such-host.invalid:80"}, sleep...), `start_server: cannot bind port "no-such-host.invalid:80": lookup no-such-host.invalid`},
		{append([]string{"--path=/no/such/dir/sock"}, sleep...), `start_server: cannot bind path "/no/such/dir/sock": bind: no such file or directory`},
		{append([]string{"--path=" + regular}, sleep...), `start_server: cannot bind path "` + regular + `": the path is taken by something that is not a socket`},
		{append([]string{"--dir=/no/such/dir"}, sleep...), `start_server: working directory: stat /no/such/dir: no such file or directory`},
		{append([]string{"--envdir=/no/such/dir"}, sleep...), `start_server: envdir: open /no/such/dir: no such file or directory`},
		{append([]string{"--envdir=" + regular}, sleep...), `start_server: envdir: `},
		{append([]string{"--envdir=" + filepath.Join(dir, "equals")}, sleep...), `equals/A=B" cannot name a variable, because of the =`},
		{append([]string{"--pid-file=/no/such/dir/pid"}, sleep...), `start_server: pid file: open /no/such/dir/pid: no such file or directory`},
		{append([]string{"--status-file=/no/such/dir/st"}, sleep...), `start_server: status file: stat /no/such/dir: no such file or directory`},
		{append([]string{"--log-file=/no/such/dir/log"}, sleep...), `start_server: log file: open /no/such/dir/log: no such file or directory`},
		{append([]string{"--log-file=| no-such-program"}, sleep...), `start_server: log command "no-such-program": `},
	} {
		path := filepath.Join(dir, "left")
		args := append([]string{"--pid-file=" + path + ".pid", "--status-file=" + path + ".st", "--path=" + path + ".sock"}, c.args...)
		code, printed := command(t, dir, ours, args...)
		assert.Equal(t, 1, code, "%q", c.args)
		lines := strings.Split(strings.TrimSpace(printed), "\n")
		assert.Len(t, lines, 2, "%q: the first says who starts, the second why not: %q", c.args, printed)
		assert.Contains(t, lines[len(lines)-1], c.want, "%q", c.args)
		left, err := filepath.Glob(path + "*")
		require.NoError(t, err)
		assert.Empty(t, left, "%q left something behind", c.args)
	}
	text, err := os.ReadFile(regular)
	require.NoError(t, err)
	assert.Equal(t, "x", string(text), "the regular file is as it was")
}

func TestPrivilegedPort(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		setpriv := needs(t, "setpriv")
		d := start(t, setpriv, "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service", ours, "--port=127.0.0.1:81", "--", "sleep", "1000")
		assert.Equal(t, 1, d.exit())
		assert.Contains(t, d.out.String(), `start_server: cannot bind port "127.0.0.1:81": bind: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE`)
		return
	}
	code, printed := command(t, tempDir(t), ours, "--port=127.0.0.1:81", "--", "sleep", "1000")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "ports below 1024 need root")
}

func TestTooFewFiles(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"-n", "-Sn"} { // hard and soft, or soft alone
		d := start(t, "/bin/bash", "-c", "ulimit "+limit+" 64; exec "+ours+" --port="+strings.Repeat("127.0.0.1:0,", 79)+"127.0.0.1:0 -- sleep 1000")
		assert.Equal(t, 1, d.exit())
		assert.Contains(t, d.out.String(), "80 sockets reach up to descriptor 82, and RLIMIT_NOFILE is 64: raise it (ulimit -n 1106)")
	}
	d := start(t, "/bin/bash", "-c", "ulimit -Sn 256; exec "+ours+" --port=127.0.0.1:0=250 -- sleep 1000")
	assert.Equal(t, 1, d.exit())
	assert.Contains(t, d.out.String(), "RLIMIT_NOFILE is 256")
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	code, help := command(t, tempDir(t), ours, "--help")
	assert.Zero(t, code)
	testkit.FitsATerminal(t, help)
	for _, option := range []string{"port", "path", "dir", "interval", "signal-on-hup", "signal-on-term", "pid-file", "status-file", "envdir",
		"enable-auto-restart", "auto-restart-interval", "kill-old-delay", "backlog", "log-file", "daemonize", "restart", "stop", "help", "version"} {
		assert.Contains(t, help, "--"+option)
	}
	assert.Contains(t, help, "Exit codes:")
	code, version := command(t, tempDir(t), ours, "--version")
	assert.Zero(t, code)
	assert.Regexp(t, `^start_server \(go-server-starter\) \d+\.\d+\.\d+\n$`, version)
}

func TestOptionsAsPerlTakesThem(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	d := startWorkers(t, ours, "-port", "127.0.0.1:"+port, "--INTERVAL=0.2", "--kill=0.1")
	assert.Equal(t, "127.0.0.1:"+port+"=3", d.env(1)["SERVER_STARTER_PORT"])
	assert.Equal(t, "0.1", d.env(1)["KILL_OLD_DELAY"])
	d.stop()
}

// More ports than a variable can hold are refused before anything is bound.
func TestMorePortsThanCanBeTold(t *testing.T) {
	t.Parallel()
	args := []string{"--interval=0.2"}
	for port := 20000; port < 29000; port++ {
		args = append(args, fmt.Sprintf("--port=127.0.0.1:%d", port))
	}
	code, printed := command(t, tempDir(t), ours, append(args, "--", "true")...)
	assert.Equal(t, 2, code)
	assert.Equal(t, "start_server: 9000 sockets are too many to be told of: SERVER_STARTER_PORT would have 187919 bytes, and a variable may have 131072: the first 6293 fit\n", printed)
}
