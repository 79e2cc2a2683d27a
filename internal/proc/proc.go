// Package proc starts worker processes with exactly the descriptors that they are given,
// signals them and waits for them.
package proc

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Command is a program to start.
type Command struct {
	Args  []string // the program, looked up in the PATH of Env, and its arguments
	Path  string   // of the executable, looked up in place of Args[0]; "": it is Args[0]
	Env   []string
	Dir   string // its working directory; "" is ours
	Files []int  // Files[n] is our descriptor for its n; -1: it has no n. It gets no others
	// Group makes it the leader of a process group of its own, which signals from the
	// terminal do not reach.
	Group bool

	// If one of these is set the process first runs this executable, for about a
	// millisecond: see package trampoline.

	PidVariables []string // set to its own pid, whatever Env has
	Umask        *int     // 0 to 0777; nil: ours
	Nice         int      // added to our niceness, -20 to 19
	// Credential is the user as which it enters Dir and runs; nil: ours. Another user's
	// program gets a session and a session keyring of its own, no capabilities to pass on,
	// and no terminal that it could read from.
	Credential *Credential
	Limits     []Limit // resource limits. Linux only
	NoNewPrivs bool    // no exec gives it more rights (PR_SET_NO_NEW_PRIVS). Linux only
	// DieWithParent has the kernel send it TERM when this process is gone, whatever
	// ended it (PR_SET_PDEATHSIG, prctl(2)). Linux only. An exec of this process counts
	// as its end. A program with a set-user-ID bit or capabilities of its own gets no
	// TERM.
	DieWithParent bool
}

// check finds the program's file as execvp(3) would, from the command's directory and
// with its environment, or says what is wrong. With a Credential there may be several
// paths: only the process itself learns which of them its user may execute.
func (c *Command) check() (paths []string, err error) {
	if err := c.CheckPrepared(); err != nil {
		return nil, err
	}
	if c.Dir != "" {
		info, err := os.Stat(c.Dir)
		if err != nil && !c.mayDiffer(err) {
			return nil, fmt.Errorf("working directory: %w", err)
		}
		if err == nil && !info.IsDir() {
			return nil, fmt.Errorf("working directory: %q is not a directory", c.Dir)
		}
	}
	name := cmp.Or(c.Path, c.Args[0])
	if strings.ContainsRune(name, filepath.Separator) {
		if err := c.executable(name); err != nil && !c.mayDiffer(err) {
			return nil, fmt.Errorf("program %q: %w%s", name, err, holdsArguments(name, err))
		}
		return []string{name}, nil
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
		if err == nil || c.mayDiffer(err) {
			paths = append(paths, path)
			if c.Credential == nil {
				return paths, nil
			}
			continue
		}
		if denied == nil && !errors.Is(err, fs.ErrNotExist) {
			denied = fmt.Errorf("program %q: %s: %w", name, path, err)
		}
	}
	switch {
	case len(paths) > 0:
		return paths, nil
	case denied != nil:
		return nil, denied
	}
	return nil, fmt.Errorf("program %q: not found in PATH=%s%s", name, search, holdsArguments(name, fs.ErrNotExist))
}

// holdsArguments is a hint for a program that is not found and has a blank in its name.
func holdsArguments(name string, err error) string {
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(name, " ") {
		return "; its arguments are no part of its name, and have to be given apart from it"
	}
	return ""
}

// mayDiffer tells whether the program's user may be allowed what we are denied: on a
// network file system root may have fewer rights than a user.
func (c *Command) mayDiffer(err error) bool {
	return c.Credential != nil && errors.Is(err, fs.ErrPermission)
}

// CheckPrepared says why the command cannot be started by way of a trampoline, if it
// needs one. It does not look at the program.
func (c *Command) CheckPrepared() error {
	if !c.prepared() {
		return nil
	}
	for _, name := range c.PidVariables {
		if strings.ContainsAny(name, "=\x00") {
			return fmt.Errorf("variable %q: a name holds no = and no NUL", name)
		}
	}
	switch {
	case c.Umask != nil && (*c.Umask < 0 || *c.Umask > 0o777):
		return fmt.Errorf("umask %#o is not from 0 to 0777", *c.Umask)
	case c.Nice < -20 || c.Nice > 19:
		return fmt.Errorf("nice %d is not from -20 to 19", c.Nice)
	case c.DieWithParent && runtime.GOOS != "linux":
		return errors.New("this system cannot end a process when its parent has gone: only Linux can")
	case c.NoNewPrivs && runtime.GOOS != "linux":
		return errors.New("this system cannot keep new privileges from a process: only Linux can")
	}
	for _, l := range c.Limits {
		if err := l.check(); err != nil {
			return err
		}
	}
	if c.Nice < 0 && !mayNice(c.Nice) {
		return fmt.Errorf("nice %d: a lower value needs root, CAP_SYS_NICE or RLIMIT_NICE", c.Nice)
	}
	return errors.Join(c.Credential.Check(), checkTrampoline())
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

// Check says why the command cannot be started, as far as that shows without starting
// it.
func (c Command) Check() error {
	_, err := c.check()
	return err
}
