package starter

import (
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryFaultOfAConfigIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	negative := -time.Second
	s, err := New(Config{
		Command:             []string{" ", "a\x00b"},
		Ports:               []string{"70000,80=x", "[::1]"},
		Paths:               []string{""},
		Backlog:             -1,
		Interval:            negative,
		AutoRestartInterval: negative,
		KillTimeout:         negative,
		KillOldDelay:        &negative,
		Env:                 []string{},
	})
	require.Error(t, err)
	assert.Nil(t, s)
	var lines []string
	for _, line := range strings.Split(err.Error(), "\n") {
		// A fault of an option that sets a variable may also be named by the variable.
		if !strings.HasPrefix(line, "KILL_OLD_DELAY: ") && !strings.HasPrefix(line, "AUTO_RESTART_INTERVAL: ") {
			lines = append(lines, line)
		}
	}
	assert.ElementsMatch(t, []string{
		"the server program is empty",
		`argument "a\x00b" holds a NUL, which no argument can`,
		`port "70000": "70000" is not a port number from 0 to 65535; the form is [LABEL@][HOST:][u]PORT[=FD][,OPTION...]`,
		`port "80=x": descriptor "x" is not a number from 0 to 1048575`,
		`port "[::1]": the port is missing behind the address`,
		"path: it is empty",
		"backlog -1 is negative",
		"interval -1s is negative",
		"auto-restart interval -1s is negative",
		"kill timeout -1s is negative",
		"kill-old delay -1s is negative",
	}, lines)
}

func TestOneFaultIsOneLine(t *testing.T) {
	t.Parallel()
	negative := -time.Second
	fine := Config{Command: []string{"x"}, Env: []string{}}
	for name, change := range map[string]func(*Config){
		"the server program is missing":     func(c *Config) { c.Command = nil },
		"the server program is empty":       func(c *Config) { c.Command = []string{""} },
		"kill-old delay -1s is negative":    func(c *Config) { c.KillOldDelay = &negative },
		"auto-restart interval -1s":         func(c *Config) { c.AutoRestartInterval = negative },
		"KILL_OLD_DELAY: \"x\" is not":      func(c *Config) { c.Env = []string{"KILL_OLD_DELAY=x"} },
		"AUTO_RESTART_INTERVAL: \"x\" is":   func(c *Config) { c.Env = []string{"AUTO_RESTART_INTERVAL=x"} },
		"port \"80\": it is asked for twic": func(c *Config) { c.Ports = []string{"80,80"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := fine
			change(&c)
			_, err := New(c)
			require.ErrorContains(t, err, name)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestZeroConfigHasTheDefaults(t *testing.T) {
	t.Parallel()
	c := Config{Command: []string{"x"}, Env: []string{"A=1"}}
	c.complete()
	p, err := c.check()
	require.NoError(t, err)
	assert.Empty(t, p.specs)
	assert.Equal(t, time.Second, c.Interval)
	assert.Equal(t, "TERM", text.SignalName(c.SignalOnHUP))
	assert.Equal(t, "TERM", text.SignalName(c.SignalOnTERM))
	assert.NotNil(t, c.Log)
	assert.Equal(t, launch.Environ{"A=1"}, p.env, "what was not asked for is not told to the worker")
}

func TestNewLeavesTheConfigAlone(t *testing.T) {
	t.Parallel()
	c := Config{Command: []string{"x"}}
	_, err := New(c)
	require.NoError(t, err)
	assert.Equal(t, Config{Command: []string{"x"}}, c)
}

func TestListenOnAddsToPortsOrPaths(t *testing.T) {
	t.Parallel()
	c := Config{Ports: []string{"80"}}
	require.NoError(t, c.ListenOn("tcp4://127.0.0.1:81"))
	require.NoError(t, c.ListenOn("fd://7"))
	require.NoError(t, c.ListenOn("unix:///run/app.sock"))
	assert.Error(t, c.ListenOn("unix://"))
	assert.Equal(t, []string{"80", "127.0.0.1:81", "fd://7"}, c.Ports)
	require.Len(t, c.Paths, 1)
	assert.Regexp(t, "^/run/app.sock,mode=[0-7]+$", c.Paths[0])
}
