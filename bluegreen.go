package starter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/lestrrat/go-server-starter/internal/launch"
	"github.com/lestrrat/go-server-starter/internal/probe"
	"github.com/lestrrat/go-server-starter/internal/socket"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// This file is how a new generation comes to get connections where it has sockets of its own,
// and how workers are asked whether they serve.

// CanaryStep is a step in which a new generation gets a part of the new connections.
type CanaryStep struct {
	Percent float64 // of all new connections: more than 0, less than 100, to a hundredth
	For     time.Duration
}

// listens tells that workers may say how they get on: that they are ready, in a canary that
// they are not fit, or that they are alive.
func (c *Config) listens() bool { return c.Proof.how.Notified() || len(c.Canary) > 0 || c.Watchdog > 0 }

// sides gives the TCP ports two sets of sockets. Others are shared by all generations.
func (c *Config) sides(specs []socket.Spec) {
	for i := range specs {
		if s := &specs[i]; c.BlueGreen && !s.Taken && !s.UDP && s.Path == "" {
			s.Reuseport, s.Sided = true, true
		}
	}
}

// checkBlueGreen says what blue/green does not go with.
func (c *Config) checkBlueGreen(specs []socket.Spec) error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !c.BlueGreen {
		if len(c.Canary) > 0 {
			fault("a canary needs blue/green")
		}
		if c.KeepOld != 0 {
			fault("to keep the old generation for a rollback needs blue/green")
		}
		return errors.Join(faults...)
	}
	for _, other := range []struct {
		is   bool
		what string
	}{
		{runtime.GOOS != "linux", "is for Linux only"},
		{c.Replace.how == supervise.Beside, "goes without old workers that stay; to keep them for a rollback there is KeepOld"},
		{c.Replace.how != supervise.AtOnce && c.Replace.how != supervise.Beside, "goes without rolling restarts: a generation takes over as a whole"},
		{c.Follow, "goes without following a worker"},
		{c.FirstServes, "goes without a generation of which only the first worker serves"},
		{c.FDStore, "goes without sockets that a service manager keeps: after a crash nobody knows which set clients are in"},
		{c.ReplaceOrphans, "goes without replacing orphans, which have one of its two sets only"},
	} {
		if other.is {
			fault("blue/green %s", other.what)
		}
	}
	sided := false
	for _, s := range specs {
		sided = sided || s.IsTCP()
		if s.Taken && s.IsTCP() {
			fault("socket %q: blue/green needs a second set of it, which cannot be made for a TCP socket that was passed to us", s.Text)
		}
	}
	if !sided && len(specs) > 0 {
		fault("blue/green needs a TCP port: paths and UDP ports are shared by all generations")
	}
	return errors.Join(append(faults, c.checkCanary())...)
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
			faults = append(faults, fmt.Errorf("canary share %v %% lasts %v, which is no time", s.Percent, s.For))
		}
	}
	if c.KeepOld < 0 {
		faults = append(faults, fmt.Errorf("keep-old time %v is negative", c.KeepOld))
	}
	return errors.Join(faults...)
}

// probes reads those that workers are to pass.
func (c *Config) probes(sockets []socket.Socket) ([]probe.Probe, error) {
	var faults []error
	switch {
	case len(c.Probes) > 0 && !c.Proof.how.Probed():
		faults = append(faults, errors.New("probes go with the proof Probed only"))
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

// newChecker is what asks workers that have these sockets; nil: they are not asked.
func (s *Starter) newChecker(sockets []socket.Socket) *probe.Checker {
	if len(s.plan.probes) == 0 {
		return nil
	}
	return &probe.Checker{
		Probes: s.plan.probes, Sockets: launch.Names(sockets), Timeout: s.config.ProbeTimeout,
		Command: s.config.ProbeCommand, Credential: s.plan.program.Start.Credential, Dir: s.config.Dir,
		Env: func() ([]string, error) { return s.workerEnv() },
		Stderr: func() int {
			_, stderr := s.out.Descriptors()
			return stderr
		},
	}
}

// openChecker is done when the sockets are bound.
func (s *Starter) openChecker(open *undo) error {
	c := s.newChecker(s.launcher.Sockets.Sockets)
	if c == nil {
		return nil
	}
	if err := c.Check(); err != nil {
		return err
	}
	s.checker.Store(c)
	open.add(func() error { s.checker.Load().Close(); return nil })
	return nil
}

// endChecker ends the process that asks, which the next image could not wait for. again
// has it asked for anew when this image goes on after all.
func (s *Starter) endChecker() (again func() error) {
	c := s.checker.Load()
	if c == nil {
		return func() error { return nil }
	}
	c.Close()
	return func() error { s.checker.Store(s.newChecker(s.launcher.Sockets.Sockets)); return nil }
}

// ask is supervise.Config.Probe.
func (s *Starter) ask(ctx context.Context, w supervise.Worker, side int, again bool) error {
	target := probe.Target{Pid: w.Pid, Generation: w.Generation, Slot: w.Slot}
	target.Connect = func(ctx context.Context, place int) (int, error) {
		return s.launcher.Sockets.Connect(ctx, place, w.Slot, side)
	}
	target.Rivals = func(ctx context.Context) []int { return s.sup.Rivals(ctx, w) }
	c := s.checker.Load()
	do := c.Pass
	if again {
		do = c.Still
	}
	err := do(ctx, target)
	if errors.Is(err, probe.ErrClosed) { // another image is to go on
		return supervise.ErrNotAsked
	}
	return err
}

// apart tells the loop that each generation has sockets of its own.
func (s *Starter) apart(life *supervise.Config) {
	c := &s.config
	if c.BlueGreen {
		life.Traffic, life.KeepOld = s.launcher, c.KeepOld
		for _, step := range c.Canary {
			life.Canary = append(life.Canary, supervise.Step{Share: supervise.ShareOf(step.Percent), For: step.For})
		}
	}
	if len(s.plan.probes) > 0 {
		life.Probe, life.ProbeInterval = s.ask, c.ProbeInterval
	}
}

// Rollback gives the old generation, which stands by for KeepOld, all connections again, or
// ends a canary. It does not wait for the workers that it tells to go. The error says why
// there is no way back. It blocks while Run is not running, until ctx ends.
func (s *Starter) Rollback(ctx context.Context) error {
	return s.sup.Rollback(ctx, "rollback requested").Err
}

// Promote gives a canary all connections now, or tells an old generation that stands by to
// go. It returns when the new generation is live. It blocks while Run is not running, until
// ctx ends.
func (s *Starter) Promote(ctx context.Context) error {
	return s.sup.Promote(ctx, "promotion requested").Err
}
