package starter

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/socket"
)

func (c *Config) checkEnv(env launch.Environ) error {
	var faults []error
	for _, pair := range env {
		if strings.Contains(pair, "\x00") {
			faults = append(faults, fmt.Errorf("variable %q holds a NUL, which no variable can", pair))
		}
	}
	for _, name := range c.DropEnv {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			faults = append(faults, fmt.Errorf("drop-env %q is not the name of a variable", name))
		}
	}
	_, err := settings(env)
	return errors.Join(append(faults, err)...)
}

// checkPaths finds paths that are too long, and files that would be written over
// each other.
func (c *Config) checkPaths(specs []socket.Spec) error {
	var faults []error
	users := map[string]string{}
	if err := fd.CheckPath(c.Control); err != nil {
		faults = append(faults, fmt.Errorf("control socket %q: %w", c.Control, err))
	}
	add := func(what, path string) {
		if path == "" {
			return
		}
		path = filepath.Clean(path)
		if other, taken := users[path]; taken {
			faults = append(faults, fmt.Errorf("%s and %s are both %q", other, what, path))
		}
		users[path] = what
	}
	for _, spec := range specs {
		add("socket", spec.Path)
	}
	add("pid file", c.PidFile)
	add("status file", c.StatusFile)
	add("control socket", c.Control)
	add("log file", c.LogFile)
	return errors.Join(faults...)
}

func (c *Config) checkCommand() error {
	if len(c.Command) == 0 {
		return errors.New("the server program is missing")
	}
	var faults []error
	if strings.TrimSpace(c.Command[0]) == "" {
		faults = append(faults, errors.New("the server program is empty"))
	}
	for _, arg := range c.Command {
		if strings.Contains(arg, "\x00") {
			faults = append(faults, fmt.Errorf("argument %q holds a NUL, which no argument can", arg))
		}
	}
	return errors.Join(faults...)
}
