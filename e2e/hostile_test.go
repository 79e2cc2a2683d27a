//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// attack is what hostile clients do to d until stop is closed.
type attack struct {
	d    *daemon
	stop chan struct{}
	all  sync.WaitGroup
	done atomic.Int64 // how many of the things that are counted were done
}

// over tells whether the attack has to end.
func (a *attack) over() bool {
	select {
	case <-a.stop:
		return true
	default:
		return false
	}
}

// clients runs n clients, each of which connects again whenever do returns.
func (a *attack) clients(n int, do func(conn *net.UnixConn)) {
	for range n {
		a.all.Go(func() {
			for !a.over() {
				conn, err := net.Dial("unix", filepath.Join(a.d.dir, "ctl"))
				if err != nil { // the queue is full
					select {
					case <-a.stop:
					case <-time.After(10 * time.Millisecond):
					}
					continue
				}
				hangUp := make(chan struct{})
				go func() {
					select {
					case <-a.stop:
					case <-hangUp:
					}
					conn.Close()
				}()
				do(conn.(*net.UnixConn))
				close(hangUp)
			}
		})
	}
}

// stays keeps the connection until the server ends it.
func stays(conn net.Conn) { io.Copy(io.Discard, conn) }

// waits keeps the connection, and reads nothing, until the test ends it. Its write
// blocks when the server reads no more.
func waits(conn net.Conn) {
	for {
		if _, err := conn.Write([]byte("{\"command\":\"help\"}\n")); err != nil {
			return
		}
	}
}

// crowded is the answer to a process that connects without end.
const crowded = `too many clients: this one was idle for the longest time, and is disconnected|16 clients of process \d+ are connected and wait for an answer`

// attacks are all that is tried, and whether the log should say so.
var attacks = map[string]struct {
	begin   func(a *attack)
	refused string // pattern of the reason
}{
	"garbage": {func(a *attack) {
		a.clients(4, func(conn *net.UnixConn) {
			junk := make([]byte, 1+rand.IntN(1000))
			for i := range junk {
				junk[i] = byte(rand.Uint32())
			}
			conn.Write(append(junk, '\n'))
			conn.CloseWrite()
			stays(conn)
			a.done.Add(1)
		})
	}, `process \d+: .*`},
	"a line of 100 MB": {func(a *attack) {
		a.clients(1, func(conn *net.UnixConn) {
			part := []byte(strings.Repeat("x", 1<<20))
			for range 100 {
				if _, err := conn.Write(part); err != nil {
					a.done.Add(1)
					return
				}
			}
			a.d.t.Error("a line of 100 MB was read to its end")
		})
	}, `process \d+: a request is longer than 16384 bytes`},
	"faults deep within": {func(a *attack) {
		line := []byte(strings.Repeat(`{"a":`, 290) + "t" + strings.Repeat("\x01", 14000) + "\n")
		a.clients(4, func(conn *net.UnixConn) {
			go stays(conn)
			for {
				if _, err := conn.Write(line); err != nil {
					return
				}
				a.done.Add(1)
			}
		})
	}, `process \d+: not a request: .*`},
	"200 half-open connections": {func(a *attack) {
		a.clients(200, func(conn *net.UnixConn) {
			conn.Write([]byte(`{"command":"restart"`))
			a.done.Add(1)
			stays(conn)
		})
	}, crowded},
	"1,000 connections": {func(a *attack) {
		var turn atomic.Int64
		a.clients(1000, func(conn *net.UnixConn) {
			switch turn.Add(1) % 3 {
			case 0:
				conn.Write([]byte(`{"command":"sta`))
			case 1:
				conn.CloseWrite()
			}
			a.done.Add(1)
			stays(conn)
		})
	}, crowded},
	"answers that nobody reads": {func(a *attack) {
		line := []byte(`{"command":"status","id":"` + strings.Repeat("x", 16000) + `"}` + "\n")
		a.clients(100, func(conn *net.UnixConn) {
			a.done.Add(1)
			for range 1000 {
				if _, err := conn.Write(line); err != nil {
					return
				}
			}
		})
	}, crowded},
	"subscribers that do not read": {func(a *attack) {
		a.clients(100, func(conn *net.UnixConn) {
			a.done.Add(1)
			conn.Write([]byte(`{"command":"subscribe"}` + "\n"))
			waits(conn)
		})
	}, crowded},
	"clients that hang up": {func(a *attack) {
		a.clients(8, func(conn *net.UnixConn) {
			fmt.Fprintf(conn, "{\"command\":\"subscribe\"}\n{\"command\":\"status\"}\n{\"command\":\"restart\"}\n")
			a.done.Add(1)
		})
	}, ""},
	"questions without end": {func(a *attack) {
		a.clients(8, func(conn *net.UnixConn) {
			in := bufio.NewReader(conn)
			for {
				if _, err := conn.Write([]byte(`{"command":"status"}` + "\n")); err != nil {
					return
				}
				if _, err := in.ReadSlice('\n'); err != nil {
					return
				}
				a.done.Add(1)
			}
		})
	}, ""},
}

