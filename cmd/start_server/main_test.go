package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asCommand makes the test binary start_server itself.
const asCommand = "START_SERVER_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Unsetenv(asCommand)
		main()
	}
	os.Exit(m.Run())
}

// drive runs a command line that ends by itself.
func drive(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

// command is start_server in a process of its own, with no terminal.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

func TestBadOptionIsOneLineAndExitTwo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		want string
	}{
		{"", "the server program is missing"},
		{"--", "the server program is missing"},
		{"--port=70000 -- x", `port "70000": "70000" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`},
		{"--port= -- x", "--port: its value is missing"},
		{"--port -- x", `port "--": "--" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`},
		{"--port 80 --port 80 -- x", `port "80": it is asked for twice`},
		{"--path= -- x", "--path: its value is missing"},
		{"--interval=x -- x", `--interval: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--interval -1 -- x", `--interval: duration "-1" is negative`},
		{"--kill-old-delay=x -- x", `--kill-old-delay: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--kill-timeout=x -- x", `--kill-timeout: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--auto-restart-interval=x -- x", `--auto-restart-interval: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--auto-restart-interval=0 -- x", "--auto-restart-interval: 0 would restart without end"},
		{"--timeout=x --stop --pid-file=p", `--timeout: "x" is not a duration such as 2, 0.5 or 300ms`},
		{"--backlog=x -- x", `--backlog: "x" is not a number from 1 to 2147483647`},
		{"--backlog=0 -- x", `--backlog: "0" is not a number from 1 to 2147483647`},
		{"--backlog=2147483648 -- x", `--backlog: "2147483648" is not a number from 1 to 2147483647`},
		{"--restart", "--restart needs --control, or --pid-file and --status-file"},
		{"--restart --pid-file=p", "--restart needs --control, or --pid-file and --status-file"},
		{"--stop", "--stop needs --control or --pid-file"},
		{"--restart --stop", "--restart and --stop exclude each other"},
		{"--status", "--status needs --control or, without --json, --pid-file or --status-file"},
		{"--status --json --pid-file=p", "--status needs --control or, without --json, --pid-file or --status-file"},
		{"--json --restart --control=c", "--json is for --status and --events only"},
		{"--json -- x", "--json is for --status and --events only"},
		{"--events", "--events needs --control"},
		{"--events --status --control=c", "--events and --status exclude each other"},
		{"--events --timeout=5 --control=c", "--timeout cannot be combined with --watch or --events: they run until they are interrupted"},
		{"--status --watch --timeout=5 --control=c", "--timeout cannot be combined with --watch or --events: they run until they are interrupted"},
		{"--status --watch --pid-file=p --status-file=s", "--watch needs --control"},
		{"--watch --control=c", "--watch needs --status"},
		{"--events --watch --control=c", "--watch needs --status"},
		{"--watch -- x", "--watch needs --status"},
		{"--drained --restart --pid-file=p --status-file=s", "--drained needs --restart and --control"},
		{"--status --stop --control=c", "--status and --stop exclude each other"},
		{"--timeout=1 -- x", "--timeout is for --restart, --rollback, --promote, --stop, --reopen, --status, --print-config and --upgrade only"},
		{"--rolling -- x", "--rolling needs --workers"},
		{"--rolling --workers=2 --surge=3 -- x", "--surge: 3 is more than there are workers, 2"},
		{"--rolling --workers=2 --surge=0 -- x", `--surge: "0" is not a number from 1 to 10000`},
		{"--workers=2 --surge=1 -- x", "--surge needs --rolling"},
		{"--canary=5%:1 --port=0 -- x", "--canary: it needs --blue-green"},
		{"--keep-old=5 --port=0 -- x", "--keep-old: it needs --blue-green"},
		{"--blue-green --port=0 --canary=0%:1 -- x", `--canary: "0%:1" is not SHARE:TIME, as in 5%:30s, with a share from 0.01% to 99.99%`},
		{"--blue-green --port=0 --canary=5%,10%:1 -- x", `--canary: "5%" is not SHARE:TIME, as in 5%:30s, with a share from 0.01% to 99.99%`},
		{"--blue-green --port=0 --canary=5%:0 -- x", `--canary: "5%:0": 0 is no time`},
		{"--blue-green --port=0 --canary=25%:9,5%:9 -- x", `--canary: "5%:9": the share is not more than the one before it`},
		{"--blue-green --path=a -- x", "blue/green needs a TCP port: paths and UDP ports are shared by all generations"},
		{"--blue-green --port=0 --rolling --workers=2 -- x", "blue/green cannot be combined with rolling restarts: a generation takes over as a whole"},
		{"--probe=http://a/ --port=0 -- x", "--probe: it needs --ready=probe"},
		{"--ready=probe --port=a@0 -- x", "--ready: probe needs --probe"},
		{"--rollback", "--rollback needs --control"},
		{"--reopen --log-file=l", "--reopen needs --control"},
		{"--reopen --stop --control=c", "--reopen and --stop exclude each other"},
		{"--log-format=xml -- x", `log format "xml" is not plain, time or json`},
		{"--promote --restart --control=c", "--promote and --restart exclude each other"},
		{"--daemonize -- x", "--daemonize needs --log-file"},
		{"--nosuch -- x", "--nosuch: no such option; see start_server --help"},
		{"-x -- x", "-x: no such option; see start_server --help"},
		{"--prot=80 -- x", "--prot=80: no such option (did you mean --port?); see start_server --help"},
		{"--pidfile=p -- x", "--pidfile=p: no such option (did you mean --pid-file?); see start_server --help"},
		{"--ROLING -- x", "--ROLING: no such option (did you mean --rolling?); see start_server --help"},
		{"--signal-on-hpu=TERM -- x", "--signal-on-hpu=TERM: no such option (did you mean --signal-on-hup?); see start_server --help"},
		{"restart --control=c", "restart: there is no such program; did you mean --restart? See start_server --help"},
		{"--control=c restart", "restart: there is no such program; did you mean --restart? See start_server --help"},
		{"--pid-file=p stop", "stop: there is no such program; did you mean --stop? See start_server --help"},
		{"status", "status: there is no such program; did you mean --status? See start_server --help"},
		{"--interval", "--interval: its value is missing"},
		{"--s=1", "--s=1: ambiguous: --subreaper, --signal-on-hup, --signal-on-term, --signal-group, --stop-delay, --surge, --status-file, --stop, --status; see start_server --help"},
	} {
		code, stdout, stderr := drive(strings.Fields(c.args)...)
		assert.Equal(t, exitUsage, code, c.args)
		assert.Empty(t, stdout, c.args)
		assert.Equal(t, "start_server: "+c.want+"\n", stderr, c.args)
	}
}

func TestValueOfASwitchIsOneLineAndExitTwo(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"--daemonize=no", "--help=x", "--version=1"} {
		code, stdout, stderr := drive(option, "--", "x")
		assert.Equal(t, exitUsage, code)
		assert.Empty(t, stdout)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		assert.True(t, strings.HasPrefix(stderr, "start_server: "), stderr)
	}
}

func TestBadSignalIsOneLine(t *testing.T) {
	t.Parallel()
	for _, option := range []string{"--signal-on-hup", "--signal-on-term"} {
		code, _, stderr := drive(option+"=NOSUCH", "--", "x")
		assert.Equal(t, exitUsage, code)
		assert.Regexp(t, "^start_server: "+option+`: signal "NOSUCH" is not one of .* TERM.*\n$`, stderr)
		assert.Equal(t, 1, strings.Count(stderr, "\n"))
	}
}

// An empty value is a fault, such as an unset variable in --interval=$INTERVAL.
func TestEmptyValueIsNoDefault(t *testing.T) {
	t.Parallel()
	for _, option := range []string{
		"interval", "kill-old-delay", "kill-timeout", "auto-restart-interval", "backlog", "signal-on-hup", "signal-on-term",
	} {
		_, err := parse([]string{"--" + option + "=", "--", "x"})
		assert.Error(t, err, "--%s=", option)
	}
}

func TestEveryFaultIsALine(t *testing.T) {
	t.Parallel()
	code, _, stderr := drive("--interval=x", "--backlog=0", "--kill-old-delay=-1", "--restart", "--", "x")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, []string{
		`start_server: --interval: "x" is not a duration such as 2, 0.5 or 300ms`,
		`start_server: --kill-old-delay: duration "-1" is negative`,
		`start_server: --backlog: "0" is not a number from 1 to 2147483647`,
		`start_server: --restart needs --control, or --pid-file and --status-file`,
	}, strings.Split(strings.TrimSuffix(stderr, "\n"), "\n"))

	code, _, stderr = drive("--port=x,y", "--path=a;b", " ")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, 4, strings.Count(stderr, "\n"), stderr)
}

func TestFaultsOfOptionsAndOfWhatTheyAskForAreToldTogether(t *testing.T) {
	t.Parallel()
	_, _, stderr := drive("--interval=x", "--port=70000", "--", "x")
	assert.Contains(t, stderr, "--interval: ")
	assert.Contains(t, stderr, `port "70000": `)
}

func TestFaultIsOneLineWhateverIsInIt(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--port=1\n2", "x"}, {"--interval=1\n2", "x"}, {"--signal-on-hup=1\n2", "x"}, {"--backlog=1\n2", "x"}, {"--no\nsuch", "x"},
	} {
		code, _, stderr := drive(args...)
		assert.Equal(t, exitUsage, code)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
}

func TestHelpFitsATerminalAndNamesEveryOption(t *testing.T) {
	t.Parallel()
	cmd := command(t, "--help")
	out, err := cmd.Output()
	require.NoError(t, err)
	help := string(out)
	testkit.FitsATerminal(t, help)
	assert.Contains(t, help, "start_server [options] -- program [args...]")
	assert.Contains(t, help, "Exit codes: ")
	parser, err := cmdline.Parser("start_server", usage, &options{})
	require.NoError(t, err)
	for _, group := range parser.Groups() {
		for _, option := range group.Options() {
			assert.Regexp(t, `(?m)^  --`+regexp.QuoteMeta(option.LongName)+`\b`, help)
		}
	}
}

func TestHelpHasSectionsWithAnExampleEach(t *testing.T) {
	t.Parallel()
	_, help, _ := drive("--help")
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
		assert.Contains(t, help, "\n\n"+s.name+":\n  "+s.example+"\n\n  --")
		assert.NotEmpty(t, s.options)
		args := strings.Fields(s.example)
		assert.Equal(t, "start_server", args[0])
		o, err := parse(args[1:])
		assert.NoError(t, err, s.example)
		shown := slices.ContainsFunc(s.options, func(option reflect.StructField) bool {
			return o.isGiven(option.Tag.Get("long"))
		})
		assert.True(t, shown, "the example shows an option of the section: %s", s.example)
	}
	assert.Equal(t, []string{"Sockets", "Workers", "Restarts", "Readiness", "Files", "Client"}, names)
}

func TestShellCompletesExports(t *testing.T) {
	t.Parallel()
	cmd := command(t, "--export=systemd,p")
	cmd.Env = append(cmd.Env, "GO_FLAGS_COMPLETION=1")
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "--export=systemd,php-fpm\n--export=systemd,puma\n", string(out))
}

func TestHelpAndVersionComeBeforeAnyFault(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"--help", "--interval=x"}, {"--port=x", "-h"}} {
		code, stdout, stderr := drive(args...)
		assert.Equal(t, exitOK, code)
		assert.Contains(t, stdout, "Usage:")
		assert.Empty(t, stderr)
	}
	code, stdout, stderr := drive("--version", "--interval=x")
	assert.Equal(t, exitOK, code)
	assert.Equal(t, "start_server (go-server-starter) "+starter.Version+"\n", stdout)
	assert.Empty(t, stderr)
}

func TestOptionsAreTakenAsGetoptLongDoes(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"--port=80 --interval=3 --daemonize --log-file=l -- prog -x",
		"--port 80 --interval 3 --daemonize --log-file l -- prog -x",
		"-port=80 -interval 3 -daemonize -log-file l -- prog -x",
		"--PORT=80 --Interval 3 --DAEMONIZE --Log-File=l -- prog -x",
		"--po 80 --int 3 --dae --l l -- prog -x",
		"-PO=80 -INT=3 -Dae -l=l prog -x",
		"--interval 3 --log-file l --port 80 --daemonize prog -x",
	} {
		o, err := parse(strings.Fields(args))
		require.NoError(t, err, args)
		assert.Equal(t, []string{"80"}, o.Port, args)
		assert.Equal(t, 3*time.Second, o.set.Interval, args)
		assert.Equal(t, "l", o.LogFile, args)
		assert.Equal(t, "started", o.Daemonize, args)
		assert.Equal(t, []string{"prog", "-x"}, o.command, args)
	}
}

func TestAProgramNamedAsAClientCommandIsRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("PATH", dir)
	o, err := parse([]string{"status", "x"})
	require.NoError(t, err)
	assert.Equal(t, []string{"status", "x"}, o.command)
	o, err = parse([]string{"--", "stop"})
	require.NoError(t, err, "behind -- stands a program")
	assert.Equal(t, []string{"stop"}, o.command)
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for words, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "ab"}: 2, {"port", "port"}: 0, {"prot", "port"}: 1, {"pidfile", "pid-file"}: 1, {"statsu", "status"}: 1, {"kitten", "sitting"}: 3,
	} {
		assert.Equal(t, want, distance(words[0], words[1]), words)
	}
}

func TestAmbiguousBeginningNamesWhatItMayBe(t *testing.T) {
	t.Parallel()
	_, err := parse(strings.Fields("--p=80 -- x"))
	assert.ErrorContains(t, err, "ambiguous: --port, --path, --probe, --probe-timeout, --probe-interval, --pid-file")
	_, err = parse(strings.Fields("--signal-on=TERM -- x"))
	assert.ErrorContains(t, err, "ambiguous: --signal-on-hup, --signal-on-term")
}

func TestOptionsEndWhereTheProgramBegins(t *testing.T) {
	t.Parallel()
	for args, want := range map[string][]string{
		"--port 80 -- prog":            {"prog"},
		"--port 80 prog --port 81":     {"prog", "--port", "81"},
		"--port 80 prog -- --port 81":  {"prog", "--", "--port", "81"},
		"--port 80 -- prog -- --help":  {"prog", "--", "--help"},
		"--port 80 -- --prog":          {"--prog"},
		"--port 80 prog --nosuch -x":   {"prog", "--nosuch", "-x"},
		"--port 80 - --port 81":        {"-", "--port", "81"},
		"--port 80 -- -- x":            {"--", "x"},
		"--port 80 prog --version":     {"prog", "--version"},
		"--port 80 /bin/prog a=b -c=d": {"/bin/prog", "a=b", "-c=d"},
	} {
		o, err := parse(strings.Fields(args))
		require.NoError(t, err, args)
		assert.Equal(t, want, o.command, args)
		assert.Equal(t, []string{"80"}, o.Port, args)
		assert.False(t, o.Version, args)
	}
	o, err := parse([]string{"--", "prog", "", "a b"})
	require.NoError(t, err)
	assert.Equal(t, []string{"prog", "", "a b"}, o.command, "empty arguments and blanks are kept")
}

func TestValuesAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--log-file", "| cat =x", "--dir=a=b", "--port", "80=3,[::1]:u81", "--port=82", "--path", "-p", "--", "x"})
	require.NoError(t, err)
	c := o.config(io.Discard)
	assert.Equal(t, "| cat =x", c.LogFile)
	assert.Equal(t, "a=b", c.Dir)
	assert.Equal(t, []string{"80=3,[::1]:u81", "82"}, c.Ports, "a comma list is taken apart later")
	assert.Equal(t, []string{"-p"}, c.Paths, "a value may begin with a dash")
}

func TestOptionsReachTheConfig(t *testing.T) {
	t.Parallel()
	o, err := parse(strings.Fields(`--interval=0 --kill-old-delay=0.5 --kill-timeout=300ms --auto-restart-interval=1m
		--enable-auto-restart --signal-on-hup=sigquit --signal-on-term=INT --backlog=7 --dir=d --envdir=e
		--pid-file=p --status-file=s --log-file=l -- x`))
	require.NoError(t, err)
	var log bytes.Buffer
	c := o.config(&log)
	assert.Equal(t, 100*time.Millisecond, c.Interval, "0 is the shortest there is")
	assert.Equal(t, 500*time.Millisecond, *c.KillOldDelay)
	assert.Equal(t, 300*time.Millisecond, c.KillTimeout)
	assert.Equal(t, time.Minute, c.AutoRestartInterval)
	assert.True(t, c.EnableAutoRestart)
	assert.Equal(t, "quit interrupt", c.SignalOnHUP.String()+" "+c.SignalOnTERM.String())
	assert.Equal(t, 7, c.Backlog)
	assert.Equal(t, "d e p s l", strings.Join([]string{c.Dir, c.EnvDir, c.PidFile, c.StatusFile, c.LogFile}, " "))
	assert.Same(t, &log, c.Log)
	assert.True(t, c.HandleSignals)
	assert.True(t, c.RedirectOutput)

	o, err = parse([]string{"x"})
	require.NoError(t, err)
	c = o.config(&log)
	assert.Nil(t, c.KillOldDelay, "which is not the same as 0")
	assert.Zero(t, c.Interval)
	assert.False(t, c.RedirectOutput)
}

func TestClientsWithoutASuperdaemonFail(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	for _, args := range [][]string{{"--stop", "--pid-file", pidFile}, {"--restart", "--pid-file", pidFile, "--status-file", pidFile + ".s"}} {
		code, stdout, stderr := drive(args...)
		assert.Equal(t, exitError, code)
		assert.Empty(t, stdout)
		assert.Regexp(t, `^start_server: pid file ".*" does not exist: no start_server is running with it\n$`, stderr)
	}
}

func TestPortInUseIsExitOneAndToldLast(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no sockets to hand over")
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	port := busy.Addr().String()
	code, stdout, stderr := drive("--port", port, "--", "sleep", "1000")
	assert.Equal(t, exitError, code)
	assert.Empty(t, stdout)
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	require.Len(t, lines, 2, stderr)
	assert.Regexp(t, `^start_server \(pid:\d+\) starting now\.\.\.$`, lines[0])
	assert.Contains(t, lines[1], `start_server: cannot bind port "`+port+`": bind: address already in use`)
}

func TestSocketsBeyondTheWorkersLimitAreExitOne(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("a worker's limit is known on Linux only")
	}
	cmd := command(t, "--port=127.0.0.1:0=60", "--", "sleep", "1000")
	// sh sets the limit: a Go parent would restore its own limit in a child.
	cmd.Args = append([]string{"/bin/sh", "-c", `ulimit -Sn 64 && exec "$0" "$@"`, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	assert.Equal(t, exitError, exit.ExitCode())
	assert.Contains(t, stderr.String(), "1 socket reaches up to descriptor 60, and RLIMIT_NOFILE is 64: raise it (ulimit -n 1084)")
}
