package cmdline

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type completable struct {
	Port    []string `long:"port" value-name:"SPEC" description:"port to bind. More of it"`
	Pidfile string   `short:"p" long:"pid-file" complete:"file"`
	Dir     string   `long:"dir" complete:"dir"`
	Control string   `long:"control" complete:"socket"`
	Signal  string   `long:"signal" complete:"signal"`
	How     string   `long:"how" complete:"slowly quickly"`
	Own     string   `long:"own" complete:"mine"`
	Switch  bool     `long:"switch"`
	Maybe   string   `long:"maybe" optional:"yes" optional-value:"x" complete:"yes no"`
}

// completions returns what the last of args may become.
func completions(args ...string) []string {
	var out strings.Builder
	Complete(&out, &completable{}, args, map[string]Values{
		"mine": func(typed string) []string { return []string{typed + "!", "other"} },
	})
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestOptionsAreCompleted(t *testing.T) {
	t.Parallel()
	none := []string{""}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--p"}, []string{"--port=", "--pid-file="}},
		{[]string{"--s"}, []string{"--signal=", "--switch"}},
		{[]string{"--switch", "--ma"}, []string{"--maybe"}},
		{[]string{"--signal=WIN"}, []string{"--signal=WINCH"}},
		{[]string{"--signal", "WIN"}, []string{"WINCH"}},
		{[]string{"--how="}, []string{"--how=quickly", "--how=slowly"}},
		{[]string{"--how=q", "--switch", "--how=q"}, []string{"--how=quickly"}},
		{[]string{"--maybe=n"}, []string{"--maybe=no"}},
		{[]string{"--maybe", "n"}, none}, // its value can only follow a =
		{[]string{"--own=a"}, []string{"--own=a!"}},
		{[]string{"--port", "--", "--how="}, []string{"--how=quickly", "--how=slowly"}}, // as a value, -- does not end the options
		{[]string{"--port", "8"}, none},
		{[]string{"--nosuch=x"}, none},
		{[]string{"--", "--p"}, none}, // the program's arguments
		{[]string{"./server", "--p"}, none},
		{[]string{"x"}, none},
	} {
		if strings.Contains(strings.Join(c.args, " "), "WIN") && runtime.GOOS == "windows" {
			continue
		}
		assert.Equal(t, c.want, completions(c.args...), "%q", c.args)
	}
	assert.Equal(t, none, completions())
}

func TestOptionsAreDescribedToAShellThatAsks(t *testing.T) {
	t.Setenv("GO_FLAGS_COMPLETION", "verbose")
	assert.True(t, Completing())
	assert.Equal(t, []string{"--port=  # port to bind"}, completions("--po"))
}

func TestFilesAreCompletedByTheirKind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "run"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run.pid"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "run\n.pid"), nil, 0o600)) // two lines to a shell
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".run"), nil, 0o600))
	require.NoError(t, os.Symlink("run", filepath.Join(dir, "run.d")))
	path := filepath.Join(dir, "run.ctl")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()

	at := func(option string, names ...string) (all []string) {
		for _, name := range names {
			all = append(all, option+dir+"/"+name)
		}
		return all
	}
	assert.Equal(t, at("--pid-file=", "run.ctl", "run.d/", "run.pid", "run/"), completions("--pid-file="+dir+"/ru"))
	assert.Equal(t, at("", "run.ctl", "run.d/", "run.pid", "run/"), completions("-p", dir+"/"))
	assert.Equal(t, at("--pid-file=", ".run"), completions("--pid-file="+dir+"/."))
	assert.Equal(t, at("--dir=", "run.d/", "run/"), completions("--dir="+dir+"/r"))
	assert.Equal(t, at("--control=", "run.ctl", "run.d/", "run/"), completions("--control="+dir+"/r"))
}
