//go:build linux

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wanted is what a shell makes of a command line when Tab is pressed at its end.
var wanted = []struct{ typed, completed string }{
	{"start_server --signal-on-h", "start_server --signal-on-hup="},
	{"start_server --signal-on-hup=WIN", "start_server --signal-on-hup=WINCH "},
	{"start_server --signal-on-hup WIN", "start_server --signal-on-hup WINCH "},
	{"start_server --port=127.0.0.1:8080 --export=systemd,pu", "start_server --port=127.0.0.1:8080 --export=systemd,puma "},
	{"start_server --control=run/a", "start_server --control=run/app.ctl "},
	{"start_server --restart --cont", "start_server --restart --control="},
	{"start_server --pid-file=run/app.p", "start_server --pid-file=run/app.pid "},
	{"start_server --dir=r", "start_server --dir=run/"},
	{"start_server --port=8080 -- ./serv", "start_server --port=8080 -- ./server "},
	{"einhyrningsins --socket-path=run/a", "einhyrningsins --socket-path=run/app.ctl "},
	{"einhyrningsinsctl -e upg", "einhyrningsinsctl -e upgrade "},
	{"socketmaster -comm", "socketmaster -command="},
	{"socketmaster -signal=WIN", "socketmaster -signal=WINCH "},
}

// completing makes the files whose names are completed.
func completing(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = tempDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "run"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run/app.pid"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "server"), []byte("#!/bin/sh\n"), 0o755))
	l, err := net.Listen("unix", filepath.Join(dir, "run/app.ctl"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return dir, append(os.Environ(), "PATH="+filepath.Dir(ours)+":"+os.Getenv("PATH"), "HOME="+dir, "TERM=dumb", "LC_ALL=C.UTF-8")
}

// tab makes a shell complete each line, and compares the results. The shell reads from a
// terminal. setUp binds the key ^X to a command that prints "line: <...>".
func tab(t *testing.T, dir string, env []string, setUp string, shell ...string) {
	t.Helper()
	screen, keys := terminalWith(t, dir, env, shell...)
	_, err := keys.WriteString(setUp + "echo up''''and up\r")
	require.NoError(t, err)
	screen.sees(1, `upand up`)
	for _, w := range wanted {
		before := len(screen.out.String())
		_, err := keys.WriteString(w.typed + "\t\x18")
		require.NoError(t, err)
		shown := regexp.MustCompile(`line: <([^>]*)>`)
		eventually(t, func() bool { return shown.MatchString(screen.out.String()[before:]) }, func() string {
			return w.typed + ": " + screen.out.String()[before:]
		})
		assert.Equal(t, w.completed, shown.FindStringSubmatch(screen.out.String()[before:])[1], "%s: %s", shell[0], w.typed)
	}
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	bash := needs(t, "bash")
	dir, env := completing(t)
	tab(t, dir, env, ". '"+source+"/completions/start_server.bash'\r"+
		`show() { printf 'line: <%s>\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }; bind -x '"\C-x": show'`+"\r",
		bash, "--norc", "--noprofile", "-i")
}

func TestZshCompletes(t *testing.T) {
	t.Parallel()
	zsh := needs(t, "zsh")
	dir, env := completing(t)
	tab(t, dir, env, "fpath=('"+source+"/completions' $fpath); autoload -U compinit; compinit -u -D\r"+
		`show() { print; print -r "line: <$BUFFER>"; BUFFER=; zle reset-prompt }; zle -N show; bindkey '^X' show`+"\r",
		zsh, "-f", "-i")
}

func TestFishCompletes(t *testing.T) {
	t.Parallel()
	fish := needs(t, "fish")
	dir, env := completing(t)
	for _, w := range wanted {
		ask := exec.Command(fish, "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", source+"/completions/start_server.fish", w.typed)
		ask.Dir, ask.Env = dir, env
		printed, err := ask.CombinedOutput()
		require.NoError(t, err, "%s", printed)
		words := strings.Fields(w.completed)
		word, _, _ := strings.Cut(strings.TrimSuffix(string(printed), "\n"), "\t")
		if strings.HasPrefix(w.typed, "socketmaster -comm") {
			word += "=" // fish leaves it out
		}
		assert.Equal(t, words[len(words)-1], word, w.typed)
	}
}

// Perl's start_server is not asked: it would carry out the command line.
func TestOnlyOursIsAskedForCompletions(t *testing.T) {
	t.Parallel()
	bash := needs(t, "bash")
	dir, env := completing(t)
	other := filepath.Join(dir, "start_server")
	require.NoError(t, os.WriteFile(other, []byte("#!/bin/sh\n[ \"$1\" = --version ] && echo 0.35 || touch asked\n"), 0o755))
	run := exec.Command(bash, "--norc", "-c", `. "$0/completions/start_server.bash" && cd "$1"
		COMP_LINE="./start_server --stop --p" COMP_POINT=25 COMP_CWORD=2 COMP_WORDS=(./start_server --stop --p)
		_start_server; echo "${COMPREPLY[@]}"`, source, dir)
	run.Env = env
	printed, err := run.CombinedOutput()
	require.NoError(t, err)
	assert.Equal(t, "\n", string(printed))
	assert.NoFileExists(t, filepath.Join(dir, "asked"))
}
