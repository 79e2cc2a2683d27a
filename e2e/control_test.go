//go:build linux

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ask runs one of the client commands by the control socket.
func (d *daemon) ask(args ...string) (code int, printed string) {
	d.t.Helper()
	return command(d.t, d.dir, ours, append([]string{"--control=ctl"}, args...)...)
}

// startControlled runs start_server with a control socket, until it serves.
func startControlled(t *testing.T, options ...string) *daemon {
	t.Helper()
	d := startWorkers(t, ours, append([]string{"--control=ctl", "--status-file=st"}, options...)...)
	d.serves("st", "1:%d\n", d.worker(1))
	return d
}

// status is the answer of --status --json, as anybody's JSON reader has it.
func (d *daemon) status() (s struct {
	Pid           int
	State         string
	Uptime        float64
	Generation    int
	WantedWorkers int `json:"wanted_workers"`
	Restarts      int
	StopsAt       float64 `json:"stops_at"`
	Workers       []struct {
		Generation, Slot, Pid int
		State                 string
		Age                   float64
		ReadyAfter            float64 `json:"ready_after"`
		Restarts              int
		LastExit              *struct {
			Status int
			Text   string
		} `json:"last_exit"`
		Says string
	}
	Sockets []struct {
		Name, Network, Address string
		FD                     int
	}
	Failure *struct {
		Generation int
		Reason     string
		GivenUp    bool `json:"given_up"`
		Log        []string
	}
}) {
	d.t.Helper()
	code, printed := d.ask("--status", "--json")
	require.Contains(d.t, []int{0, 3}, code, printed) // 3: nothing serves
	require.NoError(d.t, json.Unmarshal([]byte(printed), &s), printed)
	return s
}

// talk sends lines to the control socket and returns the answers to them.
func (d *daemon) talk(lines ...string) []map[string]any {
	d.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
	require.NoError(d.t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	_, err = conn.Write([]byte(strings.Join(lines, "\n") + "\n"))
	require.NoError(d.t, err)
	in := bufio.NewReader(conn)
	var answers []map[string]any
	for range lines {
		line, err := in.ReadBytes('\n')
		require.NoError(d.t, err)
		var a map[string]any
		require.NoError(d.t, json.Unmarshal(line, &a), string(line))
		answers = append(answers, a)
	}
	return answers
}

func TestControlRestartAndStop(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	info, err := os.Stat(filepath.Join(d.dir, "ctl"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	code, printed := d.ask("--restart", "--drained")
	assert.Zero(t, code, printed)
	two := d.worker(2)
	assert.Equal(t, fmt.Sprintf("2:%d\n", two), d.file("st"), "nothing old is left")
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	require.Len(t, lines, 4, "in a pipe, plain lines: %q", printed)
	assert.Equal(t, fmt.Sprintf("generation 2: worker %d started in slot 0", two), lines[0])
	assert.Regexp(t, fmt.Sprintf(`^generation 2: worker %d proved itself after \S+$`, two), lines[1])
	assert.Equal(t, "generation 2 is live, draining: 1 old worker left", lines[2])
	assert.Equal(t, fmt.Sprintf("old worker %d is gone, 0 old workers left", d.worker(1)), lines[3])
	d.sees(1, `^restart asked for by process \d+, spawning a new worker$`)

	code, printed = d.ask("--stop")
	assert.Zero(t, code, printed)
	assert.Contains(t, printed, fmt.Sprintf("stopping now (pid:%d)", d.cmd.Process.Pid))
	assert.NoFileExists(t, filepath.Join(d.dir, "st"), "--stop returned when it was done")
	assert.NoFileExists(t, filepath.Join(d.dir, "ctl"))
	assert.Zero(t, d.exit())
	d.sees(1, fmt.Sprintf(`^stop asked for by process \d+, sending TERM to all workers:%d$`, two))
}

// The new generation serves when --restart returns, whatever the old one still
// has to do.
func TestControlRestartReturnsWhenTheNewOneServes(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "stubborn"), nil, 0o644))
	d := startWorkersIn(t, dir, nil, ours, "--control=ctl", "--status-file=st", "--interval=0.3")
	one := d.worker(1)
	d.serves("st", "1:%d\n", one)
	d.sees(1, `^worker \d+ is up`)
	require.NoError(t, os.Remove(filepath.Join(dir, "stubborn")))
	code, printed := d.ask("--restart", "--timeout=30")
	assert.Zero(t, code, printed)
	assert.True(t, alive(one))
	assert.Equal(t, "draining", d.status().State)
	assert.Equal(t, "draining", d.status().Workers[0].State)
	code, printed = d.ask("--restart", "--drained", "--timeout=3")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "timed out after 3s: generation 3 serves, but 1 old worker left")
	require.NoError(t, syscall.Kill(one, syscall.SIGKILL))
	d.stop()
}

