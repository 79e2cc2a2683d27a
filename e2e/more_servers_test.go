//go:build linux && extra

package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var quitTwice = []string{"--signal-on-hup=QUIT", "--signal-on-term=QUIT"}

// TestMoreServers tests servers that boot in a few hundred milliseconds, and programs that
// show what one's own server has to do.
func TestMoreServers(t *testing.T) {
	t.Parallel()
	all := map[string]func(*testing.T){
		"node":                restartNode,
		"uvicorn":             restartUvicorn,
		"uvicorn workers":     restartUvicornWorkers,
		"hypercorn":           restartHypercorn,
		"daphne":              restartDaphne,
		"aiohttp":             restartAiohttp,
		"waitress":            restartWaitress,
		"Mojolicious prefork": restartMojoPrefork,
		"hypnotoad":           restartHypnotoad,
		"Mojolicious daemon":  restartMojoDaemon,
		"lighttpd":            restartLighttpd,
		"caddy":               restartCaddy,
		"listenfd":            restartListenFD,
		"UDP in Go":           restartDatagramsInGo,
		"UDP in Python":       restartDatagramsInPython,
		"Feersum":             feersumCannot,
	}
	maps.Copy(all, extraServers)
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// extraServers are more of them.
var extraServers = map[string]func(*testing.T){}

func restartNode(t *testing.T) {
	node, addr := needs(t, "node"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{brief}, node, inTestdata("node_server.js"))
	d.losesNothing("tcp", addr, 4, 4)
}

// debianPython is the interpreter that finds what Debian packages: the one in PATH may be
// another.
const debianPython = "/usr/bin/python3"

// needsPython is needs for a Python module.
func needsPython(t *testing.T, module string) string {
	t.Helper()
	python := needs(t, debianPython)
	if text, err := exec.Command(python, "-c", "import "+module).CombinedOutput(); err != nil {
		require.Empty(t, os.Getenv("CI"), "the Python module %s is not installed, and in CI nothing is skipped: %s", module, text)
		t.Skipf("the Python module %s is not installed", module)
	}
	return python
}

// uvicorn, hypercorn and daphne cut connections that they have accepted if they have not
// read the request yet: at most one of each client.
func restartUvicorn(t *testing.T) {
	python, addr := needsPython(t, "uvicorn"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{"--expand", brief},
		python, "-m", "uvicorn", "--no-access-log", "--app-dir="+inTestdata(""), "--fd={fd:0}", "asgi:app")
	d.losesAtMost(restarts*8, "tcp", addr, 4, 4)
}

func restartUvicornWorkers(t *testing.T) {
	python, addr := needsPython(t, "uvicorn"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{"--expand", booted},
		python, "-m", "uvicorn", "--no-access-log", "--app-dir="+inTestdata(""), "--workers=2", "--fd={fd:0}", "asgi:app")
	d.losesAtMost(restarts*8, "tcp", addr, 4, 4)
}

func restartHypercorn(t *testing.T) {
	python, addr := needsPython(t, "hypercorn"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, map[string]string{"asgi.py": testdata(t, "asgi.py")}, []string{"--expand", brief},
		python, "-m", "hypercorn", "--bind", "fd://{fd:0}", "asgi:app")
	d.losesAtMost(restarts*8, "tcp", addr, 4, 4)
}

func restartDaphne(t *testing.T) {
	python, addr := needsPython(t, "daphne"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, map[string]string{"asgi.py": testdata(t, "asgi.py")}, []string{"--expand", brief},
		python, "-m", "daphne", "--verbosity=0", "--fd={fd:0}", "asgi:app")
	d.losesAtMost(restarts*4, "tcp", addr, 4, 0)
}

func restartAiohttp(t *testing.T) {
	python, addr := needsPython(t, "aiohttp"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{brief}, python, inTestdata("aiohttp_server.py"))
	d.losesNothing("tcp", addr, 4, 4)
}

// waitress has no graceful stop. At INT, but not at TERM, its threads finish what they are
// doing; the rest is cut.
func restartWaitress(t *testing.T) {
	python, addr := needsPython(t, "waitress"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{brief, "--signal-on-hup=INT", "--signal-on-term=INT"}, python, inTestdata("waitress_server.py"))
	d.losesAtMost(restarts*4, "tcp", addr, 4, 0)
}

// preforkOfItsOwn runs Mojolicious's prefork with a pid file of its own, which is named
// after its pid.
const preforkOfItsOwn = `exec perl "$0" prefork -m production -w 2 -P "prefork-$$.pid" -l "http://127.0.0.1?fd=${SERVER_STARTER_PORT##*=}"`

func restartMojoPrefork(t *testing.T) {
	needsPerl(t, "Mojolicious")
	addr := "127.0.0.1:" + freePort(t)
	d := launch(t, addr, nil, append([]string{brief}, quitTwice...), "sh", "-c", preforkOfItsOwn, inTestdata("mojo.pl"))
	d.losesNothing("tcp", addr, 4, 0)
}

func restartHypnotoad(t *testing.T) {
	needsPerl(t, "Mojolicious")
	hypnotoad, addr := needs(t, "hypnotoad"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, append([]string{brief}, quitTwice...), hypnotoad, "-f", inTestdata("mojo.pl"))
	d.losesNothing("tcp", addr, 4, 0)
}

func restartMojoDaemon(t *testing.T) {
	needsPerl(t, "Mojolicious")
	addr := "127.0.0.1:" + freePort(t)
	d := launch(t, addr, nil, append([]string{"--expand", brief}, quitTwice...),
		"perl", inTestdata("mojo.pl"), "daemon", "-m", "production", "-l", "http://127.0.0.1?fd={fd:0}")
	d.losesNothing("tcp", addr, 4, 4)
}

func restartLighttpd(t *testing.T) {
	lighttpd, port := needs(t, "/usr/sbin/lighttpd"), freePort(t)
	addr := "127.0.0.1:" + port
	dir, conf := tempDir(t), strings.ReplaceAll(testdata(t, "lighttpd.conf"), "@PORT@", port)
	deploy := deployInto(t, dir, func(generation string) map[string]string {
		return map[string]string{"lighttpd.conf": conf, "index.txt": "hello from generation " + generation + "\n"}
	})
	deploy(1)
	d := launch(t, addr, nil, []string{"--export=systemd", "--dir=" + filepath.Join(dir, "current"), brief, "--signal-on-hup=INT", "--signal-on-term=INT"},
		lighttpd, "-D", "-f", "lighttpd.conf")
	d.deploy = deploy
	d.losesNothing("tcp", addr, 4, 4)
}

// Before 2.7 caddy knows no fd, and it cannot bind the port itself: start_server has it.
func restartCaddy(t *testing.T) {
	caddy, port := needs(t, "caddy"), freePort(t)
	addr := "127.0.0.1:" + port
	conf := map[string]string{"Caddyfile": testdata(t, "Caddyfile")}
	options := []string{"--expand", brief, "--attempts=1"}
	program := []string{"env", "LISTEN=fd/{fd:0}", caddy, "run", "--config", "Caddyfile"}
	text, err := exec.Command(caddy, "version").Output()
	require.NoError(t, err)
	var minor int
	_, err = fmt.Sscanf(strings.TrimPrefix(string(text), "v"), "2.%d.", &minor)
	require.NoError(t, err, "%s", text)
	d := launch(t, addr, conf, options, program...)
	if minor < 7 {
		d.sees(1, `^Error: .*fd`)
		require.Equal(t, 1, d.exit())
		return
	}
	d.losesNothing("tcp", addr, 4, 4)
}

// This program in C reads the same variables as Rust's crate listenfd.
func restartListenFD(t *testing.T) {
	program, addr := filepath.Join(tempDir(t), "listenfd"), "127.0.0.1:"+freePort(t)
	text, err := exec.Command(needs(t, "gcc"), "-Wall", "-Werror", "-O", "-o", program, inTestdata("listenfd.c")).CombinedOutput()
	require.NoError(t, err, "%s", text)
	d := launch(t, addr, nil, []string{"--export=systemd", "--interval=0.3"}, program)
	d.losesNothing("tcp", addr, 4, 0)
}

func restartDatagramsInGo(t *testing.T) {
	program, port := filepath.Join(tempDir(t), "datagrams"), freePort(t)
	build := exec.Command("go", "build", "-o", program, "./e2e/testdata/datagrams")
	build.Dir = source
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	d := launch(t, "127.0.0.1:u"+port, nil, []string{"--interval=0.3"}, program)
	d.losesNothing(datagrams, "127.0.0.1:"+port, 4, 4)
}

func restartDatagramsInPython(t *testing.T) {
	port := freePort(t)
	d := launch(t, "127.0.0.1:u"+port, nil, []string{"--interval=0.3"}, python(t), inTestdata("datagrams.py"))
	d.losesNothing(datagrams, "127.0.0.1:"+port, 4, 4)
}

// Feersum binds its address itself, but start_server has it.
func feersumCannot(t *testing.T) {
	feersum, addr := needs(t, "feersum"), "127.0.0.1:"+freePort(t)
	d := launch(t, addr, nil, []string{"--interval=5", "--attempts=1"}, feersum, "--listen="+addr, app())
	d.sees(1, `^couldn't bind to socket: Address already in use`)
	assert.Equal(t, 1, d.exit())
}
