//go:build unix

package proc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/lestrrat/go-server-starter/internal/trampoline"
)

// prepared tells whether the command needs something that fork and exec cannot do.
func (c *Command) prepared() bool {
	return len(c.PidVariables) > 0 || c.Umask != nil || c.Nice != 0 || c.Credential != nil || c.DieWithParent ||
		len(c.Limits) > 0 || c.NoNewPrivs
}

// checkTrampoline says why our executable cannot serve as a trampoline, if it cannot.
func checkTrampoline() error {
	path, err := itself()
	if err == nil {
		_, err = os.Stat(path)
	}
	special, unknown := privileged()
	switch {
	case err != nil:
		return fmt.Errorf("systemd's export, user, group, umask, nice, limit, no-new-privs and die-with-parent need our own executable, as /proc shows it: %w", err)
	case unknown != nil:
		return fmt.Errorf("cannot find out whether our executable has a set-user-ID bit or file capabilities: %w", unknown)
	case special:
		return errors.New("systemd's export, user, group, umask, nice, limit, no-new-privs and die-with-parent do not work with a set-user-ID bit or file capabilities:" +
			" use ambient ones (AmbientCapabilities= of systemd, setpriv --ambient-caps)")
	}
	return nil
}

// privileged is trampoline.Privileged. The answer cannot change and is kept; after an error the
// next call asks again.
func privileged() (bool, error) {
	privilege.mu.Lock()
	defer privilege.mu.Unlock()
	if privilege.known {
		return privilege.is, nil
	}
	var err error
	privilege.is, err = trampoline.Privileged()
	privilege.known = err == nil
	return privilege.is, err
}

var privilege struct {
	mu        sync.Mutex
	known, is bool
}

// startPrepared starts the command by way of a trampoline.
func (c *Command) startPrepared(ctx context.Context, paths []string) (*Process, error) {
	f, err := c.fork(paths)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", c.Args[0], err)
	}
	failed, err := f.awaitExec(ctx)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", c.Args[0], err)
	}
	if failed != nil {
		return nil, c.explain(*failed)
	}
	return f.process, nil
}

func (c *Command) job(paths []string) *trampoline.Job {
	job := &trampoline.Job{
		Paths:        paths,
		Args:         c.Args,
		Env:          c.Env,
		Nice:         c.Nice,
		Identity:     c.Credential.identity(),
		Umask:        -1,
		Dir:          c.Dir,
		PidVariables: c.PidVariables,
		NoNewPrivs:   c.NoNewPrivs,
	}
	if c.apart() {
		job.Identity.Apart = true
	}
	for _, l := range c.Limits {
		job.Limits = append(job.Limits, trampoline.Limit{Resource: resources[l.Name], Soft: l.Soft, Hard: l.Hard})
	}
	if c.Umask != nil {
		job.Umask = *c.Umask
	}
	if c.DieWithParent {
		job.Parent = os.Getpid()
	}
	if len(c.PidVariables) > 0 {
		job.Env = slices.DeleteFunc(slices.Clone(c.Env), func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=")
			return slices.Contains(c.PidVariables, name)
		})
	}
	return job
}

// explain is the error of a failed step. For the exec it is what Start says of a command
// that it starts directly.
func (c *Command) explain(failed trampoline.Failure) error {
	errno := syscall.Errno(failed.Errno)
	as := ""
	if c.Credential != nil && errno == syscall.EACCES {
		as = " for " + c.Credential.who
	}
	name := c.Args[0]
	switch failed.Step {
	case trampoline.StepExec:
		return fmt.Errorf("program %q: %w%s%s", name, errno, as, hint(errno))
	case trampoline.StepDir:
		return fmt.Errorf("working directory: %w%s", &fs.PathError{Op: "chdir", Path: c.Dir, Err: errno}, as)
	case trampoline.StepNice:
		return fmt.Errorf("program %q: cannot change its niceness by %d: %w", name, c.Nice, errno)
	case trampoline.StepGroups:
		return fmt.Errorf("cannot switch to %s: setgroups: %w", c.Credential.who, errno)
	case trampoline.StepGID:
		return fmt.Errorf("cannot switch to %s: setgid %d: %w", c.Credential.who, c.Credential.GID, errno)
	case trampoline.StepUID:
		return fmt.Errorf("cannot switch to %s: setuid %d: %w", c.Credential.who, c.Credential.UID, errno)
	case trampoline.StepParent:
		return fmt.Errorf("program %q: cannot be made to end with us: %w", name, errno)
	case trampoline.StepLimits:
		return fmt.Errorf("program %q: cannot be given its limits: %w", name, errno)
	case trampoline.StepKeyring:
		return fmt.Errorf("cannot switch to %s: a new session keyring: %w", c.Credential.who, errno)
	case trampoline.StepNoNewPrivs:
		return fmt.Errorf("program %q: cannot be kept from new privileges: %w", name, errno)
	case trampoline.StepPrivileged:
		return errors.New("a program whose own file has a set-user-ID bit or capabilities" +
			" cannot set a pid variable, umask, niceness or user")
	default:
		return fmt.Errorf("program %q: cannot be prepared: %w", name, errno)
	}
}
