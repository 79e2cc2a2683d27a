package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jessevdk/go-flags"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
)

// file returns the path of a file with that content.
func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.ini")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

const service = `
; the service
port = web@8080,backlog=5
port=u53

workers = 4
rolling = true
kill-group = false
interval = 0.5
max-age = 3600+-10%
log-file = "| cat =x "
daemonize = ready
   # with its arguments
program = ./server
argument = --verbose
argument =
argument = a b; c
argument = "\ttab\xff"
`

func TestOptionsFromAFile(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"--config=" + file(t, service)})
	require.NoError(t, err)
	want, err := parse([]string{
		"--port=web@8080,backlog=5", "--port=u53", "--workers=4", "--rolling", "--interval=0.5", "--max-age=3600+-10%", "--log-file=| cat =x ", "--daemonize=ready",
		"--", "./server", "--verbose", "", "a b; c", "\ttab\xff",
	})
	require.NoError(t, err)
	assert.Equal(t, want.inForce(), o.inForce())
	assert.Equal(t, want.set, o.set, "and their values are read")
	assert.Nil(t, o.parser, "what only parsing needs is not kept")
	assert.Nil(t, o.file.parser)
}

// A file is read as go-flags reads INI.
func TestFileIsINI(t *testing.T) {
	t.Parallel()
	var lines []string
	for line := range strings.Lines(service) {
		if !strings.HasPrefix(line, "program") && !strings.HasPrefix(line, "argument") {
			lines = append(lines, line)
		}
	}
	content := strings.Join(lines, "")
	its := &options{}
	parser, err := cmdline.Parser("start_server", usage, its)
	require.NoError(t, err)
	require.NoError(t, flags.NewIniParser(parser).Parse(strings.NewReader(content)))
	ours, err := parse([]string{"--config=" + file(t, content+"program = x\n")})
	require.NoError(t, err)
	its.command = []string{"x"}
	assert.Equal(t, its.inForce(), ours.inForce())
}

func TestCommandLineGoesBeforeTheFile(t *testing.T) {
	t.Parallel()
	path := file(t, service)
	o, err := parse([]string{"--port=81", "--config", path, "--rolling=false", "--kill-group=true", "--interval=2", "--", "./other", "x"})
	require.NoError(t, err)
	assert.Equal(t, []string{
		"--port=81", "--workers=4", "--max-age=3600+-10%", "--kill-group", "--interval=2", "--log-file=| cat =x ", "--daemonize=ready", "--", "./other", "x",
	}, o.inForce())
}

func TestFaultsOfAFileNameItsLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"prot = 80":               "prot: no such option (did you mean port?)",
		"nosuchthing = 80":        "nosuchthing: no such option",
		"Port = 80":               "Port: no such option (did you mean port?)",
		"[Sockets]":               "[Sockets]: there are no sections in a file of options",
		"= 7":                     `"": no such option`,
		"--port = 80":             "--port: in a file options have no dashes, as in port = 8080",
		"rolling":                 "rolling: it is a switch, as in rolling = true, or false",
		"rolling = yes":           "rolling: it is a switch, as in rolling = true, or false",
		"port":                    "port: its value is missing, as in port = VALUE",
		"daemonize =":             "daemonize: its value is missing, as in daemonize = VALUE",
		"argument":                "argument: its value is missing, as in argument = VALUE",
		"program =":               "program: its value is missing, as in program = VALUE",
		"argument = x":            "argument: there is no line program = PATH",
		"restart = true":          "restart: it is for the command line only",
		"print-config = true":     "print-config: it is for the command line only",
		"config = other":          "config: it is for the command line only",
		`dir = "x`:                `dir: a value that begins with a quote is one in Go's quotes, and "x is not`,
		"interval = x":            `--interval: "x" is not a duration such as 2, 0.5 or 300ms`,
		"port = 70000":            `port "70000": "70000" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		"log-format = x":          `log format "x" is not plain, time or json`,
		"surge = 2":               "--surge needs --rolling",
		"canary = 5%:30s":         "--canary: it needs --blue-green",
		"prefix-output\x1b = yes": `"prefix-output\x1b": no such option (did you mean prefix-output?)`,
	} {
		path := file(t, "port = 80\r\n; a comment\r\n"+line+"\r\n")
		code, stdout, stderr := drive("--config="+path, "--", "x")
		require.Equal(t, exitUsage, code, line)
		assert.Equal(t, "start_server: "+path+":3: "+want+"\n", stderr)
		assert.Empty(t, stdout)
	}
}

func TestLineThatMayBeThereOnce(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{"workers": "2", "rolling": "true", "program": "x", "daemonize": "ready"} {
		path := file(t, name+" = "+value+"\nport = 80\nport = 81\nargument = y\nargument = y\n"+name+" = "+value+"\n")
		_, _, stderr := drive("--config=" + path)
		assert.Equal(t, "start_server: "+path+":6: "+name+": it is given in line 1 already, and may be given only once\n", stderr)
	}
}

func TestByteOrderMarkOfAFileIsNoPartOfIt(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"port = 80", "; a comment"} {
		o, err := parse([]string{"--config=" + file(t, "\ufeff"+first+"\r\nprogram = x\r\n")})
		require.NoError(t, err)
		assert.Equal(t, []string{"x"}, o.command)
	}
}

// A file that is no file of options, or that repeats one fault a hundred thousand times, is refused
// at once, in a few lines that fit a terminal.
func TestFaultsOfAFileAreNotWithoutEnd(t *testing.T) {
	t.Parallel()
	binary := make([]byte, maxFile)
	_, _ = rand.NewChaCha8([32]byte{}).Read(binary)
	for _, content := range []string{
		string(binary), strings.Repeat("a\n", maxFile/2), strings.Repeat("x", maxFile),
		strings.Repeat("port=x\n", maxFile/7) + "program=x", `dir = "` + strings.Repeat("x", maxFile-100),
	} {
		began := time.Now()
		code, _, stderr := drive("--config="+file(t, content), "--", "x")
		assert.Equal(t, exitUsage, code)
		assert.LessOrEqual(t, strings.Count(stderr, "\n"), maxFaults+1)
		assert.Less(t, len(stderr), 20_000)
		assert.Less(t, time.Since(began), 10*time.Second)
	}
}

