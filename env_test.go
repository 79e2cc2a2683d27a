package starter

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// envDirOf makes a directory of these files.
func envDirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
}

func TestEnvDirFileIsAVariable(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{
		"PLAIN":    "value\n",
		"LINES":    "first\nsecond\n",
		"UNENDED":  "value",
		"BLANKS":   " \tvalue \t\n",
		"DOS":      "value\r\n",
		"EQUALS":   "a=b=c\n",
		"EMPTY":    "",
		"BLANK":    "\nsecond\n",
		".HIDDEN":  "value\n",
		"..data":   "value\n",
		"with.dot": "value\n",
		"low":      "\xff\xfe\n",
	})
	require.NoError(t, os.Mkdir(filepath.Join(dir, "DIRECTORY"), 0o755))
	pairs, err := readEnvDir(dir)
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{
		"PLAIN=value", "LINES=first", "UNENDED=value", "BLANKS= \tvalue \t", "DOS=value\r",
		"EQUALS=a=b=c", "BLANK=", "with.dot=value", "low=\xff\xfe",
	}, pairs)
}

// symlink makes one. Windows lets only some users do so.
func symlink(t *testing.T, to, path string) {
	t.Helper()
	err := os.Symlink(to, path)
	if err != nil && runtime.GOOS == "windows" {
		t.Skip(err)
	}
	require.NoError(t, err)
}

func TestEnvDirFollowsSymlinks(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{".real": "value\n"})
	symlink(t, ".real", filepath.Join(dir, "LINK"))
	pairs, err := readEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"LINK=value"}, pairs)
}

// A file may be removed while the directory is read; a symlink to nothing
// looks the same. It must not cost an attempt to start a worker.
func TestEnvDirFileThatVanishesIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "value\n"})
	symlink(t, "nowhere", filepath.Join(dir, "GONE"))
	pairs, err := readEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"A=value"}, pairs)
}

func TestEnvDirFaultIsNamed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"LONG":  strings.Repeat("x", maxVariable),
		"NUL":   "a\x00b\n",
		"A=B":   "value\n",
		"LONG2": strings.Repeat("x", 10*maxVariable) + "\n",
	} {
		dir := envDirOf(t, map[string]string{name: text, "FINE": "value\n"})
		_, err := readEnvDir(dir)
		assert.ErrorContains(t, err, "envdir: ", name)
		assert.ErrorContains(t, err, name)
	}
	_, err := readEnvDir(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// The limit is the kernel's, for NAME=VALUE and the final NUL together.
func TestEnvDirValueThatFitsOnlyWithoutItsNameIsRefused(t *testing.T) {
	t.Parallel()
	_, err := readEnvDir(envDirOf(t, map[string]string{"NAME": strings.Repeat("x", maxVariable-len("NAME="))}))
	assert.ErrorContains(t, err, "NAME")
	pairs, err := readEnvDir(envDirOf(t, map[string]string{"NAME": strings.Repeat("x", maxVariable-len("NAME=")-1)}))
	require.NoError(t, err)
	assert.Len(t, pairs, 1)
}

func TestOnlyTheFirstLineHasToBeShort(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "value\n" + strings.Repeat("x", 10*maxVariable)})
	pairs, err := readEnvDir(dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"A=value"}, pairs)
}

func TestEnvDirIsReadAnew(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "1\n", "B": "file\n", "PATH": "/envdir\n"})
	s, err := New(Config{Command: []string{"x"}, EnvDir: dir, Env: []string{"PATH=/bin", "B=env", "C=env"}})
	require.NoError(t, err)
	env, err := s.workerEnv()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"A=1", "B=file", "C=env", "PATH=/envdir", "ENVDIR=" + dir}, env)

	require.NoError(t, os.Remove(filepath.Join(dir, "A")))
	require.NoError(t, os.Remove(filepath.Join(dir, "B")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "PATH"), []byte("/new\n"), 0o644))
	env, err = s.workerEnv()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"B=env", "C=env", "PATH=/new", "ENVDIR=" + dir}, env, "a file removed is a variable removed")
}

func TestEnvDirIsTakenFromTheEnvironmentToo(t *testing.T) {
	t.Parallel()
	dir := envDirOf(t, map[string]string{"A": "1\n"})
	s, err := New(Config{Command: []string{"x"}, Env: []string{"ENVDIR=" + dir}})
	require.NoError(t, err)
	env, err := s.workerEnv()
	require.NoError(t, err)
	assert.ElementsMatch(t, []string{"A=1", "ENVDIR=" + dir}, env)
}

func TestOptionsSetTheirVariables(t *testing.T) {
	t.Parallel()
	delay := 1500 * time.Millisecond
	c := Config{
		Env:    []string{"KILL_OLD_DELAY=9", "A=1", "A=2", "ENABLE_AUTO_RESTART=0"},
		EnvDir: "/env", EnableAutoRestart: true, AutoRestartInterval: time.Minute, KillOldDelay: &delay,
	}
	assert.Equal(t, launch.Environ{
		"A=2", "ENVDIR=/env", "ENABLE_AUTO_RESTART=1", "AUTO_RESTART_INTERVAL=60", "KILL_OLD_DELAY=1.5",
	}, c.baseEnv(nil, nil))
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  launch.Environ
		want supervise.Settings
	}{
		{nil, supervise.Settings{}},
		{launch.Environ{"KILL_OLD_DELAY=0.5"}, supervise.Settings{KillOldDelay: 500 * time.Millisecond}},
		{launch.Environ{"AUTO_RESTART_INTERVAL=10"}, supervise.Settings{}},
		{launch.Environ{"ENABLE_AUTO_RESTART=0"}, supervise.Settings{}},
		{launch.Environ{"ENABLE_AUTO_RESTART="}, supervise.Settings{}},
		{launch.Environ{"ENABLE_AUTO_RESTART=1"}, supervise.Settings{AutoRestart: 360 * time.Second, KillOldDelay: 5 * time.Second}},
		{launch.Environ{"ENABLE_AUTO_RESTART=1", "KILL_OLD_DELAY=0", "AUTO_RESTART_INTERVAL=2"}, supervise.Settings{AutoRestart: 2 * time.Second}},
	} {
		got, err := settings(c.env)
		assert.NoError(t, err)
		assert.Equal(t, c.want, got, "%v", c.env)
	}
}

