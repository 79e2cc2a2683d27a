//go:build linux && extra

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() { extraReleases = append(extraReleases, moreReleases) }

// moreReleases are releases of the servers of TestMoreServers, each by its command line there.
func moreReleases(t *testing.T) map[string]release {
	inTestdata := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return testdata(t, name) }
	}
	python := func(module string) func(t *testing.T) {
		return func(t *testing.T) { t.Helper(); needsPython(t, module) }
	}
	expand := []string{"--expand"}
	program := func(module, file, broken string, options []string, words ...string) release {
		return release{needs: python(module), file: file, content: inTestdata(file), broken: broken, options: options, program: append([]string{debianPython}, words...)}
	}
	const broken = "raise Exception('broken')\n"
	mojo := func(options []string, words ...string) release {
		return release{needs: perl("Mojolicious"), file: "mojo.pl", content: inTestdata("mojo.pl"), broken: "die 'broken';", options: append(options, quitTwice...), program: words}
	}
	waitress := program("waitress", "waitress_server.py", broken, []string{"--signal-on-hup=INT", "--signal-on-term=INT"}, "waitress_server.py")
	waitress.others = map[string]string{"application.py": testdata(t, "application.py")}
	return map[string]release{
		"node":                {file: "node_server.js", content: inTestdata("node_server.js"), broken: "throw 'broken';", program: []string{"node", "node_server.js"}},
		"uvicorn":             program("uvicorn", "asgi.py", broken, expand, "-m", "uvicorn", "--fd={fd:0}", "asgi:app"),
		"hypercorn":           program("hypercorn", "asgi.py", broken, expand, "-m", "hypercorn", "--bind", "fd://{fd:0}", "asgi:app"),
		"daphne":              program("daphne", "asgi.py", broken, expand, "-m", "daphne", "--fd={fd:0}", "asgi:app"),
		"aiohttp":             program("aiohttp", "aiohttp_server.py", broken, nil, "aiohttp_server.py"),
		"lighttpd":            {file: "lighttpd.conf", content: inTestdata("lighttpd.conf"), broken: "broken\n", options: []string{"--export=systemd"}, program: []string{"/usr/sbin/lighttpd", "-D", "-f", "lighttpd.conf"}, others: map[string]string{"index.txt": "hello from generation 1\n"}},
		"UDP in Python":       {file: "datagrams.py", content: inTestdata("datagrams.py"), broken: broken, program: []string{debianPython, "datagrams.py"}, network: datagrams, port: "127.0.0.1:u@PORT@"},
		"waitress":            waitress,
		"Mojolicious prefork": mojo(nil, "sh", "-c", preforkOfItsOwn, "mojo.pl"),
		"hypnotoad":           mojo(nil, "hypnotoad", "-f", "mojo.pl"),
		"Mojolicious daemon":  mojo(expand, "perl", "mojo.pl", "daemon", "-l", "http://127.0.0.1?fd={fd:0}"),
	}
}

// With --workers the parent of uvicorn loads no application: it lives on when its
// children cannot.
func TestBrokenReleaseOfUvicornWithWorkersIsTaken(t *testing.T) {
	t.Parallel()
	python, addr := needsPython(t, "uvicorn"), "127.0.0.1:"+freePort(t)
	content := testdata(t, "asgi.py")
	d := launch(t, addr, map[string]string{"asgi.py": content}, []string{"--expand", booted},
		python, "-m", "uvicorn", "--workers=2", "--fd={fd:0}", "asgi:app")
	d.answers(1, "tcp", addr)
	d.isLive(1)

	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "asgi.py"), []byte("raise Exception('broken')\n"+content), 0o644))
	d.signal(syscall.SIGHUP)
	d.sees(1, `^new worker is now running`)
	d.sees(2, `^Exception: broken$`)
	d.isLive(2)
	d.stop()
}