func TestOneFileOnly(t *testing.T) {
	t.Parallel()
	code, _, stderr := drive("--config=a.ini", "--config", "b.ini", "--", "x")
	assert.Equal(t, exitUsage, code)
	assert.Equal(t, "start_server: --config=a.ini --config=b.ini: there can be one file of options only\n", stderr)
}

// Each fault in the text is reported, and each fault in the values.
func TestEveryFaultOfAFileIsALine(t *testing.T) {
	t.Parallel()
	path := file(t, "a = 1\nport = 80\nb = 2\n")
	_, _, stderr := drive("--config=" + path)
	assert.Equal(t, "start_server: "+path+":1: a: no such option\nstart_server: "+path+":3: b: no such option\n", stderr)
	path = file(t, "port = 80\nport = x,81\ninterval = -1\nworkers = 10001\nprogram = x\n")
	_, _, stderr = drive("--config="+path, "--backlog=0", "--workers=0")
	lines := strings.Split(stderr, "\n")
	require.Len(t, lines, 5, stderr)
	assert.Equal(t, "start_server: "+path+`:3: --interval: duration "-1" is negative`, lines[0])
	assert.Equal(t, `start_server: --backlog: "0" is not a number from 1 to 2147483647`, lines[1], "it is on the command line")
	assert.Equal(t, `start_server: --workers: "0" is not a number from 1 to 10000`, lines[2], "it is there, too, and goes before the file")
	assert.Contains(t, lines[3], "start_server: "+path+`:2: port "x"`, "and not line 1")
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file or directory",
		dir:                        "is a directory",
		os.DevNull:                 "not a regular file",
		file(t, strings.Repeat("; a comment\n", 1<<17)): "has more than 1048576 bytes",
	} {
		code, _, stderr := drive("--config="+path, "--", "x")
		assert.Equal(t, exitUsage, code)
		assert.Regexp(t, `^start_server: --config: .*`+want+".*\n$", stderr)
	}
}