// attacked begins attacks, and waits until they have had an effect.
func (d *daemon) attacked(names ...string) *attack {
	d.t.Helper()
	a := &attack{d: d, stop: make(chan struct{})}
	d.t.Cleanup(a.end)
	for _, name := range names {
		attacks[name].begin(a)
	}
	eventually(d.t, func() bool { return a.done.Load() >= int64(10*len(names)) }, func() string { return "nobody gets through" })
	return a
}

// end may be called more than once.
func (a *attack) end() {
	if !a.over() {
		close(a.stop)
	}
	a.all.Wait()
}

// usage is the most memory that it has taken so far, in kB, and how many
// descriptors it has open.
func (d *daemon) usage() (peak, descriptors int) {
	d.t.Helper()
	pid := d.cmd.Process.Pid
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(d.t, err)
	peak, err = strconv.Atoi(regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
	require.NoError(d.t, err)
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(d.t, err)
	return peak, len(open)
}

// withstands checks that restarts are carried out while the attacks go on, that
// the attacks cost little, and that nothing of them stays.
func (d *daemon) withstands(names ...string) {
	d.t.Helper()
	began := time.Now()
	_, before := d.usage()
	a := d.attacked(names...)
	for range 3 {
		code, printed := d.ask("--restart", "--timeout=20")
		assert.Zero(d.t, code, printed)
		assert.Regexp(d.t, `generation \d+ is live`, printed)
		code, printed = d.ask("--status")
		assert.Zero(d.t, code, printed)
		peak, descriptors := d.usage()
		assert.Less(d.t, peak, 64<<10, "kB of memory")
		assert.Less(d.t, descriptors, before+64+10)
	}
	peak, _ := d.usage()
	d.t.Logf("%d times, and at most %d kB", a.done.Load(), peak)
	a.end()
	eventually(d.t, func() bool { _, now := d.usage(); return now <= before }, func() string {
		_, now := d.usage()
		return fmt.Sprintf("%d descriptors were open before, and now %d", before, now)
	})
	d.stop()
	refusals := regexp.MustCompile(`(?m)^refused on the control socket: (.*)$`).FindAllStringSubmatch(d.out.String(), -1)
	assert.LessOrEqual(d.t, len(refusals), 1+int(time.Since(began)/time.Minute))
	for _, name := range names {
		if pattern := attacks[name].refused; len(names) == 1 && pattern != "" && assert.NotEmpty(d.t, refusals) {
			assert.Regexp(d.t, "^("+pattern+")$", refusals[0][1])
		}
	}
	for line := range strings.Lines(d.out.String()) {
		assert.Less(d.t, len(line), 1000)
	}
}

// It is not parallel to others: it takes all that the machine has.
func TestHostileClients(t *testing.T) {
	for name := range attacks {
		t.Run(name, func(t *testing.T) {
			startControlled(t, "--interval=0.3").withstands(name)
		})
	}
}

func TestHostileClientsAllAtOnce(t *testing.T) {
	var names []string
	for name := range attacks {
		names = append(names, name)
	}
	startControlled(t, "--interval=0.3").withstands(names...)
}

// asNobody runs our client as a user that has nothing to do with us.
func (d *daemon) asNobody(args ...string) (code int, printed string) {
	d.t.Helper()
	client := filepath.Join(d.dir, "start_server")
	if _, err := os.Stat(client); err != nil {
		// We do not copy it ourselves: a process that is forked meanwhile would have
		// the file open for writing, and no process could execute it.
		text, err := exec.Command("cp", ours, client).CombinedOutput()
		require.NoError(d.t, err, string(text))
	}
	c := exec.Command(client, append([]string{"--control=ctl", "--timeout=20"}, args...)...)
	c.Dir = d.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	text, err := c.CombinedOutput()
	if c.ProcessState == nil {
		require.NoError(d.t, err)
	}
	return c.ProcessState.ExitCode(), string(text)
}

func TestHostileUser(t *testing.T) {
	t.Parallel()
	root(t)
	d := startControlled(t, "--interval=0.3")
	require.NoError(t, os.Chmod(d.dir, 0o755))
	code, printed := d.asNobody("--stop")
	assert.Equal(t, 1, code)
	assert.Equal(t, "start_server: control socket \"ctl\": connect: permission denied\n", printed)

	require.NoError(t, os.Chmod(filepath.Join(d.dir, "ctl"), 0o666))
	for _, what := range []string{"--stop", "--restart", "--status", "--stop"} {
		code, printed := d.asNobody(what)
		assert.Equal(t, map[string]int{"--restart": 1, "--stop": 1, "--status": 4}[what], code)
		assert.Regexp(t, `^start_server: process \d+ runs as user 65534, neither as user 0 nor as root: ask as one of these\n$`, printed)
	}
	assert.Equal(t, "serving", d.status().State)
	assert.Equal(t, 1, d.status().Generation)
	code, printed = d.ask("--restart")
	assert.Zero(t, code, printed)
	d.stop()
	assert.Len(t, d.sees(1, `^refused on the control socket: process \d+ runs as user 65534, .*$`), 1)
}

// A subscriber that reads nothing is disconnected, and the log says so once.
func TestHostileSubscriber(t *testing.T) {
	t.Parallel()
	d := startControlled(t, "--interval=0.3")
	var deaf []net.Conn
	for range 8 {
		conn, err := net.Dial("unix", filepath.Join(d.dir, "ctl"))
		require.NoError(t, err)
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(deadline))
		fmt.Fprintln(conn, `{"command":"subscribe"}`)
		deaf = append(deaf, conn)
	}
	for range 5 { // events come too fast for some subscribers: these then get one event for many
		d.talk(slices.Repeat([]string{`{"command":"signal","signal":"CONT"}`}, 3000)...) // an event each
	}
	d.sees(1, fmt.Sprintf(`^refused on the control socket: process %d does not read what it asked for$`, os.Getpid()))
	for _, conn := range deaf {
		text, err := io.ReadAll(conn)
		assert.NoError(t, err, "it was disconnected")
		assert.Less(t, strings.Count(string(text), "\n"), 5*3000)
	}
	code, printed := d.ask("--restart")
	assert.Zero(t, code, printed)
	d.stop()
	assert.Len(t, d.sees(1, `^refused on the control socket: `), 1)
}

