package starter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/proc"
	"github.com/lestrrat/go-server-starter/internal/report"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// This file finds what is wrong with a Config, and changes nothing on the system.

// plan is what New makes of a Config.
type plan struct {
	specs   []socket.Spec
	program launch.Program
	probes  []probe.Probe
	rules   []report.Rule
	env     launch.Environ // of the workers, without what differs from one to the next
}

// check checks everything that can be checked without changing the system. Each room checks
// what is for it. The error names every fault.
func (c *Config) check() (plan, error) {
	specs, wrong := c.sockets()
	exports, unknown := fdenv.ParseExports(c.Export)
	if slices.ContainsFunc(exports, func(e fdenv.Export) bool { return e.Nonblocking }) {
		for i := range specs {
			specs[i].Nonblock = true
		}
	}
	runAs, nobody := proc.LookupCredential(c.User, c.Group)
	limits, beyond := proc.ParseLimits(c.Limits)
	var unsided error
	if c.BlueGreen {
		unsided = socket.GiveSides(specs)
	}
	p := plan{specs: specs, program: c.program(exports, runAs, limits), env: c.baseEnv(exports, runAs)}
	bound := socket.Plan(specs)
	if wrong != nil || unknown != nil { // these faults are told: others would only follow from them
		p.program.Expand, p.program.Exports, bound = false, nil, nil
	}
	var unasked error
	if p.probes, unasked = c.probes(bound); wrong != nil {
		unasked = nil
	}
	rules, unheard := report.ParseRules(c.OnEvent)
	p.rules = rules
	faults := []error{
		c.checkBlueGreen(unsided), unasked, c.checkCommand(), wrong, unknown, nobody, beyond, p.program.Check(bound), output.Check(c.LogFile), output.CheckFormat(string(c.LogFormat)),
		c.checkNumbers(), c.checkTimes(), c.checkCrash(), c.checkPaths(specs), c.checkEnv(p.env), unheard,
	}
	return p, errors.Join(faults...)
}

// sockets are the sockets that are asked for, with those that are passed to this process.
func (c *Config) sockets() ([]socket.Spec, error) {
	passed, err := fdenv.TakePassed(os.Getenv, os.Getpid(), c.Inherit)
	var inherited []socket.Spec
	for _, p := range passed {
		inherited = append(inherited, socket.Inherited(p.FD, p.Name))
	}
	specs, wrong := socket.Parse(c.Ports, c.Paths, inherited...)
	if err := errors.Join(err, wrong); err != nil {
		return nil, err
	}
	return specs, socket.Check(specs, socket.Lookup{User: proc.LookupUser, Group: proc.LookupGroup})
}

func (c *Config) checkTimes() error {
	var faults []error
	for _, t := range []struct {
		name string
		is   time.Duration
	}{
		{"interval", c.Interval},
		{"auto-restart interval", c.AutoRestartInterval},
		{"kill timeout", c.KillTimeout},
		{"stop delay", c.StopDelay},
		{"watchdog time", c.Watchdog},
		{"max age", c.MaxAge},
	} {
		if t.is < 0 {
			faults = append(faults, fmt.Errorf("%s %v is negative", t.name, t.is))
		}
	}
	if c.KillOldDelay != nil && *c.KillOldDelay < 0 {
		faults = append(faults, fmt.Errorf("kill-old delay %v is negative", *c.KillOldDelay))
	}
	return errors.Join(faults...)
}

func (c *Config) checkNumbers() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Backlog < 0 {
		fault("backlog %d is negative", c.Backlog)
	}
	if c.Attempts < 0 {
		fault("attempts %d is negative", c.Attempts)
	}
	if c.FirstAttempts < 0 {
		fault("first attempts %d is negative", c.FirstAttempts)
	}
	if c.Workers < 0 || c.Workers > MaxWorkers {
		fault("workers %d is not from 0 to %d", c.Workers, MaxWorkers)
	}
	if c.MaxMemory < 0 {
		fault("max memory %d is negative", c.MaxMemory)
	}
	if !(c.AgeSpread >= 0 && c.AgeSpread <= 1) {
		fault("age spread %v is not from 0 to 1", c.AgeSpread)
	}
	if renews := c.Watchdog > 0 || c.ProbeLive || c.MaxAge > 0 || c.MaxMemory > 0; renews && c.Follow {
		fault("watchdog, live probes, max age and max memory cannot be combined with following a worker: it is never replaced")
	} else if renews && c.Replace.how == supervise.Beside {
		fault("watchdog, live probes, max age and max memory cannot be combined with old workers that stay")
	}
	if (c.Watchdog > 0 || c.MaxMemory > 0) && runtime.GOOS != "linux" {
		fault("the watchdog and the limit of memory are for Linux only")
	}
	if c.ProbeLive && (!c.Proof.how.Probed() || c.ProbeInterval == 0) {
		fault("to probe live workers needs probes and a probe interval")
	}
	if c.Workers > 0 && c.Follow {
		fault("workers %d cannot be combined with following a worker", c.Workers)
	}
	return errors.Join(append(faults, c.Replace.how.Check(c.Workers), c.Proof.how.Check())...)
}

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