func TestControlRestartTellsWhy(t *testing.T) {
	t.Parallel()
	// On a busy machine a shell may take a while to write its lines and fail.
	d := startWorkers(t, ours, "--control=ctl", "--interval=4", "--log-file=log", "--attempts=1")
	eventually(t, func() bool { return strings.Contains(d.file("log"), "is up") }, func() string { return d.file("log") })
	eventually(t, func() bool { return d.status().State == "serving" }, func() string { return d.file("log") })
	one := d.status().Workers[0].Pid
	d.write("worker.sh", "#!/bin/sh\nfor i in $(seq 30); do echo \"line $i\"; done\nprintf 'bell\\a\\n'\nexit 7\n")
	code, printed := d.ask("--restart", "--timeout=30")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^start_server: restart failed: new worker \d+ of generation 2 failed after \S+: exit code 7$`, printed)
	assert.Contains(t, printed, fmt.Sprintf("start_server: still serving: 1:%d\n", one))
	assert.Contains(t, printed, "start_server: the log since that attempt began:\n")
	assert.Contains(t, printed, "start_server:   line 30\nstart_server:   bell?\n")
	assert.Equal(t, 20, strings.Count(printed, "start_server:   "), "the last lines; that of its start may come late")
	assert.Contains(t, printed, "start_server:   line 13\n")
	assert.NotContains(t, printed, "line 11\n")
	assert.True(t, alive(one))

	s := d.status()
	require.NotNil(t, s.Failure)
	assert.Equal(t, 2, s.Failure.Generation)
	assert.True(t, s.Failure.GivenUp)
	assert.Regexp(t, `exit code 7$`, s.Failure.Reason)
	assert.Len(t, s.Failure.Log, 20)
	seesIn(t, func() string { return d.file("log") }, 1, `^giving the restart up after 1 failed attempt, the old workers serve on: new worker \d+ of generation 2 failed after \S+: exit code 7$`)
	_, table := d.ask("--status")
	assert.Regexp(t, `(?m)^The last attempt failed and was not repeated, .* ago: new worker \d+ of generation 2 failed after \S+: exit code 7$`, table)
	assert.Contains(t, table, "\n  line 30\n")
	d.stop()
}

// If nothing serves, the last lines are printed at the end, too, on stderr:
// nobody looks at the log yet.
func TestGivingUpAtTheStartTellsWhy(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	code, printed := command(t, dir, ours, "--interval=1", "--attempts=2", "--log-file=log", "--", "/bin/sh", "-c", "echo no such database; exit 9")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^start_server: new worker \d+ of generation 2 failed after \S+: exit code 9\nstart_server: its log:\n`, printed)
	assert.Contains(t, printed, "start_server:   no such database\n")
	assert.Equal(t, 1, strings.Count(printed, "no such database"), "of the last attempt only")
}

func TestControlRestartOfOneThatIsKilled(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=3")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=30")
	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGSEGV))
	assert.Regexp(t, `restart failed: new worker \d+ of generation 2 failed after \S+: killed by signal 11`, printed())
	d.stop()
}