func TestBadSettingsAreAllNamedAndTheDefaultStandsIn(t *testing.T) {
	t.Parallel()
	got, err := settings(launch.Environ{"ENABLE_AUTO_RESTART=1", "KILL_OLD_DELAY=x", "AUTO_RESTART_INTERVAL=-1"})
	assert.ErrorContains(t, err, `KILL_OLD_DELAY: "x" is not a duration`)
	assert.ErrorContains(t, err, `AUTO_RESTART_INTERVAL: duration "-1" is negative`)
	assert.Equal(t, supervise.Settings{AutoRestart: defaultAutoInterval, KillOldDelay: defaultAutoKillOldDelay}, got)
}

// An interval of 0 would restart without end, as the option of that name says.
func TestAutoRestartIntervalOfZeroIsRefused(t *testing.T) {
	t.Parallel()
	_, err := settings(launch.Environ{"ENABLE_AUTO_RESTART=1", "AUTO_RESTART_INTERVAL=0"})
	assert.Error(t, err)
}

func TestWhatWorkersDoNotGetOfOurEnvironment(t *testing.T) {
	t.Parallel()
	given := []string{"A=1", "B=2", "LISTEN_FDS=1", "LISTEN_PID=9", "LISTEN_FDNAMES=x", "PUMA_INHERIT_7=9:tcp://x", "KILL_OLD_DELAY=3", "ENVDIR=/e"}
	for _, c := range []struct {
		config Config
		want   launch.Environ
	}{
		{Config{}, launch.Environ{"A=1", "B=2", "PUMA_INHERIT_7=9:tcp://x", "KILL_OLD_DELAY=3", "ENVDIR=/e"}},
		{Config{DropEnv: []string{"A", "C", "ENVDIR"}}, launch.Environ{"B=2", "PUMA_INHERIT_7=9:tcp://x", "KILL_OLD_DELAY=3"}},
		{Config{ClearEnv: true}, launch.Environ{"KILL_OLD_DELAY=3", "ENVDIR=/e"}},
		{Config{Export: []string{"puma"}}, launch.Environ{"A=1", "B=2", "KILL_OLD_DELAY=3", "ENVDIR=/e"}},
	} {
		c.config.Command, c.config.Env = []string{"x"}, given
		p, err := c.config.check()
		require.NoError(t, err)
		assert.Equal(t, c.want, p.env)
	}
}

// Not parallel: the environment is the process's.
func TestManagersVariablesAreNotForWorkers(t *testing.T) {
	for name, value := range map[string]string{
		"NOTIFY_SOCKET": "@manager", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1", "JOURNAL_STREAM": "8:1234", "LISTENER": "x",
	} {
		t.Setenv(name, value)
	}
	names := func(c Config) (found []string) {
		c.Command = []string{"true"}
		s, err := New(c)
		require.NoError(t, err)
		assert.Equal(t, c.NotifyManager, s.reports.manager != nil)
		for _, name := range append([]string{"JOURNAL_STREAM"}, managerVariables...) {
			if s.plan.env.Get(name) != "" {
				found = append(found, name)
			}
		}
		assert.NotEmpty(t, s.plan.env.Get("LISTENER"), "others are left alone")
		return found
	}
	assert.Equal(t, []string{"JOURNAL_STREAM"}, names(Config{NotifyManager: true}))
	assert.Empty(t, names(Config{NotifyManager: true, LogFile: "log"}))
	assert.Equal(t, managerVariables, names(Config{LogFile: "log"}))
	assert.Equal(t, append([]string{"JOURNAL_STREAM"}, managerVariables...), names(Config{}))
	t.Setenv("NOTIFY_SOCKET", "")
	s, err := New(Config{Command: []string{"true"}, NotifyManager: true})
	require.NoError(t, err)
	assert.Nil(t, s.reports.manager, "there is none")
}

// Whoever may write to the envdir does not keep us reading.
func TestEnvDirIsBounded(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for n := range maxVariables {
		files["V"+strconv.Itoa(n)] = ""
	}
	dir := envDirOf(t, files)
	pairs, err := readEnvDir(dir)
	require.NoError(t, err)
	assert.Empty(t, pairs)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ONE_MORE"), nil, 0o644))
	_, err = readEnvDir(dir)
	assert.EqualError(t, err, fmt.Sprintf("envdir: there are more than %d files in %q", maxVariables, dir))

	files = map[string]string{}
	for n := range maxEnvironment/100_000 + 1 {
		files["V"+strconv.Itoa(n)] = strings.Repeat("x", 100_000)
	}
	_, err = readEnvDir(envDirOf(t, files))
	assert.ErrorContains(t, err, "have more than 6291456 bytes")
}
