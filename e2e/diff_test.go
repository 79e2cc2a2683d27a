//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The differential test runs each scenario against the original and against
// ours, and compares what an operator and a worker see of it: log lines, the
// worker's environment and descriptors, status files, what is left behind, and
// exit codes. Pids, ports and paths are replaced by names first.

// differences is every intended one: what stands in the original's trace, by a
// pattern, what stands in ours instead, and why.
var differences = []struct{ scenario, original, ours, why string }{
	{"", ` at /usr/share/perl5/\S+ line \d+\.`, "", "where Perl's source says it is of no use to an operator"},
	{"", `(?m)^log: Use of uninitialized value .*\n`, "", "a warning about an empty file in the envdir, for a bug in the original"},
	{"", `(?m)(SERVER_STARTER_PORT=.*)`, "$1", "ours counts from 3 without a gap, the original from the first number that Perl has free; numbered #n in both"},
	{"", `(?m)(SigIgn:\s+[0-9a-f]{12})1(\d{3})$`, "${1}0${2}", "workers start with the default action of PIPE, as a shell would start them; the original has it ignored"},
	{"the old worker dies while the new one starts", `(?s)log: new worker is now running, sending TERM to old workers:W1\nlog: killing old workers\nlog: old worker W1 died, status:0\n`,
		"log: old worker W1 died, status:0\nlog: new worker is now running, sending TERM to old workers:none\n",
		"the original sleeps through the interval, and learns of the death, and signals the dead, only then"},
	{"envdir", `(?m)^worker 2: SHAPE=round\n`, "", "the original keeps a variable for one worker more after its file is gone"},
	{"descriptors pinned", `(?m)^log: socket is duplicated to file descriptor \d+\n`, "", "ours puts the socket there when it starts the worker, and has no duplicate"},
	{"program missing", `(?m)^log: failed to unlink file:.*\n`, "", "the failed child of the original removes its parent's pid file"},
	{"program missing", `(?m)^log: (Can't exec.*|failed to exec.*|starting new worker W.*|new worker W. seems.*)\n`, "", "the original tries for ever to start what is not there"},
	{"program missing", `(?m)^log: start_server \(pid:D\) starting now\.\.\.\n`, "log: start_server (pid:D) starting now...\nlog: start_server: program \"/no/such/program\": no such file or directory\n", "ours says so"},
	{"program missing", `exit: 0`, "exit: 1", "and exits, so that the one who starts it knows"},
	{"program missing", `(?m)^log: (received TERM|worker W|exiting).*\n`, "", "so no TERM is needed"},
}

type scenario struct {
	name    string
	ports   int      // how many free ports it needs, {1} .. {n} in options
	options []string // besides --interval=1
	program string   // instead of the worker script
	drive   func(*traced)
}

// traced is a run of a scenario.
type traced struct {
	*daemon
	trace strings.Builder
}

const diffWorker = `#!/bin/sh
mv "$TESTDIR/broken" "$TESTDIR/was-broken" 2>/dev/null && exit 3
trap 'exit 0' TERM
trap 'exit 4' USR1
trap 'exit 5' QUIT
{
	pwd
	env | grep -E '^(SERVER_STARTER_|KILL_OLD_DELAY|ENABLE_AUTO|AUTO_RESTART|ENVDIR|COLOUR|SHAPE|EMPTY)' | sort
	grep -E '^Sig(Ign|Blk)' /proc/self/status
	for fd in 0 1 2 3 4 5 6 7 8 9 20; do
		case $(readlink /proc/$$/fd/$fd) in socket:*) echo "socket at $fd" ;; esac
	done
} > "$TESTDIR/gen.tmp"
mv "$TESTDIR/gen.tmp" "$TESTDIR/gen-$SERVER_STARTER_GENERATION.env"
while :; do sleep 0.05; done
`

// sawWorker adds what a generation's worker saw.
func (r *traced) sawWorker(generation int) {
	r.t.Helper()
	name := fmt.Sprintf("gen-%d.env", generation)
	eventually(r.t, func() bool { return r.file(name) != "" }, func() string { return "no worker of generation " + strconv.Itoa(generation) + ": " + r.out.String() })
	for _, line := range strings.Split(strings.TrimSpace(r.file(name)), "\n") {
		fmt.Fprintf(&r.trace, "worker %d: %s\n", generation, line)
	}
}