// checkPaths finds a path of the control socket that is too long, and files that would
// overwrite each other.
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

// checkBlueGreen says what blue/green does not go with. unsided is why the sockets cannot have
// two sides.
func (c *Config) checkBlueGreen(unsided error) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !c.BlueGreen {
		if len(c.Canary) > 0 {
			fault("a canary needs blue/green")
		}
		if c.KeepOld != 0 {
			fault("keep-old needs blue/green")
		}
		return errors.Join(faults...)
	}
	for _, other := range []struct {
		is   bool
		what string
	}{
		{runtime.GOOS != "linux", "is for Linux only"},
		{c.Replace.how == supervise.Beside, "cannot be combined with old workers that stay; to keep them for a rollback there is KeepOld"},
		{c.Replace.how != supervise.AtOnce && c.Replace.how != supervise.Beside, "cannot be combined with rolling restarts: a generation takes over as a whole"},
		{c.Follow, "cannot be combined with following a worker"},
		{c.FirstServes, "cannot be combined with a generation of which only the first worker serves"},
		{c.FDStore, "cannot be combined with sockets that a service manager keeps: after a crash nobody knows which set clients are in"},
		{c.ReplaceOrphans, "cannot be combined with replacing orphans, which have one of its two sets only"},
	} {
		if other.is {
			fault("blue/green %s", other.what)
		}
	}
	return errors.Join(append(faults, unsided, c.checkCanary())...)
}

func (c *Config) checkCanary() error {
	var faults []error
	last := 0
	for _, s := range c.Canary {
		switch share := supervise.ShareOf(s.Percent); {
		case share <= 0 || share >= supervise.All:
			faults = append(faults, fmt.Errorf("canary share %v %% is not between 0.01 and 99.99", s.Percent))
		case share <= last:
			faults = append(faults, fmt.Errorf("canary share %v %% is not more than the one before it", s.Percent))
		default:
			last = share
		}
		if s.For <= 0 {
			faults = append(faults, fmt.Errorf("canary share %v %% lasts %v: the time has to be positive", s.Percent, s.For))
		}
	}
	if c.KeepOld < 0 {
		faults = append(faults, fmt.Errorf("keep-old time %v is negative", c.KeepOld))
	}
	return errors.Join(faults...)
}

// probes parses the probes that workers have to pass.
func (c *Config) probes(sockets []socket.Socket) ([]probe.Probe, error) {
	var faults []error
	switch {
	case len(c.Probes) > 0 && !c.Proof.how.Probed():
		faults = append(faults, errors.New("probes need the proof Probed"))
	case len(c.Probes) == 0 && c.Proof.how.Probed():
		faults = append(faults, errors.New("the proof Probed needs a probe"))
	}
	for _, t := range []struct {
		name string
		is   time.Duration
	}{{"probe timeout", c.ProbeTimeout}, {"probe interval", c.ProbeInterval}} {
		if t.is < 0 {
			faults = append(faults, fmt.Errorf("%s %v is negative", t.name, t.is))
		}
	}
	probes, err := probe.Parse(c.Probes, launch.Names(sockets), c.BlueGreen)
	return probes, errors.Join(append(faults, err)...)
}

// checkCrash says why sockets cannot be kept over a crash.
func (c *Config) checkCrash() error {
	var faults []error
	if c.FDStore && runtime.GOOS != "linux" || c.ReplaceOrphans && runtime.GOOS != "linux" {
		return errors.New("only Linux can keep sockets over a crash: fdstore and replace-orphans are not for this system")
	}
	if c.FDStore && !c.managed() {
		faults = append(faults, errors.New("fdstore: there is no service manager to keep the sockets, as NOTIFY_SOCKET is not set"))
	}
	if c.ReplaceOrphans && c.StatusFile == "" {
		faults = append(faults, errors.New("replace-orphans needs the status file that lists them"))
	}
	return errors.Join(faults...)
}