func TestControlStatus(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--control=ctl", "--status-file=st", "--interval=0.3", "--workers=2", "--port=127.0.0.1:0", "--path=sock")
	d.sees(2, `^worker \d+ is up`)
	eventually(t, func() bool { return d.status().State == "serving" }, func() string { return d.status().State })
	s := d.status()
	assert.Equal(t, d.cmd.Process.Pid, s.Pid)
	assert.Equal(t, 1, s.Generation)
	assert.Equal(t, 2, s.WantedWorkers)
	require.Len(t, s.Workers, 2)
	assert.Equal(t, 1, s.Workers[1].Slot)
	assert.Equal(t, "live", s.Workers[1].State)
	assert.GreaterOrEqual(t, s.Workers[1].ReadyAfter, 0.3)
	assert.Less(t, s.Workers[1].ReadyAfter, deadline.Seconds())
	assert.Nil(t, s.Workers[1].LastExit)
	require.Len(t, s.Sockets, 2)
	assert.Regexp(t, `^127\.0\.0\.1:\d{2,}$`, s.Sockets[0].Name)
	assert.Equal(t, "tcp", s.Sockets[0].Network)
	assert.Equal(t, "sock", s.Sockets[1].Name)
	assert.Equal(t, 4, s.Sockets[1].FD)

	require.NoError(t, syscall.Kill(s.Workers[1].Pid, syscall.SIGKILL))
	eventually(t, func() bool {
		workers := d.status().Workers
		return len(workers) == 2 && workers[1].Restarts == 1
	}, func() string { return "no refill" })
	_, table := d.ask("--status")
	assert.Regexp(t, fmt.Sprintf(`^start_server \(pid:%d\) is \w+, up \S+, 0 restarts\n`, d.cmd.Process.Pid), table)
	assert.Regexp(t, `(?m)^GEN +STATE +SLOT +PID +AGE +READY IN +STATUS$`, table)
	assert.Regexp(t, fmt.Sprintf(`(?m)^1 +live +0 +%d +\S+ +[\d.]+m?s$`, s.Workers[0].Pid), table)
	assert.Regexp(t, fmt.Sprintf(`(?m)^1 +1 +%d +\S+ +\S+ +killed by signal 9$`, s.Workers[1].Pid), table)
	assert.Regexp(t, `(?m)^4 +unix +sock$`, table)
	d.stop()
}

func TestControlStatusOfAStopDelay(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3", "--stop-delay=20")
	d.signal(syscall.SIGTERM)
	d.sees(1, `serving on for 20 secs before stopping`)
	s := d.status()
	assert.Equal(t, "stop delay", s.State)
	assert.InDelta(t, float64(time.Now().Unix()+20), s.StopsAt, 15)
	_, table := d.ask("--status")
	assert.Regexp(t, `(?m)^It stops in \d+(\.\d+)?s\.$`, table)
	code, printed := d.ask("--restart")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, "the superdaemon is stopping")
	d.signal(syscall.SIGINT)
	assert.Zero(t, d.exit())
}

func TestControlWorkersAndSignals(t *testing.T) {
	t.Parallel()
	d := startWorkers(t, ours, "--control=ctl", "--status-file=status", "--interval=0.3", "--workers=2")
	d.slots(1, 2)
	answers := d.talk(`{"command":"workers","workers":4,"id":"a"}`, `{"command":"workers","workers":0,"id":2}`, `{"command":"workers"}`)
	assert.Equal(t, map[string]any{"version": 1.0, "id": "a", "ok": true}, answers[0])
	assert.Equal(t, map[string]any{"version": 1.0, "id": 2.0, "ok": false, "error": `"workers" is 0, which is not from 1 to 10000`}, answers[1])
	assert.Equal(t, false, answers[2]["ok"])
	pids := d.slots(1, 4)
	d.sees(4, `^worker \d+ is up`)
	answers = d.talk(`{"command":"signal","signal":"USR1","slot":3}`, `{"command":"signal","signal":"nosuch"}`, `{"command":"signal","signal":"HUP","slot":9}`)
	assert.Equal(t, []any{float64(pids[3])}, answers[0]["pids"])
	assert.Contains(t, answers[1]["error"], `signal "nosuch" is not one of`)
	assert.Equal(t, "there is no worker in slot 9", answers[2]["error"])
	d.sees(1, fmt.Sprintf(`^signal asked for by process %d, sending USR1 to workers:%d$`, os.Getpid(), pids[3]))
	d.sees(1, fmt.Sprintf(`^told USR1: %d$`, pids[3]))
	d.talk(`{"command":"workers","workers":1}`)
	d.slots(1, 1)
	d.stop()
}

func TestControlWithoutWorkers(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	assert.Equal(t, "the number of workers can be changed only if it was given at the start", d.talk(`{"command":"workers","workers":4}`)[0]["error"])
	d.stop()
}