// status waits until the status file has lines for these workers, by their
// order of birth, and adds it.
func (r *traced) status(workers ...int) {
	r.t.Helper()
	var want []string
	for _, w := range workers {
		want = append(want, fmt.Sprintf(`\d+:%d\n`, r.worker(w)))
	}
	re := regexp.MustCompile("^" + strings.Join(want, "") + "$")
	eventually(r.t, func() bool { return re.MatchString(r.file("st")) }, func() string {
		return fmt.Sprintf("status file %q does not match %s; printed:\n%s", r.file("st"), re, r.out)
	})
	fmt.Fprintf(&r.trace, "status: %q\n", r.file("st"))
}

func (r *traced) kill(worker int, sig syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, syscall.Kill(r.worker(worker), sig))
}

var scenarios = []scenario{
	{name: "start and TERM, no port", drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.signal(syscall.SIGTERM)
	}},
	{name: "start and INT", options: []string{"--signal-on-term=USR1"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.signal(syscall.SIGINT)
	}},
	{name: "HUP", ports: 1, options: []string{"--port={1}"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.signal(syscall.SIGHUP)
		r.sees(1, `^old worker \d+ died`)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "signals", options: []string{"--signal-on-hup=SIGUSR1", "--signal-on-term=QUIT"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.signal(syscall.SIGHUP)
		r.sees(1, `^old worker \d+ died, status:1024`)
		r.sawWorker(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "failing attempts", drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.write("broken", "")
		r.signal(syscall.SIGHUP)
		r.sees(1, `seems to have failed to start`)
		r.sees(1, `^old worker \d+ died`)
		r.sawWorker(3)
		r.status(3)
		r.signal(syscall.SIGTERM)
	}},
	{name: "crash", drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.kill(1, syscall.SIGKILL)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "kill-old-delay", options: []string{"--kill-old-delay=1"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.signal(syscall.SIGHUP)
		r.sees(1, `^sleeping 1 secs`)
		r.status(1, 2)
		r.sees(1, `^old worker \d+ died`)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "the old worker dies while the new one starts", drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.signal(syscall.SIGHUP)
		r.worker(2)
		r.kill(1, syscall.SIGTERM)
		r.sees(1, `^new worker is now running`)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "envdir", options: []string{"--envdir=env"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.status(1)
		r.write("env/COLOUR", " green \nsecond line")
		r.write("env/EMPTY", "")
		require.NoError(r.t, os.Remove(filepath.Join(r.dir, "env/SHAPE")))
		r.signal(syscall.SIGHUP)
		r.sees(1, `^old worker \d+ died`)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "auto-restart", options: []string{"--enable-auto-restart", "--auto-restart-interval=4", "--kill-old-delay=1"}, drive: func(r *traced) {
		r.sees(1, `^old worker \d+ died`)
		r.sawWorker(1)
		r.sawWorker(2)
		r.status(2)
		r.signal(syscall.SIGTERM)
	}},
	{name: "descriptors pinned", ports: 3, options: []string{"--port=127.0.0.1:{1}=20", "--port={2}=9", "--port=127.0.0.1:{3}=0"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.signal(syscall.SIGTERM)
	}},
	{name: "UDP, IPv6 and a host name", ports: 4, options: []string{"--port=u{1}", "--port=[::1]:{2}", "--port=localhost:{3}", "--port=[::1]:u{4}"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.signal(syscall.SIGTERM)
	}},
	{name: "path", ports: 1, options: []string{"--path={dir}/sock", "--port={1}"}, drive: func(r *traced) {
		r.sawWorker(1)
		info, err := os.Stat(filepath.Join(r.dir, "sock"))
		require.NoError(r.t, err)
		fmt.Fprintf(&r.trace, "sock: %v\n", info.Mode())
		r.signal(syscall.SIGTERM)
	}},
	{name: "log file", options: []string{"--log-file=log"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.signal(syscall.SIGTERM)
	}},
	{name: "log command", options: []string{"--log-file=| cat > log"}, drive: func(r *traced) {
		r.sawWorker(1)
		r.signal(syscall.SIGTERM)
	}},
	{name: "program missing", program: "/no/such/program", drive: func(r *traced) {
		if r.cmd.Path != ours {
			r.sees(2, `failed to exec`) // it sleeps then, and no child of it writes into a line
			r.signal(syscall.SIGTERM)
		}
	}},
}

func TestSameAsTheOriginal(t *testing.T) {
	t.Parallel()
	perl := original(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want, got := s.run(t, perl), s.run(t, ours)
			for _, d := range differences {
				if d.scenario == "" || d.scenario == s.name {
					want = regexp.MustCompile(d.original).ReplaceAllString(want, d.ours)
				}
			}
			assert.Equal(t, want, got)
		})
	}
}

// run plays the scenario and returns its trace.
func (s scenario) run(t *testing.T, binary string) string {
	dir := tempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "env"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "env/SHAPE"), []byte("round"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "worker.sh"), []byte(diffWorker), 0o755))
	var ports []string
	for range s.ports {
		ports = append(ports, freePort(t))
	}
	options := []string{"--interval=1", "--status-file=st", "--pid-file=pid"}
	for _, option := range s.options {
		option = strings.ReplaceAll(option, "{dir}", dir)
		for i, port := range ports {
			option = strings.ReplaceAll(option, fmt.Sprintf("{%d}", i+1), port)
		}
		options = append(options, option)
	}
	program := s.program
	if program == "" {
		program = filepath.Join(dir, "worker.sh")
	}
	r := &traced{daemon: startIn(t, dir, []string{"TESTDIR=" + dir, "COLOUR=red"}, binary, append(options, "--", program)...)}
	s.drive(r)
	exit := r.exit()
	for _, line := range strings.Split(strings.TrimSpace(r.out.String()), "\n") {
		fmt.Fprintf(&r.trace, "log: %s\n", line)
	}
	if log := r.file("log"); log != "" {
		for _, line := range strings.Split(strings.TrimSpace(log), "\n") {
			fmt.Fprintf(&r.trace, "log file: %s\n", line)
		}
	}
	var left []string
	for _, name := range []string{"st", "pid", "sock"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			left = append(left, name)
		}
	}
	fmt.Fprintf(&r.trace, "left behind: %v\nexit: %d\n", left, exit)
	return r.normal(ports)
}

