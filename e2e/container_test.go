//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instruction is an instruction of the Dockerfile.
type instruction struct{ name, args string }

// stages are the Dockerfile's instructions, from each FROM to the next.
func stages(t *testing.T) [][]instruction {
	t.Helper()
	var all [][]instruction
	for line := range strings.Lines(deployed(t, "docker/Dockerfile")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		require.False(t, strings.HasSuffix(line, `\`), "an instruction is a line here: %s", line)
		name, args, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, args})
	}
	require.Len(t, all, 2)
	return all
}

// image is what the Dockerfile makes.
type image struct {
	root       string // a directory with its files
	entrypoint []string
	cmd        []string
	user       string // a number
	stopSignal string
}

// built is what the Dockerfile's first stage has made, once for all tests.
var built struct {
	sync.Once
	out  string
	text []byte
	err  error
}

// build does on this machine what the Dockerfile's first stage does.
func build(t *testing.T) (out string) {
	t.Helper()
	var script strings.Builder
	for _, i := range stages(t)[0] {
		// The modules are already here: we were built with them.
		if i.name == "RUN" && i.args != "go mod download" {
			fmt.Fprintln(&script, i.args)
		}
	}
	built.Do(func() {
		built.out = filepath.Join(filepath.Dir(ours), "image")
		cmd := exec.Command("/bin/sh", "-ec", strings.ReplaceAll(script.String(), "/out/", built.out+"/"))
		cmd.Dir = source
		built.text, built.err = cmd.CombinedOutput()
	})
	require.NoError(t, built.err, "%s", built.text)
	return built.out
}

// newImage does on this machine what the Dockerfile does.
func newImage(t *testing.T) *image {
	t.Helper()
	root(t)
	out := build(t)
	i := &image{root: tempDir(t)}
	require.NoError(t, os.Chmod(i.root, 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(i.root, "proc"), 0o755)) // as Docker does
	for _, step := range stages(t)[1] {
		switch step.name {
		case "FROM":
			require.Equal(t, "scratch", step.args)
		case "COPY":
			i.copy(t, out, strings.Fields(step.args))
		case "USER":
			i.user, _, _ = strings.Cut(step.args, ":")
			assert.Equal(t, i.user+":"+i.user, step.args)
		case "STOPSIGNAL":
			i.stopSignal = step.args
		case "ENTRYPOINT":
			require.NoError(t, json.Unmarshal([]byte(step.args), &i.entrypoint), "without a shell it is a list")
		case "CMD":
			require.NoError(t, json.Unmarshal([]byte(step.args), &i.cmd), "without a shell it is a list")
		case "EXPOSE":
		default:
			require.Fail(t, "the test does not know "+step.name)
		}
	}
	return i
}

// copy copies what the first stage has made.
func (i *image) copy(t *testing.T, out string, args []string) {
	t.Helper()
	owner := ""
	require.Equal(t, "--from=build", args[0])
	args = args[1:]
	if chown, ok := strings.CutPrefix(args[0], "--chown="); ok {
		owner, args = chown, args[1:]
	}
	to := filepath.Join(i.root, args[len(args)-1])
	for _, from := range args[:len(args)-1] {
		from = strings.Replace(from, "/out/", out+"/", 1)
		text, err := exec.Command("/bin/sh", "-ec", `mkdir -p "$(dirname "$2")"; cp -r "$1" "$2"; [ -z "$3" ] || chown "$3" "$2"`, "-", from, to, owner).CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
}

// add puts a program of testdata into the image.
func (i *image) add(t *testing.T, program string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", i.root+"/", "./e2e/testdata/"+program)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// run runs a command as the image's user, as PID 1 of a new PID namespace in which
// there is nothing but the image and /proc. Only the network is the machine's.
func (i *image) run(t *testing.T, command ...string) *daemon {
	t.Helper()
	args := []string{"--mount", "--root=" + i.root, "--mount-proc", "--setgid=" + i.user, "--setuid=" + i.user, "--"}
	cmd := exec.Command(needs(t, "unshare"), append(args, command...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID} // so it is PID 1 before it becomes start_server
	cmd.Env = []string{}
	return follow(t, i.root, cmd)
}

// starts runs what the Dockerfile says, with other values (see the function in) and
// more options.
func (i *image) starts(t *testing.T, values map[string]string, more ...string) *daemon {
	t.Helper()
	last := len(i.entrypoint) - 1
	require.Equal(t, "--", i.entrypoint[last])
	options := append(in(t, i.entrypoint[:last], values), more...)
	return i.run(t, append(append(options, "--"), i.cmd...)...)
}

func TestContainer(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	addr := "127.0.0.1:" + freePort(t)
	d := i.starts(t, map[string]string{"--port": addr})
	d.sees(1, `^start_server \(pid:1\) starting now`)
	d.answers(1, "tcp", addr)
	l := startLoad(t, "tcp", addr, 4, 4)
	for generation := 2; generation <= 4; generation++ {
		l.goesOn(100)
		d.signal(syscall.SIGHUP) // docker kill --signal=HUP
		d.answers(generation, "tcp", addr)
		d.sees(1, fmt.Sprintf(`^old worker %d died, status:0$`, d.worker(generation-1)))
	}
	// docker exec app /start_server --restart ...: in the same namespaces
	code, printed := i.exec(t, d, "/start_server", "--restart", "--drained", "--control="+valueOf(i.entrypoint, "control"))
	assert.Zero(t, code, printed)
	assert.Contains(t, printed, "generation 5 is live")
	d.answers(5, "tcp", addr)
	l.goesOn(100)
	l.stop()
	assert.Equal(t, "SIGTERM", i.stopSignal)
	d.stop()
	d.runs()
}

// exec runs a command in the container of d, as docker exec does.
func (i *image) exec(t *testing.T, d *daemon, args ...string) (code int, printed string) {
	t.Helper()
	enter := []string{"--target=" + strconv.Itoa(d.cmd.Process.Pid), "--mount", "--pid", "--root", "--wd", "--setgid=" + i.user, "--setuid=" + i.user, "--"}
	return command(t, "/", needs(t, "nsenter"), append(enter, args...)...)
}

// docker stop sends KILL ten seconds after TERM.
func TestContainerStopsInTime(t *testing.T) {
	t.Parallel()
	assert.Less(t, stopTakes(t, newImage(t).entrypoint).Seconds(), 10.0)
}

func TestContainerWhoseStartFails(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.add(t, "orphans")
	i.cmd = []string{"/orphans", "fail", "3"}
	d := i.starts(t, map[string]string{"--port": "127.0.0.1:0", "--attempts": "1"})
	assert.Equal(t, 1, d.exit())
	d.sees(1, `^start_server: .*exit code 3`)
}

// A wrong command line is told from a server that fails.
func TestContainerWithAWrongOption(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	assert.Equal(t, 2, i.starts(t, nil, "--bogus").exit())
}

// LISTEN_PID is the worker's own pid, with no shell to find it out.
func TestContainerExportsToSystemdsServers(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.add(t, "orphans")
	i.cmd = []string{"/orphans", "listen"}
	d := i.starts(t, map[string]string{"--port": "127.0.0.1:0", "--ready": "interval"}, "--export=systemd", "--interval=0.2")
	for generation := 1; generation <= 3; generation++ {
		worker := d.worker(generation)
		d.sees(1, fmt.Sprintf(`^worker %d: LISTEN_PID=%d LISTEN_FDS=1$`, worker, worker))
		d.signal(syscall.SIGHUP)
	}
	d.signal(syscall.SIGTERM)
	d.exit()
}

// leavesOrphans restarts workers that each leave a hundred orphans behind. It checks
// that start_server, whose pid they know, waits for all of them, and that no worker's
// status is lost.
func leavesOrphans(t *testing.T, d *daemon, file, pid string) {
	t.Helper()
	const generations = 5
	status := func(generation int) int { return generation << 8 } // as of wait(2)
	for generation := 1; generation <= generations; generation++ {
		d.sees(1, fmt.Sprintf(`^generation %d has left its orphans behind$`, generation))
		d.signal(syscall.SIGUSR1)
		d.sees(1, fmt.Sprintf(`^told USR1: %d$`, d.worker(generation)))
		if generation < generations {
			d.signal(syscall.SIGHUP)
			d.sees(1, fmt.Sprintf(`^old worker %d died, status:%d$`, d.worker(generation), status(generation)))
		}
	}
	var orphans []string
	eventually(t, func() bool {
		orphans = strings.Fields(d.file(file))
		return len(orphans) == generations*100
	}, func() string { return fmt.Sprintf("%d orphans, not %d", len(orphans), generations*100) })
	for _, parent := range orphans {
		require.Equal(t, pid, parent, "the parent of an orphan")
	}
	var children []string
	eventually(t, func() bool {
		children = nil
		for child, p := range processes(t) {
			if p.parent == d.cmd.Process.Pid {
				children = append(children, fmt.Sprintf("%d %s %s", child, p.name, p.state))
			}
		}
		return len(children) == 1
	}, func() string { return fmt.Sprintf("start_server has the children %q", children) })
	assert.NotContains(t, d.out.String(), "failed to start")
	assert.NotContains(t, d.out.String(), "died unexpectedly")
	d.signal(syscall.SIGTERM)
	assert.Zero(t, d.exit())
	d.sees(1, fmt.Sprintf(`^worker %d died, status:%d$`, d.worker(generations), status(generations)))
	d.runs()
}

func TestContainerReapsOrphans(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.add(t, "orphans")
	i.cmd = []string{"/orphans", "serve", "/run/app/orphans", "100"}
	d := i.starts(t, map[string]string{"--port": "127.0.0.1:0", "--ready": "interval"}, "--interval=0.1")
	leavesOrphans(t, d, "run/app/orphans", "1")
}

// With --subreaper start_server does the same where it is not PID 1.
func TestSubreaperReapsOrphans(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	(&image{root: dir}).add(t, "orphans")
	d := startIn(t, dir, nil, ours, "--subreaper", "--interval=0.1", "--", "./orphans", "serve", "orphaned", "100")
	leavesOrphans(t, d, "orphaned", strconv.Itoa(d.cmd.Process.Pid))
}