func TestControlSubscription(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
	require.NoError(t, err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(deadline))
	fmt.Fprintln(conn, `{"command":"subscribe"}`)
	in := bufio.NewScanner(conn)
	require.True(t, in.Scan())
	d.signal(syscall.SIGHUP)
	var seen []string
	for in.Scan() {
		var e struct {
			Event, Text, Reason string
			Generation          int
		}
		require.NoError(t, json.Unmarshal(in.Bytes(), &e))
		seen = append(seen, e.Event)
		if e.Event == "exited" {
			assert.Equal(t, fmt.Sprintf("old worker %d died, status:0", d.worker(1)), e.Text, "as the log has it")
			assert.Equal(t, "exit code 0", e.Reason, "and as people read it")
			break
		}
	}
	assert.Equal(t, []string{"restart-asked", "started", "proven", "live", "retiring", "exited"}, seen)
	d.stop()
	for in.Scan() {
		seen = append(seen, in.Text())
	}
	assert.NoError(t, in.Err(), "the connection ends as the superdaemon does")
	assert.Contains(t, seen[len(seen)-2], `"stopping"`)
	assert.Contains(t, seen[len(seen)-1], `"exited"`)
}

// On a terminal a line is kept up to date, and removed at the end.
func TestControlProgressOnATerminal(t *testing.T) {
	t.Parallel()
	script := needs(t, "script")
	d := startControlled(t, "--interval=1")
	c := exec.Command(script, "-qec", ours+" --restart --drained --control=ctl", "/dev/null")
	c.Dir = d.dir
	text, err := c.CombinedOutput()
	require.NoError(t, err, string(text))
	assert.Regexp(t, `\r\x1b\[Kgeneration 2 proving for \d+(\.\d)?(ms|s): 0 of 1`, string(text))
	shown := regexp.MustCompile(`[^\r\n]*\r\x1b\[K`).ReplaceAllString(string(text), "")
	assert.Regexp(t, `^generation 2: worker \d+ started in slot 0\r\ngeneration 2: worker \d+ proved itself after \S+\r\n`+
		`generation 2 is live, draining: 1 old worker left\r\nold worker \d+ is gone, 0 old workers left\r\n$`, shown)
	d.stop()
}

func TestControlFallsBackToTheFiles(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=0.3")
	code, printed := d.client("--restart", "--control=ctl")
	assert.Zero(t, code, printed)
	assert.Equal(t, fmt.Sprintf("2:%d\n", d.worker(2)), d.file("st"))
	code, printed = d.client("--stop", "--control=ctl")
	assert.Zero(t, code, printed)
	assert.Zero(t, d.exit())
}

func TestControlIsPreferredToTheFiles(t *testing.T) {
	t.Parallel()
	d := startServed(t, ours, "--interval=0.3", "--control=ctl")
	code, printed := d.client("--restart", "--control=ctl")
	assert.Zero(t, code)
	assert.Contains(t, printed, "generation 2 is live")
	d.stop()
}

func TestControlClientWithNobodyThere(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "stale"), Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	for _, path := range []string{"missing", "stale", "no/such/dir"} {
		for _, what := range []string{"--restart", "--stop", "--status"} {
			code, printed := command(t, dir, ours, what, "--control="+path)
			assert.Equal(t, map[string]int{"--restart": 1, "--stop": 1, "--status": 3}[what], code)
			assert.Equal(t, fmt.Sprintf("start_server: control socket %q: no start_server listens there\n", path), printed)
		}
	}
}

func TestControlClientOfOneThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	d.signal(syscall.SIGSTOP)
	for _, what := range []string{"--restart", "--stop", "--status"} {
		code, printed := d.ask(what, "--timeout=0.2")
		assert.Equal(t, map[string]int{"--restart": 1, "--stop": 1, "--status": 4}[what], code)
		assert.Equal(t, "start_server: start_server does not answer on control socket \"ctl\": timed out after 200ms\n", printed)
	}
	d.signal(syscall.SIGCONT)
	d.stop()
}

func TestControlRestartTimesOut(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=3", "--kill-timeout=1")
	code, printed := d.ask("--restart", "--timeout=0.5")
	assert.Equal(t, 1, code)
	assert.Contains(t, printed, fmt.Sprintf("start_server: timed out after 500ms, and no newer generation serves alone yet; start_server (pid:%d) goes on; still serving: 1:%d\n", d.cmd.Process.Pid, d.worker(1)))
	d.stop()
}

func TestControlRestartWhenTheDaemonEndsMeanwhile(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=3")
	printed := asking(t, d.dir, "--control=ctl", "--restart", "--timeout=30")
	d.sees(2, `^worker \d+ is up`)
	d.stop()
	assert.Contains(t, printed(), "restart failed: the superdaemon is stopping")
}

