//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// slack is how much of the time that a manager gives has to be left over.
const slack = 5 * time.Second

// deployed is a file of deploy/.
func deployed(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(source, "deploy", name))
	require.NoError(t, err)
	return string(content)
}

// valueOf is an option's value in a command line, "" if it is not there.
func valueOf(args []string, option string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+option+"="); ok {
			return value
		}
	}
	return ""
}

// seconds is an option's value as a duration, 0 if it is not there.
func seconds(t *testing.T, args []string, option string) time.Duration {
	t.Helper()
	value := valueOf(args, option)
	if value == "" {
		return 0
	}
	d, err := text.ParseDuration(value)
	require.NoError(t, err)
	return d
}

// stopTakes is how long a stop may take by the options.
func stopTakes(t *testing.T, args []string) time.Duration {
	t.Helper()
	kill := seconds(t, args, "kill-timeout")
	require.NotZero(t, kill, "without it a stop takes as long as it likes")
	return seconds(t, args, "stop-delay") + kill
}

// startTakes is how long it may take until a start has failed for good.
func startTakes(t *testing.T, args []string) time.Duration {
	t.Helper()
	attempts, err := strconv.Atoi(valueOf(args, "attempts"))
	require.NoError(t, err, "without it a start is tried for ever")
	each := max(seconds(t, args, "ready-timeout"), time.Second)
	if valueOf(args, "ready") == "notify" && valueOf(args, "ready-timeout") == "" {
		each = time.Minute
	}
	pauses := time.Duration(0)
	for i := range attempts - 1 {
		pauses += min(time.Second<<i, 10*time.Second)
	}
	return time.Duration(attempts)*each + pauses
}

// in puts other values into the arguments: for an option by its name, with --, and
// for another argument by what it is.
func in(t *testing.T, args []string, values map[string]string) []string {
	t.Helper()
	args = slices.Clone(args)
	for was, is := range values {
		i := slices.IndexFunc(args, func(arg string) bool {
			return arg == was || strings.HasPrefix(was, "--") && strings.HasPrefix(arg, was+"=")
		})
		require.GreaterOrEqual(t, i, 0, "%q is not in %q", was, args)
		if strings.HasPrefix(was, "--") {
			is = was + "=" + is
		}
		args[i] = is
	}
	return args
}

// --- systemd

const (
	installedStarter = "/usr/local/bin/start_server"
	installedServer  = "/srv/app/current/server"
)

// unit is the settings of a unit file.
type unit map[string][]string

func parseUnit(t *testing.T, name string) unit {
	t.Helper()
	u := unit{}
	for line := range strings.Lines(deployed(t, "systemd/"+name)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// one is the value of a setting that is there exactly once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	require.Len(t, u[key], 1, key)
	return u[key][0]
}

// command is the arguments of a setting that runs start_server.
func (u unit) command(t *testing.T, key string) []string {
	t.Helper()
	words := strings.Fields(u.one(t, key))
	require.Equal(t, installedStarter, words[0])
	return words[1:]
}

func (u unit) seconds(t *testing.T, key string) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(u.one(t, key))
	require.NoError(t, err)
	return time.Duration(n) * time.Second
}

// hasNotifyReload tells whether this systemd knows Type=notify-reload, which came with 253.
func hasNotifyReload(t *testing.T) bool {
	t.Helper()
	text, err := exec.Command(needs(t, "systemd-analyze"), "--version").Output()
	require.NoError(t, err)
	version, err := strconv.Atoi(strings.Fields(string(text))[1])
	require.NoError(t, err, "%s", text)
	return version >= 253
}

