//go:build linux && extra

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aServer is an unmodified server, with releases of it that are each broken in another way.
type aServer struct {
	perl      string // a module that it needs
	file      string // which it loads
	good      func(t *testing.T) string
	broken    map[string]string // the file, by how it is broken
	options   []string
	program   []string
	keepAlive int // clients that keep their connections: each takes a worker of a prefork server
}

// apartServers are servers of docs/blue-green.md, by the command lines that stand there.
func apartServers() map[string]aServer {
	quit := []string{"--signal-on-hup=QUIT", "--signal-on-term=QUIT"}
	script := func(exec string) string { return "#!/bin/sh\nexec " + exec + "\n" }
	bad := func(how string) string { return "#!/bin/sh\necho " + how + " >mood\nexec " + moods + "\n" }
	inTestdata := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return testdata(t, name) }
	}
	return map[string]aServer{
		"Starman": {"Net::Server::SS::PreFork", "app.psgi", func(t *testing.T) string { return readFile(t, app()) }, map[string]string{
			"500":  `sub { [500, ['Content-Type' => 'text/plain'], ["broken\n"]] };`,
			"hang": `sub { sleep 1000 };`,
			"deaf": `sleep 1000; sub { };`,
		}, quit, []string{"starman", "--workers=3", "app.psgi"}, 0},
		"gunicorn": {"", "application.py", inTestdata("application.py"), map[string]string{
			"500":  "def app(environ, start_response):\n    start_response('500 Oops', [('Content-Length', '7')])\n    return [b'broken\\n']\n",
			"hang": "import time\n\n\ndef app(environ, start_response):\n    time.sleep(1000)\n",
			"deaf": "import time\ntime.sleep(1000)\n",
		}, []string{"--export=systemd"}, []string{"gunicorn", "--workers=2", "application:app"}, 0},
		"puma": {"", "config.ru", inTestdata("config.ru"), map[string]string{
			"500":  "run lambda { |env| [500, {}, [\"broken\\n\"]] }\n",
			"hang": "run lambda { |env| sleep }\n",
			"deaf": "sleep\n",
		}, []string{"--export=puma"}, []string{"puma", "-e", "production", "-b", "tcp://@ADDR@", "config.ru"}, 1},
		"node": {"", "server.js", inTestdata("server.js"), map[string]string{
			"500":  "require('http').createServer((q, a) => { a.statusCode = 500; a.end('broken\\n') }).listen({ fd: 3 })\n",
			"hang": "require('http').createServer(() => {}).listen({ fd: 3 })\n",
			"deaf": "setInterval(() => {}, 1000)\n",
		}, nil, []string{"node", "server.js"}, 1},
		"hello": {"", "release", func(*testing.T) string { return script(hello) }, map[string]string{
			"500":  bad("500"),
			"hang": bad("hang"),
			"deaf": bad("deaf"),
		}, nil, []string{"./release"}, 1},
	}
}

// dying is a wrapper whose program is killed soon after its start: after it has answered its
// probes, but before it has lived for the interval. Its children may live on.
const dying = "#!/bin/sh\n(sleep 2; kill -KILL $$) >/dev/null 2>&1 &\nexec \"$@\"\n"

// Probes find what is wrong with a release, and no client does.
func TestBlueGreenKeepsBrokenReleasesFromClients(t *testing.T) {
	for name, s := range apartServers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if s.perl != "" {
				needsPerl(t, s.perl)
			}
			addr := "127.0.0.1:" + freePort(t)
			d := s.serve(t, addr)
			l := startLoad(t, "tcp", addr, 2, s.keepAlive)
			for n, row := range []struct{ how, why string }{
				{"500", `http://` + addr + `/: status 500: broken$`},
				{"hang", `http://` + addr + `/: no answer within 2s$`},
				{"deaf", `http://` + addr + `/: no answer within 2s$`},
				{"dies", `new worker \d+ of generation \d+ failed after \d\S*: killed by signal 9`},
			} {
				s.deploy(t, d.dir, row.how)
				l.goesOn(20)
				code, printed := d.ask("--restart", "--timeout=60")
				assert.Equal(t, 1, code, "%s: %s", row.how, printed)
				assert.Regexp(t, fmt.Sprintf(`(?m)^start_server: restart failed: new worker \d+ of generation %d .*`, n+2), printed, row.how)
				assert.Regexp(t, `(?m)`+row.why, printed, row.how)
			}
			l.goesOn(20)
			l.stop()
			assert.Equal(t, []int{1}, slices.Collect(maps.Keys(l.heard)), "the only generation that has answered")

			s.deploy(t, d.dir, "")
			code, printed := d.ask("--restart", "--drained", "--timeout=60")
			assert.Zero(t, code, printed)
			assert.Equal(t, map[int]int{6: 40}, flood(t, "tcp", addr, 40))
			d.stop()
			d.runs()
		})
	}
}

// deploy makes a release, good or broken in that way, the current one. Each release has a
// directory of its own: workers of the last one may still load from theirs.
func (s *aServer) deploy(t *testing.T, dir, broken string) {
	t.Helper()
	release, err := os.MkdirTemp(dir, "release")
	require.NoError(t, err)
	content, is := s.broken[broken]
	if !is {
		content = s.good(t)
	}
	run := "#!/bin/sh\nexec \"$@\"\n"
	if broken == "dies" {
		run = dying
	}
	for name, text := range map[string]string{s.file: content, "run": run} {
		require.NoError(t, os.WriteFile(filepath.Join(release, name), []byte(text), 0o755))
	}
	next := filepath.Join(dir, "next")
	require.NoError(t, os.Symlink(release, next))
	require.NoError(t, os.Rename(next, filepath.Join(dir, "current")))
}

// serve starts the server with a good release, and waits until that answers. The time that this
// takes sets how long the next ones may take: broken ones are asked for all that time.
func (s *aServer) serve(t *testing.T, addr string) *daemon {
	t.Helper()
	program := []string{"./run", s.program[0]}
	if !strings.HasPrefix(s.program[0], "./") {
		program[1] = needs(t, s.program[0])
	}
	for _, arg := range s.program[1:] {
		program = append(program, strings.ReplaceAll(arg, "@ADDR@", addr))
	}
	dir := tempDir(t)
	s.deploy(t, dir, "")
	line := func(bootTime time.Duration) []string {
		options := []string{"--port=" + addr, "--dir=current", "--blue-green", "--ready=probe", "--probe=http://" + addr + "/", "--probe-timeout=2",
			fmt.Sprintf("--ready-timeout=%.1f", bootTime.Seconds()), "--interval=3", "--attempts=1", "--kill-timeout=2", "--kill-group",
			"--control=ctl", "--status-file=status"}
		return append(append(append(options, s.options...), "--"), program...)
	}
	began := time.Now()
	d := startIn(t, dir, []string{"PYTHONDONTWRITEBYTECODE=1"}, ours, line(deadline)...)
	d.answers(1, "tcp", addr)
	took := time.Since(began)
	d.isLive(1)
	d.upgraded(append([]string{"--keep-workers"}, line(min(max(6*time.Second, 4*took), 12*time.Second))...)...)
	return d
}
