package starter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// The variables that options set, and an envdir overrides.
const (
	envDir          = "ENVDIR"
	envAutoRestart  = "ENABLE_AUTO_RESTART"
	envAutoInterval = "AUTO_RESTART_INTERVAL"
	envKillOldDelay = "KILL_OLD_DELAY"
)

// SettingVariables are the variables that take the place of fields of a Config,
// wherever a worker's environment has them: a front end that does not have these
// settings keeps them out by DropEnv.
func SettingVariables() []string {
	return []string{envDir, envAutoRestart, envAutoInterval, envKillOldDelay}
}

const (
	defaultAutoInterval     = 360 * time.Second
	defaultAutoKillOldDelay = 5 * time.Second
)

// managerVariables are those by which a service manager talks to us, and which
// are not for workers (sd_notify(3), sd_watchdog_enabled(3)).
var managerVariables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// managed tells that there is a service manager to be told.
func (c *Config) managed() bool { return c.NotifyManager && os.Getenv("NOTIFY_SOCKET") != "" }

// forUs tells that a variable is for us alone, and not for workers.
func (c *Config) forUs(name string) bool {
	// Our stderr is the journal's, but that of the workers is the log's.
	return c.forManaged(name) || (c.LogFile != "" || c.relays()) && name == "JOURNAL_STREAM"
}

// forManaged tells that a service manager talks to us by that variable.
func (c *Config) forManaged(name string) bool {
	return c.managed() && slices.Contains(managerVariables, name)
}

// ownEnv is the environment of what is started for ourselves, and is no worker.
func (c *Config) ownEnv() []string { return launch.Unique(os.Environ()).Without(c.forManaged) }

// baseEnv is the environment that workers get, but for what an envdir holds
// and what tells of the sockets: ours, with the variables that options set.
func (c *Config) baseEnv(exports []fdenv.Export, runAs *proc.Credential) launch.Environ {
	given := c.Env
	if given == nil {
		given = os.Environ()
	}
	kept := append(SettingVariables(), "PATH")
	e := launch.Unique(given).Without(func(name string) bool {
		stale := func(e fdenv.Export) bool { return e.Owns(name) }
		if slices.Contains(kept, name) {
			return false
		}
		return c.ClearEnv || fdenv.ForUs(name) || c.forUs(name) || slices.ContainsFunc(exports, stale)
	})
	e = asUser(e, runAs).Without(func(name string) bool { return slices.Contains(c.DropEnv, name) })
	if c.EnvDir != "" {
		e = e.With(envDir + "=" + c.EnvDir)
	}
	if c.EnableAutoRestart {
		e = e.With(envAutoRestart + "=1")
	}
	if c.AutoRestartInterval > 0 {
		e = e.With(envAutoInterval + "=" + text.Seconds(c.AutoRestartInterval))
	}
	if c.KillOldDelay != nil && *c.KillOldDelay >= 0 {
		e = e.With(envKillOldDelay + "=" + text.Seconds(*c.KillOldDelay))
	}
	return e
}

// asUser is the environment in which a user runs what is run for it, as login(1) has
// it. A user that has only a number has nothing of ours.
func asUser(e launch.Environ, c *proc.Credential) launch.Environ {
	switch {
	case c == nil || c.Name == "" && c.UID == os.Geteuid():
		return e
	case c.Name == "":
		return e.With("HOME=/").Without(func(name string) bool { return name == "USER" || name == "LOGNAME" })
	}
	return e.With("HOME="+c.Home, "USER="+c.Name, "LOGNAME="+c.Name)
}

// workerEnv is the base environment with what the envdir holds now.
func (s *Starter) workerEnv() (launch.Environ, error) {
	if s.config.EnvDir == "" {
		return s.plan.env, nil
	}
	pairs, err := readEnvDir(s.config.EnvDir)
	if err != nil {
		err = nameable{err}
	}
	return s.plan.env.With(pairs...), err
}

// nameable is an error that may name files of others, in one line of what can be printed:
// or the name of a file could forge a line of the log.
type nameable struct{ error }

func (n nameable) Error() string { return text.Line(n.error.Error()) }

func (n nameable) Unwrap() error { return n.error }

