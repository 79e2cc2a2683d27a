package starter

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

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

// SettingVariables are the variables that override fields of a Config when a worker's
// environment has them. A front end without these settings keeps them out by DropEnv.
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

// managed tells whether there is a service manager to be told.
func (c *Config) managed() bool { return c.NotifyManager && os.Getenv("NOTIFY_SOCKET") != "" }

// forUs tells whether a variable is for us alone, and not for workers.
func (c *Config) forUs(name string) bool {
	// JOURNAL_STREAM names our stderr. The workers write to the log instead.
	return c.forManaged(name) || (c.LogFile != "" || c.relays()) && name == "JOURNAL_STREAM"
}

// forManaged tells whether a service manager talks to us by that variable.
func (c *Config) forManaged(name string) bool {
	return c.managed() && slices.Contains(managerVariables, name)
}

// ownEnv is the environment of processes that we start for ourselves, which are no workers.
func (c *Config) ownEnv() []string { return launch.Unique(os.Environ()).Without(c.forManaged) }

// baseEnv is the environment of workers, without what an envdir holds and what tells of
// the sockets: Env, or our own, with the variables that options set.
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
	e = e.For(runAs).Without(func(name string) bool { return slices.Contains(c.DropEnv, name) })
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

// workerEnv is the base environment with what the envdir holds now.
func (s *Starter) workerEnv() (launch.Environ, error) {
	if s.config.EnvDir == "" {
		return s.plan.env, nil
	}
	pairs, err := launch.ReadEnvDir(s.config.EnvDir)
	return s.plan.env.With(pairs...), err
}

// findProgram says why the server program cannot be run.
func (s *Starter) findProgram() error {
	env, err := s.workerEnv()
	if err != nil {
		return err
	}
	return s.plan.program.Find(env)
}

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

// killOldDelay is the delay that is set now.
func (s *Starter) killOldDelay() time.Duration {
	env, err := s.workerEnv()
	if err != nil {
		env = s.plan.env
	}
	set, _ := settings(env) // a bad value is replaced by the default
	return set.KillOldDelay
}

// settings are the settings that the environment holds. The error names every bad
// value; the default takes its place.
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

// runLogger starts a log command. It gets a process group of its own: Ctrl-C in a
// terminal must not end the log before the workers have.
func (s *Starter) runLogger(args []string, files []int) (output.Process, error) {
	return proc.Start(proc.Command{Args: args, Env: s.config.ownEnv(), Files: files, Group: true})
}

// untaken are the sockets that systemd passes and the Config does not take.
func (p plan) untaken() []fdenv.Passed {
	var taken []int
	for _, spec := range p.specs {
		if spec.Taken {
			taken = append(taken, spec.Source)
		}
	}
	return fdenv.Untaken(os.Getenv, os.Getpid(), taken)
}