// normal replaces what differs from run to run.
func (r *traced) normal(ports []string) string {
	text := r.trace.String()
	text = strings.ReplaceAll(text, r.dir, "DIR")
	for i, port := range ports {
		text = regexp.MustCompile(`\b`+port+`\b`).ReplaceAllString(text, fmt.Sprintf("PORT%d", i+1))
	}
	text = strings.ReplaceAll(text, fmt.Sprintf("pid:%d)", r.cmd.Process.Pid), "pid:D)")
	for i, pid := range regexp.MustCompile(`starting new worker (\d+)`).FindAllStringSubmatch(text, -1) {
		text = regexp.MustCompile(`\b`+pid[1]+`\b`).ReplaceAllString(text, fmt.Sprintf("W%d", i+1))
	}
	return renumber(text)
}

// renumber names the descriptors that start_server chose, which are those
// below 9 but for 0, #1, #2 and so on.
func renumber(text string) string {
	numbers := regexp.MustCompile(`(socket at |=)([3-8])\b`)
	var seen []string
	for _, m := range regexp.MustCompile(`socket at ([3-8])\b`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(seen, m[1]) {
			seen = append(seen, m[1])
		}
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if !strings.Contains(line, "socket at ") && !strings.Contains(line, "SERVER_STARTER_PORT=") {
			continue
		}
		lines[i] = numbers.ReplaceAllStringFunc(line, func(s string) string {
			return s[:len(s)-1] + "#" + strconv.Itoa(1+slices.Index(seen, s[len(s)-1:]))
		})
	}
	return strings.Join(lines, "\n")
}