// verified are the faults that systemd-analyze finds in our units after changes to
// them, a line each.
func verified(t *testing.T, changes ...string) []string {
	t.Helper()
	dir := tempDir(t)
	changes = append(changes, installedStarter, ours, installedServer, hello)
	files := []string{"app.service", "app.socket", "app-standalone.service"}
	args := []string{"verify", "--man=no"}
	for _, name := range files {
		args = append(args, filepath.Join(dir, name))
	}
	if hasNotifyReload(t) {
		files = append(files, "app.service.d/notify-reload.conf")
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(changes...).Replace(deployed(t, "systemd/"+name))), 0o644))
	}
	text, err := exec.Command(needs(t, "systemd-analyze"), args...).CombinedOutput()
	var faults []string
	for line := range strings.Lines(string(text)) {
		// It also looks at units of the machine that ours depend on.
		if strings.Contains(line, dir) || strings.HasPrefix(line, "app") {
			faults = append(faults, line)
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(faults) == 0 {
		faults = append(faults, fmt.Sprintf("%v: %s", err, text))
	} else if exit == nil {
		require.NoError(t, err)
	}
	return faults
}

func TestUnitsAreVerified(t *testing.T) {
	t.Parallel()
	assert.Empty(t, verified(t))
}

// TestUnitsAreVerifiedIndeed: verified finds what is wrong with a unit.
func TestUnitsAreVerifiedIndeed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ was, is string }{
		{"KillMode=mixed", "KilMode=mixed"},
		{"KillMode=mixed", "KillMode=mixd"},
		{"Type=notify\n", "Type=notified\n"},
		{"WatchdogSec=30", "WatchdogSec=thirty"},
		{installedStarter, "/no/such/start_server"},
		{"ListenStream=8080", "ListenStream=nowhere"},
		{"SystemCallFilter=@system-service", "SystemCallFilter=@no-such-set"},
		{"[Service]", "[Servce]"},
	} {
		assert.NotEmpty(t, verified(t, c.was, c.is), "%s made %s", c.was, c.is)
	}
}

func TestUnitsGiveEnoughTime(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"app.service", "app-standalone.service"} {
		u := parseUnit(t, name)
		start, reload := u.command(t, "ExecStart"), u.command(t, "ExecReload")
		assert.GreaterOrEqual(t, u.seconds(t, "TimeoutStopSec"), stopTakes(t, start)+slack, name)
		assert.GreaterOrEqual(t, u.seconds(t, "TimeoutStartSec"), seconds(t, reload, "timeout")+slack, name)
		assert.GreaterOrEqual(t, seconds(t, reload, "timeout"), startTakes(t, start), name)
		assert.Equal(t, valueOf(start, "control"), valueOf(reload, "control"), name)
		assert.Equal(t, "/run/"+u.one(t, "RuntimeDirectory"), filepath.Dir(valueOf(start, "control")), name)
	}
	socket := parseUnit(t, "app.socket")
	assert.Equal(t, socket.one(t, "FileDescriptorName"), valueOf(parseUnit(t, "app.service").command(t, "ExecStart"), "inherit"))
}

// confined is a command with the privileges that a unit allows, as far as
// setpriv(1) can do that.
func (u unit) confined(t *testing.T, command ...string) []string {
	t.Helper()
	bounds := "-all"
	for _, capability := range strings.Fields(u.one(t, "CapabilityBoundingSet")) {
		bounds += ",+" + strings.ToLower(strings.TrimPrefix(capability, "CAP_"))
	}
	args := []string{needs(t, "setpriv"), "--bounding-set=" + bounds, "--inh-caps=-all"}
	if len(u["User"]) > 0 {
		args = append(args, "--reuid=65534", "--regid=65534", "--clear-groups")
	}
	require.Equal(t, "yes", u.one(t, "NoNewPrivileges"))
	return append(append(args, "--no-new-privs"), command...)
}

// servedByUnit waits until the unit's server is up at addr, and then does to it
// what systemctl does: reload and stop, with a crash between them.
func servedByUnit(t *testing.T, d *daemon, u unit, addr string, replaced map[string]string) {
	t.Helper()
	d.answers(1, "tcp", addr)
	d.sees(1, `^starting new worker \d+`)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.worker(1)))
	require.NoError(t, err)
	assert.Regexp(t, `\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n`, string(status))
	assert.Regexp(t, `\nCapEff:\t0+\n`, string(status))

	reload := u.confined(t, append([]string{d.file("path") + "start_server"}, in(t, u.command(t, "ExecReload"), map[string]string{"--control": replaced["--control"]})...)...)
	code, printed := command(t, d.dir, reload[0], reload[1:]...)
	assert.Zero(t, code, printed)
	assert.Contains(t, printed, "generation 2 is live")
	d.answers(2, "tcp", addr)
	isGone(t, d.worker(1))

	require.NoError(t, syscall.Kill(d.worker(2), syscall.SIGKILL))
	d.answers(3, "tcp", addr)
	d.stop() // KillMode=mixed
	d.runs()
	assert.NoFileExists(t, replaced["--control"])
}

