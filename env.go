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

	"github.com/lestrrat/go-server-starter/internal/fdenv"
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

// environment is a list of NAME=VALUE in which no name stands twice.
type environment []string

// with returns a copy in which the pairs have replaced what was of their name.
func (e environment) with(pairs ...string) environment {
	replaced := func(have string) bool {
		return slices.ContainsFunc(pairs, func(p string) bool { return sameName(p, have) })
	}
	return append(slices.DeleteFunc(slices.Clone(e), replaced), pairs...)
}

func sameName(a, b string) bool {
	nameA, _, _ := strings.Cut(a, "=")
	nameB, _, _ := strings.Cut(b, "=")
	return nameA == nameB
}

func (e environment) get(name string) string {
	for _, pair := range e {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// unique is a copy of pairs in which the last of each name is left, which is
// the one that counts.
func unique(pairs []string) environment {
	seen := make(map[string]bool, len(pairs))
	var e environment
	for _, pair := range slices.Backward(pairs) {
		name, _, _ := strings.Cut(pair, "=")
		if !seen[name] {
			seen[name] = true
			e = append(e, pair)
		}
	}
	slices.Reverse(e)
	return e
}

// without returns a copy from which the variables are gone that match.
func (e environment) without(match func(name string) bool) environment {
	return slices.DeleteFunc(slices.Clone(e), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return match(name)
	})
}

// baseEnv is the environment that workers get, but for what an envdir holds
// and what tells of the sockets: ours, with the variables that options set.
func (c *Config) baseEnv(exports []fdenv.Export, runAs *proc.Credential) environment {
	given := c.Env
	if given == nil {
		given = os.Environ()
	}
	kept := append(SettingVariables(), "PATH")
	e := unique(given).without(func(name string) bool {
		stale := func(e fdenv.Export) bool { return e.Owns(name) }
		if slices.Contains(kept, name) {
			return false
		}
		return c.ClearEnv || fdenv.ForUs(name) || c.forUs(name) || slices.ContainsFunc(exports, stale)
	})
	e = e.of(runAs).without(func(name string) bool { return slices.Contains(c.DropEnv, name) })
	if c.EnvDir != "" {
		e = e.with(envDir + "=" + c.EnvDir)
	}
	if c.EnableAutoRestart {
		e = e.with(envAutoRestart + "=1")
	}
	if c.AutoRestartInterval > 0 {
		e = e.with(envAutoInterval + "=" + seconds(c.AutoRestartInterval))
	}
	if c.KillOldDelay != nil && *c.KillOldDelay >= 0 {
		e = e.with(envKillOldDelay + "=" + seconds(*c.KillOldDelay))
	}
	return e
}

// of is the environment in which a user runs what is run for him, as login(1) has
// it. One that has a number only has nothing of ours.
func (e environment) of(c *proc.Credential) environment {
	switch {
	case c == nil || c.Name == "" && c.UID == os.Geteuid():
		return e
	case c.Name == "":
		return e.with("HOME=/").without(func(name string) bool { return name == "USER" || name == "LOGNAME" })
	}
	return e.with("HOME="+c.Home, "USER="+c.Name, "LOGNAME="+c.Name)
}

// settings are those that the environment holds. The error names every bad
// value; the default stands in for it.
func (e environment) settings() (supervise.Settings, error) {
	var faults []error
	duration := func(name string, standard time.Duration) time.Duration {
		value := e.get(name)
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
	if on := e.get(envAutoRestart); on == "" || on == "0" {
		s.KillOldDelay = duration(envKillOldDelay, 0)
	} else {
		s.AutoRestart = interval
		s.KillOldDelay = duration(envKillOldDelay, defaultAutoKillOldDelay)
	}
	return s, errors.Join(faults...)
}

// readEnvDir reads the variables that the files in dir are, as daemontools'
// envdir does: a file's name is a variable, its first line the value.
func readEnvDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("envdir: %w", err)
	}
	var pairs []string
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile, or a symlink to nothing
		} else if err != nil {
			return nil, fmt.Errorf("envdir: %w", err)
		} else if !info.Mode().IsRegular() || info.Size() == 0 {
			continue
		}
		if strings.Contains(name, "=") {
			return nil, fmt.Errorf("envdir: %q cannot name a variable, because of the =", path)
		}
		value, err := firstLine(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("envdir: %w", err)
		}
		pairs = append(pairs, name+"="+value)
	}
	return pairs, nil
}

// maxVariable is what execve(2) takes for NAME=VALUE and its NUL on Linux.
const maxVariable = 128 << 10

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, maxVariable)).ReadString('\n')
	switch {
	case err != nil && err != io.EOF:
		return "", err
	case len(filepath.Base(path))+1+len(strings.TrimSuffix(line, "\n"))+1 > maxVariable:
		return "", fmt.Errorf("%s: its first line is too long: a variable may have %d bytes with its name", path, maxVariable)
	case strings.Contains(line, "\x00"):
		return "", fmt.Errorf("%s: its first line holds a NUL, which no variable can", path)
	}
	return strings.TrimSuffix(line, "\n"), nil
}