// envAndSettings is workerEnv with the settings in it.
func (s *Starter) envAndSettings() (launch.Environ, supervise.Settings, error) {
	env, err := s.workerEnv()
	if err != nil {
		return nil, supervise.Settings{}, err
	}
	set, err := settings(env)
	if err != nil {
		s.out.Warnf("envdir %s: %v: the default is used", s.config.EnvDir, err)
	}
	return env, set, nil
}

// settings are those that the environment holds. The error names every bad
// value; the default stands in for it.
func settings(e launch.Environ) (supervise.Settings, error) {
	var faults []error
	duration := func(name string, standard time.Duration) time.Duration {
		value := e.Get(name)
		if value == "" {
			return standard
		}
		d, err := text.ParseDuration(value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
			return standard
		}
		return d
	}
	var s supervise.Settings
	interval := duration(envAutoInterval, defaultAutoInterval)
	if interval == 0 {
		faults = append(faults, fmt.Errorf("%s: 0 would restart without end", envAutoInterval))
		interval = defaultAutoInterval
	}
	if on := e.Get(envAutoRestart); on == "" || on == "0" {
		s.KillOldDelay = duration(envKillOldDelay, 0)
	} else {
		s.AutoRestart = interval
		s.KillOldDelay = duration(envKillOldDelay, defaultAutoKillOldDelay)
	}
	return s, errors.Join(faults...)
}

// What more is in an envdir is not read: whoever fills it would keep every start waiting. An
// environment of more than 6 MB execve(2) does not take.
const (
	maxVariables   = 10000
	maxEnvironment = 6 << 20
)

// readEnvDir reads the variables that the files in dir are, as daemontools'
// envdir does: a file's name is a variable, its first line the value.
func readEnvDir(dir string) ([]string, error) {
	open, err := fd.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("envdir: %w", err)
	}
	defer open.Close()
	entries, err := open.ReadDir(maxVariables + 1)
	switch {
	case err != nil && err != io.EOF:
		return nil, fmt.Errorf("envdir: %w", err)
	case len(entries) > maxVariables:
		return nil, fmt.Errorf("envdir: there are more than %d files in %q", maxVariables, dir)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	var pairs []string
	size := 0
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		value, empty, err := firstLine(open, name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fd.ErrNotRegular), empty:
			continue // the first: removed meanwhile, or a symlink to nothing
		case strings.Contains(name, "="):
			return nil, fmt.Errorf("envdir: %q cannot name a variable, because of the =", filepath.Join(dir, name))
		case err != nil:
			return nil, fmt.Errorf("envdir: %w", err)
		}
		pairs = append(pairs, name+"="+value)
		if size += len(name) + len(value); size > maxEnvironment {
			return nil, fmt.Errorf("envdir: the variables in %q have more than %d bytes", dir, maxEnvironment)
		}
	}
	return pairs, nil
}

// maxVariable is what execve(2) takes for NAME=VALUE and its NUL on Linux.
const maxVariable = 128 << 10

// firstLine reads the first line of a file in a directory, and tells whether the file is
// empty.
func firstLine(dir *os.File, name string) (line string, empty bool, err error) {
	f, err := fd.OpenIn(dir, name)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	line, err = bufio.NewReader(io.LimitReader(f, maxVariable)).ReadString('\n')
	empty = line == ""
	line = strings.TrimSuffix(line, "\n")
	switch {
	case err != nil && err != io.EOF:
		return "", false, err
	case len(name)+1+len(line)+1 > maxVariable:
		return "", false, fmt.Errorf("%s: its first line is too long: a variable may have %d bytes with its name", f.Name(), maxVariable)
	case strings.Contains(line, "\x00"):
		return "", false, fmt.Errorf("%s: its first line holds a NUL, which no variable can", f.Name())
	}
	return line, empty, nil
}

// runLogger starts a log command. It gets a process group of its own: Ctrl-C in a
// terminal must not end the log before the workers have.
func (s *Starter) runLogger(args []string, files []int) (output.Process, error) {
	return proc.Start(proc.Command{Args: args, Env: s.config.ownEnv(), Files: files, Group: true})
}

// untaken are the sockets that systemd passes and nobody has asked for.
func (p plan) untaken() []fdenv.Passed {
	var taken []int
	for _, spec := range p.specs {
		if spec.Taken {
			taken = append(taken, spec.Source)
		}
	}
	return fdenv.Untaken(os.Getenv, os.Getpid(), taken)
}
