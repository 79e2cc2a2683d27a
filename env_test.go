package starter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// envDirOf makes a directory with these files.
func envDirOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	return dir
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

// An interval of 0 would restart without end.
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