func TestControlSocketThatCannotBeMade(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	d.write("file", "precious")
	long := strings.Repeat("x", 120)
	for path, want := range map[string]string{
		"ctl":      `a process listens there already`,
		"file":     `what is there is not a socket, and is left alone`,
		"no/where": `bind: no such file or directory`,
	} {
		code, printed := command(t, d.dir, ours, "--control="+path, "--", "sleep", "1000")
		assert.Equal(t, 1, code)
		assert.Contains(t, printed, fmt.Sprintf("start_server: control socket %q: %s\n", filepath.Join(d.dir, path), want))
	}
	code, printed := command(t, d.dir, ours, "--control="+long, "--", "sleep", "1000")
	assert.Equal(t, 2, code)
	assert.Equal(t, fmt.Sprintf("start_server: control socket %q: 120 bytes are too long for a unix socket; 107 fit\n", long), printed)
	assert.Equal(t, "precious", d.file("file"))
	assert.Equal(t, "serving", d.status().State, "the one that is there has not noticed")
	d.isKilled()

	again := startWorkersIn(t, d.dir, nil, ours, "--control=ctl", "--interval=0.3")
	again.worker(1)
	assert.Equal(t, again.cmd.Process.Pid, again.status().Pid, "a stale socket is replaced")
	again.stop()
	assert.NoFileExists(t, filepath.Join(d.dir, "ctl"))
}

// ackScript says that it is ready by einhorn's protocol, from a shell or from Ruby.
const ackScript = `#!/bin/sh
[ -e "$TESTDIR/silent" ] || %s
trap 'exit 0' TERM
echo "worker $$ is up"
while :; do sleep 0.05; done
`

func TestEinhornAckFromAShell(t *testing.T) {
	t.Parallel()
	needs(t, "nc")
	testEinhornAck(t, `echo '{"command":"worker:ack","pid":'$$'}' | nc -NU "$EINHORN_SOCK_PATH" > answer`)
}

// The acknowledgement as einhorn's own client sends it (lib/einhorn/client.rb).
func TestEinhornAckFromRuby(t *testing.T) {
	t.Parallel()
	ruby := needs(t, "ruby")
	testEinhornAck(t, ruby+` -rsocket -ryaml -e '
		raise "not its child" unless ENV["EINHORN_MASTER_PID"]
		line = YAML.dump("command" => "worker:ack", "pid" => Process.ppid).gsub(/%|\n/, "%" => "%25", "\n" => "%0A") + "\n"
		UNIXSocket.open(ENV["EINHORN_SOCK_PATH"]) { |s| s.write(line); File.write("answer", s.gets) }'`)
}

func testEinhornAck(t *testing.T, ack string) {
	dir := tempDir(t)
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, ackScript, ack), 0o755))
	d := startIn(t, dir, []string{"TESTDIR=" + dir}, ours, "--control=ctl", "--interval=0.2", "--ready=notify", "--ready-timeout=20", "--status-file=st", "--", script)
	one := d.worker(1)
	d.sees(1, fmt.Sprintf(`^worker %d is ready after [0-9.]+ secs$`, one))
	eventually(t, func() bool { return strings.Contains(d.file("answer"), `"ok":true`) }, func() string { return d.file("answer") })
	assert.Equal(t, filepath.Join(dir, "ctl"), environ(t, one, "EINHORN_SOCK_PATH"))
	assert.Equal(t, fmt.Sprint(d.cmd.Process.Pid), environ(t, one, "EINHORN_MASTER_PID"))

	d.write("silent", "")
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	answer := d.talk(fmt.Sprintf(`{"command":"worker:ack","pid":%d}`, two))[0]
	assert.Equal(t, fmt.Sprintf("process %d belongs to no worker", os.Getpid()), answer["error"], "a stranger speaks for nobody")
	d.serves("st", "1:%d\n", one)
	require.NoError(t, os.Remove(filepath.Join(dir, "silent")))
	require.NoError(t, syscall.Kill(two, syscall.SIGKILL))
	d.sees(1, fmt.Sprintf(`^old worker %d died`, one))
	d.stop()
}

func TestControlDocumentNamesEveryCommand(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	page, err := os.ReadFile(filepath.Join(source, "docs", "control.md"))
	require.NoError(t, err)
	for _, c := range d.talk(`{"command":"help"}`)[0]["commands"].([]any) {
		assert.Contains(t, string(page), "### "+c.(map[string]any)["command"].(string)+"\n")
	}
	d.stop()
}