// unitDir is a directory in which the user nobody finds the programs and can make files.
func unitDir(t *testing.T) string {
	t.Helper()
	root(t)
	dir := tempDir(t)
	// We do not copy them ourselves: a process that is forked meanwhile would have
	// the files open for writing, and no process could execute them.
	text, err := exec.Command("cp", ours, hello, dir).CombinedOutput()
	require.NoError(t, err, string(text))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "path"), []byte(dir+"/"), 0o644))
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func TestStandaloneUnit(t *testing.T) {
	t.Parallel()
	dir := unitDir(t)
	u := parseUnit(t, "app-standalone.service")
	addr := "127.0.0.1:" + lowPort(t)
	replaced := map[string]string{
		"--port": addr, "--user": "nobody", "--control": filepath.Join(dir, "control"), installedServer: filepath.Join(dir, "hello"),
	}
	args := u.confined(t, append([]string{filepath.Join(dir, "start_server")}, in(t, u.command(t, "ExecStart"), replaced)...)...)
	d := startIn(t, dir, nil, args[0], args[1:]...)
	servedByUnit(t, d, u, addr, replaced)
}

func TestActivatedUnit(t *testing.T) {
	t.Parallel()
	dir := unitDir(t)
	require.NoError(t, os.Chown(dir, 65534, 65534)) // as RuntimeDirectory= is
	u := parseUnit(t, "app.service")
	addr := "127.0.0.1:" + freePort(t)
	replaced := map[string]string{"--control": filepath.Join(dir, "control"), installedServer: filepath.Join(dir, "hello")}
	args := u.confined(t, append([]string{filepath.Join(dir, "start_server")}, in(t, u.command(t, "ExecStart"), replaced)...)...)
	name := parseUnit(t, "app.socket").one(t, "FileDescriptorName")
	d := startIn(t, dir, nil, needs(t, "systemd-socket-activate"), append([]string{"--listen=" + addr, "--fdname=" + name}, args...)...)
	servedByUnit(t, d, u, addr, replaced)
}

// --- Kubernetes

// manifest is the objects of the manifest, by their kind.
func manifest(t *testing.T) map[string]any {
	t.Helper()
	objects := map[string]any{}
	documents := yaml.NewDecoder(strings.NewReader(deployed(t, "kubernetes/app.yaml")))
	for {
		var object map[string]any
		err := documents.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		require.NoError(t, err)
		objects[object["kind"].(string)] = object
	}
}

// dig is what stands at a path of names and places in an object, nil if nothing.
func dig(object any, path ...any) any {
	for _, step := range path {
		switch at := object.(type) {
		case map[string]any:
			object = at[step.(string)]
		case []any:
			object = at[step.(int)]
		default:
			return nil
		}
	}
	return object
}

// secondsAt is a number of seconds in an object.
func secondsAt(t *testing.T, object any, path ...any) time.Duration {
	t.Helper()
	n, ok := dig(object, path...).(int)
	require.True(t, ok, "%v is %v", path, dig(object, path...))
	return time.Duration(n) * time.Second
}

// pod is the manifest's pod, its only container, and that container's arguments.
func pod(t *testing.T) (spec, container any, args []string) {
	t.Helper()
	spec = dig(manifest(t)["Deployment"], "spec", "template", "spec")
	require.Len(t, dig(spec, "containers"), 1)
	container = dig(spec, "containers", 0)
	require.Equal(t, []any{"/start_server"}, dig(container, "command"))
	for _, arg := range dig(container, "args").([]any) {
		args = append(args, arg.(string))
	}
	return spec, container, args
}

func TestPodGivesEnoughTime(t *testing.T) {
	t.Parallel()
	spec, container, args := pod(t)
	grace := secondsAt(t, spec, "terminationGracePeriodSeconds")
	assert.GreaterOrEqual(t, grace, stopTakes(t, args)+slack)
	assert.NotZero(t, seconds(t, args, "stop-delay"), "TERM comes before the endpoint is removed everywhere")
	assert.Nil(t, dig(container, "lifecycle"), "it would take its time out of the grace period, too")

	fails := func(probe string) time.Duration {
		require.NotNil(t, dig(container, probe, "httpGet"), "%s: the port takes connections without a worker", probe)
		assert.Less(t, secondsAt(t, container, probe, "timeoutSeconds"), grace)
		return secondsAt(t, container, probe, "periodSeconds") * time.Duration(dig(container, probe, "failureThreshold").(int))
	}
	assert.Greater(t, fails("startupProbe"), startTakes(t, args), "a start that fails ends by itself, which says why")
	assert.Greater(t, fails("livenessProbe"), fails("readinessProbe"), "no traffic, before it is killed")
	assert.Greater(t, fails("livenessProbe"), startTakes(t, args), "start_server replaces its workers by itself")
}