// If no descriptor is left, connections wait until there is one.
func TestHostileUseOfDescriptors(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	const script = `ulimit -n 22; exec "$0" --control=ctl --interval=0.3 --status-file=st -- sleep 1000`
	d := startIn(t, dir, nil, "/bin/sh", "-c", script, ours)
	d.serves("st", "1:%d\n", d.worker(1))
	_, before := d.usage()
	var idle []net.Conn
	for range 16 {
		conn, err := net.Dial("unix", filepath.Join(dir, "ctl"))
		require.NoError(t, err)
		defer conn.Close()
		idle = append(idle, conn)
	}
	d.sees(1, `^refused on the control socket: .*too many open files$`)
	for _, conn := range idle {
		conn.Close()
	}
	code, printed := d.ask("--restart", "--timeout=20")
	assert.Zero(t, code, printed)
	eventually(t, func() bool { _, now := d.usage(); return now <= before }, func() string { return "some are left open" })
	d.stop()
	assert.Len(t, d.sees(1, `^refused on the control socket: `), 1)
}

// ackOnDemand says by einhorn's protocol that a process is ready. A file names the
// process, and says when.
const ackOnDemand = `#!/bin/sh
trap 'exit 0' TERM
ack=$TESTDIR/ack-$SERVER_STARTER_GENERATION
while :; do
	sleep 0.05
	[ -e "$ack" ] || continue
	echo "{\"command\":\"worker:ack\",\"pid\":$(cat "$ack")}" | nc -NU "$EINHORN_SOCK_PATH" > "$ack.tmp"
	rm "$ack"
	mv "$ack.tmp" "$TESTDIR/answer-$SERVER_STARTER_GENERATION"
done
`