// What --print-config prints is a file that does the same.
func TestPrintedOptionsAreAFile(t *testing.T) {
	t.Parallel()
	args := []string{
		"--port=web@127.0.0.1:8080", "--port=8081", "--path=a;b, c", "--rolling", "--workers=3", "--dir= ", "--log-file=\"x", "--limit=nofile=1:2",
		"--", "a\nb", "", " c ", "\"d\"", "\xff", "port = 1", "; e", "é…",
	}
	want, err := parse(args)
	require.NoError(t, err)
	var printed strings.Builder
	require.NoError(t, writeFile(&printed, want.inForce()))
	again, err := parse([]string{"--config=" + file(t, printed.String())})
	require.NoError(t, err, printed.String())
	assert.Equal(t, want.inForce(), again.inForce())
	assert.Equal(t, want.command, again.command)

	code, stdout, stderr := drive("--print-config", "--config="+file(t, "port = 8080\nprogram = /bin/true\nargument = x\n"), "--workers=2")
	assert.Zero(t, code)
	assert.Empty(t, stderr)
	assert.Regexp(t, "(?m)^port = 8080$", stdout)
	assert.Regexp(t, "(?m)^workers = 2$", stdout)
	assert.Regexp(t, "(?m)^; interval: 1; at least 0.1$", stdout)
	assert.Regexp(t, "\nprogram = /bin/true\nargument = x\n$", stdout)
	assert.NotContains(t, stdout, "print-config")
}

func TestPrintConfigChecks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"--print-config"}, "--print-config needs the program, or --control"},
		{[]string{"--print-config", "--status", "--control=x"}, "--print-config and --status exclude each other"},
		{[]string{"--print-config", "--port=x", "--", "y"}, `port "x"`},
		{[]string{"--print-config", "--interval=x", "--", "y"}, "--interval: "},
		{[]string{"--print-config", "--config=" + file(t, "control = /nowhere/ctl\n")}, "app.ini has no line program = PATH; to see the options"},
	} {
		code, stdout, stderr := drive(row.args...)
		assert.Equal(t, exitUsage, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, row.says)
	}
}

func TestVariablesAreInForce(t *testing.T) {
	t.Setenv("KILL_OLD_DELAY", "7")
	t.Setenv("ENABLE_AUTO_RESTART", "1")
	t.Setenv("AUTO_RESTART_INTERVAL", "99")
	t.Setenv("ENVDIR", "/etc/env")
	o, err := parse([]string{"--kill-old-delay=3", "--", "x"})
	require.NoError(t, err)
	assert.Equal(t, []string{"--envdir=/etc/env", "--kill-old-delay=3", "--enable-auto-restart", "--auto-restart-interval=99", "--", "x"}, o.inForce())
	t.Setenv("ENABLE_AUTO_RESTART", "0")
	assert.NotContains(t, o.inForce(), "--enable-auto-restart")
	o, err = parse([]string{"--drop-env=ENVDIR", "--drop-env=AUTO_RESTART_INTERVAL", "--", "x"})
	require.NoError(t, err)
	assert.Equal(t, []string{"--drop-env=ENVDIR", "--drop-env=AUTO_RESTART_INTERVAL", "--kill-old-delay=7", "--", "x"}, o.inForce(), "those that are dropped are not")
}

// Variables are the same after an upgrade: an option that one of them sets has not changed.
func TestVariablesDoNotChange(t *testing.T) {
	t.Setenv("KILL_OLD_DELAY", "7")
	t.Setenv("ENABLE_AUTO_RESTART", "1")
	path := file(t, "program = x\n")
	o, err := parse([]string{"--config=" + path})
	require.NoError(t, err)
	assert.Empty(t, o.changes(o.inForce()))
	another, err := parse([]string{"--config=" + path, "--kill-old-delay=3", "--port=80"})
	require.NoError(t, err)
	assert.Equal(t, []string{"--port is 80 now, and was not given", "--kill-old-delay is 3 now, and was 7"}, another.changes(o.inForce()))
}

// The command line that is sent to another start_server has the absolute path of the file.
func TestUpgradeSendsThePathOfTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("app.ini", []byte("control = ctl\nprogram = ./server\n"), 0o644))
	o, err := parse([]string{"--upgrade", "--config=app.ini", "--timeout=3", "--workers=2"})
	require.NoError(t, err)
	assert.Equal(t, []string{"--config=" + filepath.Join(dir, "app.ini"), "--workers=2"}, o.line)
	assert.Equal(t, "ctl", o.Control)
	o, err = parse([]string{"--upgrade", "--control=c", "prog", "--timeout=3", "--upgrade"})
	require.NoError(t, err)
	assert.Equal(t, []string{"--control=c", "--", "prog", "--timeout=3", "--upgrade"}, o.line, "arguments of the program are its own")
	_, err = parse([]string{"--upgrade", "--control=c", "--config=" + file(t, "port = 1\n")})
	assert.ErrorContains(t, err, "app.ini has no line program = PATH")
}