func TestManifestFitsTogether(t *testing.T) {
	t.Parallel()
	objects := manifest(t)
	spec, container, args := pod(t)
	labels := dig(objects["Deployment"], "spec", "template", "metadata", "labels")
	require.NotEmpty(t, labels)
	for _, selector := range []any{
		dig(objects["Deployment"], "spec", "selector", "matchLabels"),
		dig(objects["Service"], "spec", "selector"),
		dig(objects["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
	} {
		assert.Equal(t, labels, selector)
	}
	assert.Equal(t, valueOf(args, "port"), fmt.Sprint(dig(container, "ports", 0, "containerPort")))
	name := dig(container, "ports", 0, "name")
	assert.Equal(t, name, dig(objects["Service"], "spec", "ports", 0, "targetPort"))
	for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
		assert.Equal(t, name, dig(container, probe, "httpGet", "port"))
	}
	assert.Equal(t, filepath.Dir(valueOf(args, "control")), dig(container, "volumeMounts", 0, "mountPath"), "the rest cannot be written to")
	assert.Equal(t, dig(spec, "volumes", 0, "name"), dig(container, "volumeMounts", 0, "name"))
}

// The sidecar reads the control socket of the server, and answers requests.
func TestMonitorInThePod(t *testing.T) {
	t.Parallel()
	var patch map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(deployed(t, "kubernetes/monitor.yaml")), &patch))
	template := dig(patch, "spec", "template")
	sidecar := dig(template, "spec", "initContainers", 0)
	spec, server, args := pod(t)
	assert.Equal(t, "Always", dig(sidecar, "restartPolicy"), "or the server would wait for its end")
	assert.Equal(t, dig(server, "securityContext"), dig(sidecar, "securityContext"))
	assert.Equal(t, dig(server, "volumeMounts", 0, "mountPath"), dig(sidecar, "volumeMounts", 0, "mountPath"))
	assert.Equal(t, dig(spec, "volumes", 0, "name"), dig(sidecar, "volumeMounts", 0, "name"))
	port := fmt.Sprint(dig(sidecar, "ports", 0, "containerPort"))
	assert.Equal(t, port, dig(template, "metadata", "annotations", "prometheus.io/port"))
	assert.Equal(t, dig(sidecar, "ports", 0, "name"), dig(sidecar, "livenessProbe", "httpGet", "port"))
	own := dig(sidecar, "args").([]any)
	require.Equal(t, []any{"--listen=0.0.0.0:" + port, valueOf(args, "control")}, own)
	require.Equal(t, []any{"/start_server_monitor"}, dig(sidecar, "command"))

	d, _ := startPod(t, nil)
	addr := "127.0.0.1:" + freePort(t)
	m := startIn(t, d.dir, nil, filepath.Join(filepath.Dir(ours), "start_server_monitor"), "--listen="+addr, filepath.Join(d.dir, "ctl"))
	eventually(t, func() bool {
		response, err := http.Get("http://" + addr + dig(sidecar, "livenessProbe", "httpGet", "path").(string))
		if err != nil {
			return false
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return err == nil && regexp.MustCompile(`(?m)^start_server_workers\{.*state="live".*\} 2$`).Match(text)
	}, m.out.String)
	m.stop()
	d.stop()
}

// startPod runs the manifest's command line, with programs and paths of this
// machine, and other values (see in).
func startPod(t *testing.T, others map[string]string) (d *daemon, addr string) {
	t.Helper()
	_, _, args := pod(t)
	dir := tempDir(t)
	addr = "127.0.0.1:" + freePort(t)
	values := map[string]string{"--port": addr, "--control": filepath.Join(dir, "ctl"), "/hello": hello}
	maps.Copy(values, others)
	return startIn(t, dir, nil, ours, in(t, args, values)...), addr
}

func TestPodServesOnAfterTERM(t *testing.T) {
	t.Parallel()
	d, addr := startPod(t, nil)
	d.answers(1, "tcp", addr)
	l := startLoad(t, "tcp", addr, 2, 2)
	l.goesOn(100)
	d.signal(syscall.SIGTERM)
	d.sees(1, `^received TERM, `)
	l.goesOn(1000)
	d.answers(1, "tcp", addr) // the readiness probe goes on asking, too
	l.stop()
	d.signal(syscall.SIGINT) // which ends the delay
	assert.Zero(t, d.exit())
	d.runs()
}

func TestPodWhoseStartFailsEnds(t *testing.T) {
	t.Parallel()
	d, _ := startPod(t, map[string]string{"/hello": "false"})
	assert.Equal(t, 1, d.exit())
	d.sees(1, `^start_server: .*exit code 1`)
}
