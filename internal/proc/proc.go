// Package proc starts worker processes with exactly the descriptors they are
// to have, signals them and waits for them.
package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Command is a program to start.
type Command struct {
	Args  []string // the program, looked up in the PATH of Env, and its arguments
	Env   []string
	Dir   string // its working directory; "" is ours
	Files []int  // our descriptor for each of its own from 0 on; -1: none. It gets no others
	// Group makes it the leader of a process group of its own, out of reach
	// of what the terminal sends.
	Group bool
}

// check finds the program's file, in the way that execvp(3) would from the
// command's directory and environment, or says what is wrong.
func (c *Command) check() (path string, err error) {
	if c.Dir != "" {
		info, err := os.Stat(c.Dir)
		if err != nil {
			return "", fmt.Errorf("working directory: %w", err)
		}
		if !info.IsDir() {
			return "", fmt.Errorf("working directory: %q is not a directory", c.Dir)
		}
	}
	name := c.Args[0]
	if strings.ContainsRune(name, filepath.Separator) {
		if err := c.executable(name); err != nil {
			return "", fmt.Errorf("program %q: %w", name, err)
		}
		return name, nil
	}
	search, ok := c.getenv("PATH")
	if !ok {
		search = defaultPath
	}
	denied := error(nil)
	for _, dir := range filepath.SplitList(search) {
		path := filepath.Join(dir, name)
		if dir == "" || dir == "." {
			path = "." + string(filepath.Separator) + name
		}
		err := c.executable(path)
		if err == nil {
			return path, nil
		}
		if denied == nil && !errors.Is(err, fs.ErrNotExist) {
			denied = fmt.Errorf("program %q: %s: %w", name, path, err)
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("program %q: not found in PATH=%s", name, search)
}

// defaultPath is where execvp(3) searches when there is no PATH.
const defaultPath = "/bin:/usr/bin"

// executable says why path, seen from c.Dir, cannot be executed.
func (c *Command) executable(path string) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.Dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			return p.Err
		}
		return err
	}
	if info.IsDir() {
		return errors.New("is a directory")
	}
	return accessExecute(path)
}

// getenv is the last value of a variable, which is the one that counts.
func (c *Command) getenv(name string) (value string, ok bool) {
	for _, pair := range c.Env {
		if v, found := strings.CutPrefix(pair, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// Check says what stands in the way of starting the command, as far as that
// can be known without starting it.
func (c Command) Check() error {
	_, err := c.check()
	return err
}
