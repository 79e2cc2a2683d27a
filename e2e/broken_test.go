//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// release is a server that loads one file, and how that is broken.
type release struct {
	needs   string // a Perl module
	file    string
	content func(t *testing.T) string
	broken  string // what it begins with when it cannot be loaded
	options []string
	program []string
}

// releases are the servers of docs/servers.md that load an application, each by the
// command line that stands there: some begin to serve before they have, unless they are
// told otherwise.
func releases() map[string]release {
	quit := []string{"--signal-on-hup=QUIT", "--signal-on-term=QUIT"}
	hup := []string{"--expand", "--ready=notify", "--signal-on-hup=HUP", "--signal-on-term=HUP"}
	psgi := func(t *testing.T) string { return readFile(t, app()) }
	inTestdata := func(name string) func(t *testing.T) string {
		return func(t *testing.T) string { return testdata(t, name) }
	}
	rack, wsgi := inTestdata("config.ru"), inTestdata("application.py")
	return map[string]release{
		"Starlet":  {"Plack::Handler::Starlet", "app.psgi", psgi, "die 'broken';", nil, []string{"plackup", "-E", "deployment", "-s", "Starlet", "--max-workers=2", "app.psgi"}},
		"Starman":  {"Net::Server::SS::PreFork", "app.psgi", psgi, "die 'broken';", quit, []string{"starman", "--preload-app", "--workers=2", "app.psgi"}},
		"Twiggy":   {"Twiggy::Server::SS", "app.psgi", psgi, "die 'broken';", quit, []string{"twiggy", "app.psgi"}},
		"unicorn":  {"", "config.ru", rack, "raise 'broken'\n", append([]string{"--export=unicorn"}, quit...), []string{"unicorn", "-E", "none", "-c", "unicorn.rb", "config.ru"}},
		"puma":     {"", "config.ru", rack, "raise 'broken'\n", []string{"--export=puma", "--ready=notify"}, []string{"puma", "-e", "production", "-b", "tcp://@ADDR@", "config.ru"}},
		"gunicorn": {"", "application.py", wsgi, "raise Exception('broken')\n", []string{"--export=systemd", "--ready=notify"}, []string{"gunicorn", "--preload", "application:app"}},
		"uWSGI":    {"", "application.py", wsgi, "raise Exception('broken')\n", hup, []string{"uwsgi_python3", "--master", "--exit-on-reload", "--need-app", "--http-socket=fd://{fd:0}", "--wsgi-file=application.py", "--callable=app"}},
	}
}

// A release that cannot be loaded is a failed attempt, and the old one serves on.
func TestBrokenReleaseIsKeptOut(t *testing.T) {
	for name, r := range releases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r.needs != "" {
				needsPerl(t, r.needs)
			}
			program := append([]string{needs(t, r.program[0])}, r.program[1:]...)
			addr := "127.0.0.1:" + freePort(t)
			for i := range program {
				program[i] = strings.ReplaceAll(program[i], "@ADDR@", addr)
			}
			content := r.content(t)
			// Longer than it takes to fail on a busy machine, where it does not say that it is ready.
			d := launch(t, addr, map[string]string{r.file: content, "unicorn.rb": "preload_app true\n"}, append([]string{"--interval=6"}, r.options...), program...)
			d.answers(1, "tcp", addr)
			d.isLive(1)

			require.NoError(t, os.WriteFile(filepath.Join(d.dir, r.file), []byte(r.broken+content), 0o644))
			d.signal(syscall.SIGHUP)
			d.sees(1, `^new worker \d+ seems to have failed to start, exit status:\d+`)
			require.NotContains(t, d.out.String(), "new worker is now running")
			d.answers(1, "tcp", addr)
			require.Equal(t, fmt.Sprintf("1:%d\n", d.worker(1)), d.file("status"))
			d.stop()
		})
	}
}