func TestForgedNotices(t *testing.T) {
	t.Parallel()
	needs(t, "nc")
	dir := tempDir(t)
	script := filepath.Join(dir, "worker.sh")
	require.NoError(t, os.WriteFile(script, []byte(ackOnDemand), 0o755))
	d := startIn(t, dir, []string{"TESTDIR=" + dir}, ours, "--control=ctl", "--interval=0.2", "--ready=notify", "--ready-timeout=25", "--status-file=st", "--", script)
	says := func(generation, pid int) string { // a worker says that process pid is ready; the result is the answer
		d.write(fmt.Sprintf("ack-%d.new", generation), strconv.Itoa(pid))
		require.NoError(t, os.Rename(filepath.Join(dir, fmt.Sprintf("ack-%d.new", generation)), filepath.Join(dir, fmt.Sprintf("ack-%d", generation))))
		name := fmt.Sprintf("answer-%d", generation)
		eventually(t, func() bool { return d.file(name) != "" }, func() string { return "no answer; printed:\n" + d.out.String() })
		return d.file(name)
	}
	one := d.worker(1)
	assert.Contains(t, says(1, one), `"ok":true`)
	d.sees(1, fmt.Sprintf(`^worker %d is ready after`, one))
	d.serves("st", "1:%d\n", one)
	d.signal(syscall.SIGHUP)
	two := d.worker(2)
	isNotReady := func() {
		t.Helper()
		s := d.status()
		require.Len(t, s.Workers, 2)
		assert.Equal(t, two, s.Workers[1].Pid)
		assert.Equal(t, "proving", s.Workers[1].State)
		assert.Equal(t, fmt.Sprintf("1:%d\n", one), d.file("st"))
	}
	isNotReady()

	// Datagrams of a stranger,
	notices, err := net.Dial("unixgram", environ(t, two, "NOTIFY_SOCKET"))
	require.NoError(t, err)
	defer notices.Close()
	for range 100 {
		_, err = fmt.Fprintf(notices, "READY=1\nMAINPID=%d\nSTATUS=forged\n", two)
		require.NoError(t, err)
	}
	d.sees(1, fmt.Sprintf(`^ignored a notice from process %d: it belongs to no worker, `, os.Getpid()))
	isNotReady()

	// its acknowledgements in all forms,
	for range 100 {
		for _, answer := range d.talk(
			fmt.Sprintf(`{"command":"worker:ack","pid":%d}`, two),
			fmt.Sprintf(`---%%0Acommand: worker:ack%%0Apid: %d%%0A`, two),
			fmt.Sprintf(`{"command":"worker:ack","pid":%d,"pids":[%[1]d],"Pid":%[1]d}`, two),
		) {
			assert.Equal(t, fmt.Sprintf("process %d belongs to no worker", os.Getpid()), answer["error"])
		}
	}
	isNotReady()
	forger := exec.Command("/bin/sh", "-c", `echo '{"command":"worker:ack","pid":'$0'}' | nc -NU ctl`, strconv.Itoa(two))
	forger.Dir = dir
	answer, err := forger.CombinedOutput()
	require.NoError(t, err, string(answer))
	assert.Regexp(t, `"error":"process \d+ belongs to no worker"`, string(answer))
	isNotReady()

	// and the acknowledgement of another worker, which speaks only for itself.
	require.NoError(t, os.Remove(filepath.Join(dir, "answer-1")))
	assert.Contains(t, says(1, two), `"ok":true`)
	isNotReady()

	assert.Contains(t, says(2, one), `"ok":true`, "whatever it says of whom")
	d.sees(1, fmt.Sprintf(`^worker %d is ready after`, two))
	d.serves("st", "2:%d\n", two)
	d.stop()
	assert.Len(t, d.sees(1, `^ignored a notice from process `), 1, "a line, not a flood")
	assert.NotContains(t, d.out.String(), "forged")
}
