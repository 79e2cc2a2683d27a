//go:build linux

package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// release is a server that loads one file, and how that file is broken.
type release struct {
	needs   func(t *testing.T) // nil: its program alone
	file    string
	content func(t *testing.T) string
	broken  string // put before the content: then it cannot be loaded
	options []string
	program []string
	network string            // of its clients, "" for tcp
	port    string            // of start_server, "" for @ADDR@
	others  map[string]string // files that are not broken
}

// perl skips a test if a Perl module is missing.
func perl(module string) func(t *testing.T) {
	return func(t *testing.T) { t.Helper(); needsPerl(t, module) }
}

// brief is an interval for servers that do not say when they are ready. If one takes longer
// to boot, requests wait; none is lost.
const brief = "--interval=0.5"

// extraReleases are those of the extra tests, see make test-extra.
var extraReleases []func(*testing.T) map[string]release

// releases are the servers of docs/servers.md that load an application, each by the
// command line that stands there. Some begin to serve before they have loaded it, unless
// they are told otherwise.
func releases() map[string]release {
	quit := []string{"--signal-on-hup=QUIT", "--signal-on-term=QUIT"}
	missesQuit := append(slices.Clone(quit), "--kill-timeout=10", "--kill-group") // now and then, see docs/servers.md
	hup := []string{"--expand", "--ready=notify", "--signal-on-hup=HUP", "--signal-on-term=HUP"}
	psgi := func(t *testing.T) string { return readFile(t, app()) }
	inTestdata := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return testdata(t, name) }
	}
	rack, wsgi := inTestdata("config.ru"), inTestdata("application.py")
	return map[string]release{
		"Starlet":  {perl("Plack::Handler::Starlet"), "app.psgi", psgi, "die 'broken';", nil, []string{"plackup", "-E", "deployment", "-s", "Starlet", "--max-workers=2", "app.psgi"}, "", "", nil},
		"Starman":  {perl("Net::Server::SS::PreFork"), "app.psgi", psgi, "die 'broken';", missesQuit, []string{"starman", "--preload-app", "--workers=2", "app.psgi"}, "", "", nil},
		"Twiggy":   {perl("Twiggy::Server::SS"), "app.psgi", psgi, "die 'broken';", quit, []string{"twiggy", "app.psgi"}, "", "", nil},
		"unicorn":  {nil, "config.ru", rack, "raise 'broken'\n", append([]string{"--export=unicorn"}, quit...), []string{"unicorn", "-E", "none", "-c", "unicorn.rb", "config.ru"}, "", "", nil},
		"puma":     {nil, "config.ru", rack, "raise 'broken'\n", []string{"--export=puma", "--ready=notify"}, []string{"puma", "-e", "production", "-b", "tcp://@ADDR@", "config.ru"}, "", "", nil},
		"gunicorn": {nil, "application.py", wsgi, "raise Exception('broken')\n", []string{"--export=systemd", "--ready=notify"}, []string{"gunicorn", "--preload", "application:app"}, "", "", nil},
		"uWSGI":    {nil, "application.py", wsgi, "raise Exception('broken')\n", hup, []string{"uwsgi_python3", "--master", "--exit-on-reload", "--need-app", "--http-socket=fd://{fd:0}", "--wsgi-file=application.py", "--callable=app"}, "", "", nil},
	}
}

// isPatient makes it wait from now on until a new worker ends, if workers do not say that they
// are ready. With an interval, a worker that fails slowly on a busy machine would be taken.
func (d *daemon) isPatient() {
	d.t.Helper()
	if d.saysReady() {
		return
	}
	args := append([]string{"--upgrade", "--keep-workers", "--ready=notify", "--ready-timeout=300"}, d.cmd.Args[1:]...)
	code, printed := command(d.t, d.dir, ours, args...)
	require.Zero(d.t, code, printed)
}

// A release that cannot be loaded is a failed attempt, and the old one serves on.
func TestBrokenReleaseIsKeptOut(t *testing.T) {
	all := releases()
	for _, more := range extraReleases {
		maps.Copy(all, more(t))
	}
	for name, r := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r.needs != nil {
				r.needs(t)
			}
			program := append([]string{needs(t, r.program[0])}, r.program[1:]...)
			port := freePort(t)
			addr := "127.0.0.1:" + port
			here := strings.NewReplacer("@ADDR@", addr, "@PORT@", port)
			for i := range program {
				program[i] = here.Replace(program[i])
			}
			spec := here.Replace(cmp.Or(r.port, "@ADDR@"))
			network := cmp.Or(r.network, "tcp")
			content := here.Replace(r.content(t))
			files := map[string]string{r.file: content, "unicorn.rb": "preload_app true\n"}
			maps.Copy(files, r.others)
			d := launch(t, spec, files, append([]string{"--control=ctl", booted}, r.options...), program...)
			d.answers(1, network, addr)
			d.isLive(1)
			d.isPatient()

			require.NoError(t, os.WriteFile(filepath.Join(d.dir, r.file), []byte(r.broken+content), 0o644))
			d.signal(syscall.SIGHUP)
			d.sees(1, `^new worker \d+ seems to have failed to start, exit status:\d+`)
			require.NotContains(t, d.out.String(), "new worker is now running")
			d.answers(1, network, addr)
			require.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("status"))
			d.stop()
		})
	}
}
