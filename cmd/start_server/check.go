package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// faults are the faults of a command line, each with the name of its option.
type faults []error

func (f *faults) add(option string, err error) {
	if err != nil {
		*f = append(*f, fmt.Errorf("--%s: %w", option, err))
	}
}

// duration reads an option's value, and reports whether it was given.
func (f *faults) duration(option, given string, d *time.Duration) bool {
	if given == "" {
		return false
	}
	read, err := text.ParseDuration(given)
	f.add(option, err)
	*d = read
	return true
}

// positive is duration for an option that must not be 0; why is the fault if it is.
func (f *faults) positive(option, given string, d *time.Duration, why string) bool {
	count := len(*f)
	is := f.duration(option, given, d)
	if is && *d == 0 && len(*f) == count {
		f.add(option, errors.New(why))
	}
	return is
}

func (f *faults) signal(option, given string, sig *os.Signal) {
	if given != "" {
		var err error
		*sig, err = text.ParseSignal(given)
		f.add(option, err)
	}
}

func (f *faults) number(option, given string, from, to int, n *int) {
	if given == "" {
		return
	}
	read, err := strconv.Atoi(given)
	if err != nil || read < from || read > to {
		f.add(option, fmt.Errorf("%q is not a number from %d to %d", given, from, to))
		return
	}
	*n = read
}

// check reads the options' values into o.set. The error names every fault.
func (o *options) check() error {
	var f faults
	o.checkTimes(&f)
	o.checkProof(&f)
	c := &o.set
	f.signal("signal-on-hup", o.SignalOnHUP, &c.SignalOnHUP)
	f.signal("signal-on-term", o.SignalOnTERM, &c.SignalOnTERM)
	f.number("nice", o.Nice, -20, 19, &c.Nice)
	if o.Umask != "" {
		mask, err := strconv.ParseUint(o.Umask, 8, 16)
		if err != nil || mask > 0o777 {
			f.add("umask", fmt.Errorf("%q is not an octal number from 0 to 777", o.Umask))
		} else {
			n := int(mask)
			c.Umask = &n
		}
	}
	f.number("backlog", o.Backlog, 1, math.MaxInt32, &c.Backlog)
	f.number("attempts", o.Attempts, 0, math.MaxInt32, &c.Attempts)
	f.number("workers", o.Workers, 1, starter.MaxWorkers, &c.Workers)
	o.checkBlueGreen(&f)
	o.checkRenewal(&f)
	rolling := o.checkRolling(&f)
	return errors.Join(append(f, rolling, o.checkClient(), o.checkDaemon())...)
}

func (o *options) checkTimes(f *faults) {
	c := &o.set
	if f.duration("interval", o.Interval, &c.Interval) {
		c.Interval = max(c.Interval, starter.MinInterval)
	}
	var delay time.Duration
	if f.duration("kill-old-delay", o.KillOldDelay, &delay) {
		c.KillOldDelay = &delay
	}
	f.duration("kill-timeout", o.KillTimeout, &c.KillTimeout)
	f.positive("auto-restart-interval", o.AutoRestartInterval, &c.AutoRestartInterval, "0 would restart without end")
	f.duration("timeout", o.Timeout, &o.timeout)
	f.duration("stop-delay", o.StopDelay, &c.StopDelay)
}

// defaultReadyTimeout is the default of --ready-timeout, as the help says.
const defaultReadyTimeout = time.Minute

// checkProof checks --ready and --ready-timeout.
func (o *options) checkProof(f *faults) {
	timeout := defaultReadyTimeout
	if f.positive("ready-timeout", o.ReadyTimeout, &timeout, "0 is too short for any worker") && o.Ready != "notify" && o.Ready != "probe" {
		f.add("ready-timeout", errors.New("it needs --ready=notify or probe"))
	}
	if timeout == 0 {
		timeout = defaultReadyTimeout // otherwise the library would report the fault again
	}
	switch o.Ready {
	case "", "interval":
	case "notify":
		o.set.Proof = starter.Notified(timeout)
	case "probe":
		if len(o.Probe) == 0 {
			f.add("ready", errors.New("probe needs --probe"))
			return
		}
		o.set.Proof = starter.Probed(timeout)
	default:
		f.add("ready", fmt.Errorf("%q is not interval, notify or probe", o.Ready))
	}
}

// checkRenewal checks the options that replace workers between restarts.
func (o *options) checkRenewal(f *faults) {
	c := &o.set
	f.positive("watchdog", o.Watchdog, &c.Watchdog, "0 would take every worker for hung")
	if o.MaxRSS != "" {
		size, err := text.ParseSize(o.MaxRSS)
		f.add("max-rss", err)
		c.MaxMemory = size
	}
	age, spread, spreads := strings.Cut(strings.ReplaceAll(o.MaxAge, "±", "+-"), "+-")
	f.positive("max-age", age, &c.MaxAge, "0 would replace workers without end")
	if !spreads {
		return
	}
	percent, err := strconv.ParseFloat(strings.TrimSuffix(spread, "%"), 64)
	if err != nil || !(percent >= 0 && percent <= 100) || age == "" {
		f.add("max-age", fmt.Errorf("%q is not SECONDS+-PERCENT, as in 3600+-10%%", o.MaxAge))
		return
	}
	c.AgeSpread = percent / 100
}

// defaultProbeInterval is the default of --probe-interval, as the help says.
const defaultProbeInterval = 5 * time.Second

// checkBlueGreen checks --blue-green and what goes with it.
func (o *options) checkBlueGreen(f *faults) {
	c := &o.set
	for _, with := range []struct {
		option, needs string
		given, is     bool
	}{
		{"canary", "--blue-green", o.Canary != "", o.BlueGreen},
		{"keep-old", "--blue-green", o.KeepOld != "", o.BlueGreen},
		{"probe", "--ready=probe", len(o.Probe) > 0, o.Ready == "probe"},
		{"probe-timeout", "--ready=probe", o.ProbeTimeout != "", o.Ready == "probe"},
		{"probe-interval", "--ready=probe", o.ProbeInterval != "", o.Ready == "probe"},
	} {
		if with.given && !with.is {
			f.add(with.option, fmt.Errorf("it needs %s", with.needs))
		}
	}
	f.duration("keep-old", o.KeepOld, &c.KeepOld)
	c.ProbeInterval = defaultProbeInterval
	f.positive("probe-timeout", o.ProbeTimeout, &c.ProbeTimeout, "0 is too short for any worker")
	c.ProbeLive = f.positive("probe-interval", o.ProbeInterval, &c.ProbeInterval, "0 would ask without end") && c.ProbeInterval > 0 && o.Ready == "probe"
	for _, step := range strings.Split(o.Canary, ",") {
		if o.Canary != "" {
			o.addStep(f, strings.TrimSpace(step))
		}
	}
	if !o.BlueGreen { // that fault was reported above
		c.Canary, c.KeepOld = nil, 0
	}
	if o.Ready != "probe" {
		o.Probe = nil
	}
}

// addStep reads SHARE:TIME, a step of the canary.
func (o *options) addStep(f *faults, step string) {
	share, lasts, ok := strings.Cut(step, ":")
	percent, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(share), "%")), 64)
	if !ok || err != nil || !(percent >= 0.01 && percent <= 99.99) {
		f.add("canary", fmt.Errorf("%q is not SHARE:TIME, as in 5%%:30s, with a share from 0.01%% to 99.99%%", step))
		return
	}
	var d time.Duration
	if !f.positive("canary", lasts, &d, fmt.Sprintf("%q: 0 is no time", step)) || d == 0 {
		return
	}
	steps := o.set.Canary
	if n := len(steps); n > 0 && percent <= steps[n-1].Percent {
		f.add("canary", fmt.Errorf("%q: the share is not more than the one before it", step))
		return
	}
	o.set.Canary = append(steps, starter.CanaryStep{Percent: percent, For: d})
}

// checkRolling checks --rolling and --surge.
func (o *options) checkRolling(f *faults) error {
	surge := 1
	f.number("surge", o.Surge, 1, starter.MaxWorkers, &surge)
	workers := o.set.Workers
	switch {
	case o.Rolling && o.Workers == "":
		return errors.New("--rolling needs --workers")
	case o.Surge != "" && !o.Rolling:
		return errors.New("--surge needs --rolling")
	case workers > 0 && surge > workers:
		return fmt.Errorf("--surge: %d is more than there are workers, %d", surge, workers)
	case o.Rolling && workers > 0:
		o.set.Replace = starter.Rolling(surge)
	}
	return nil
}

// checkClient checks the options that ask another start_server.
func (o *options) checkClient() error {
	var asked []string
	for name, is := range map[string]bool{"--restart": o.Restart, "--rollback": o.Rollback, "--promote": o.Promote, "--stop": o.Stop, "--reopen": o.Reopen, "--status": o.Status, "--events": o.Events, "--print-config": o.PrintConfig, "--upgrade": o.upgrade} {
		if is {
			asked = append(asked, name)
		}
	}
	slices.Sort(asked)
	switch {
	case len(asked) > 1:
		return fmt.Errorf("%s exclude each other", strings.Join(asked, " and "))
	case o.Restart && o.Control == "" && (o.PidFile == "" || o.StatusFile == ""):
		return errors.New("--restart needs --control, or --pid-file and --status-file")
	case (o.Rollback || o.Promote || o.Reopen || o.Events) && o.Control == "":
		return fmt.Errorf("%s needs --control", asked[0])
	case o.PrintConfig && o.Control == "" && len(o.command) == 0:
		return errors.New("--print-config needs the program, or --control")
	case o.PrintConfig && o.file != nil && !o.isGiven("control") && len(o.command) == 0:
		return fmt.Errorf("--print-config: %s has no line program = PATH; to see the options of a running start_server give --control on the command line", o.file.path)
	case o.Stop && o.Control == "" && o.PidFile == "":
		return errors.New("--stop needs --control or --pid-file")
	case o.Watch && !o.Status:
		return errors.New("--watch needs --status")
	case o.Watch && o.Control == "":
		return errors.New("--watch needs --control")
	case o.Timeout != "" && (o.Watch || o.Events):
		return errors.New("--timeout cannot be combined with --watch or --events: they run until they are interrupted")
	case o.Status && o.Control == "" && (o.JSON || o.PidFile == "" && o.StatusFile == ""):
		return errors.New("--status needs --control or, without --json, --pid-file or --status-file")
	case o.upgrade && o.Control == "" && o.Upgrade == "":
		return errors.New("--upgrade needs --control")
	case o.upgrade && len(o.command) == 0 && o.file != nil:
		return fmt.Errorf("--upgrade: %s has no line program = PATH, but it has to hold the whole new command line", o.file.path)
	case o.upgrade && len(o.command) == 0 && len(o.line) > 0:
		return fmt.Errorf("--upgrade with %s needs the program, too: give the whole new command line", o.line[0])
	case o.KeepWorkers && !o.upgrade:
		return errors.New("--keep-workers needs --upgrade")
	case o.JSON && !o.Status && !o.Events:
		return errors.New("--json is for --status and --events only")
	case o.Drained && (!o.Restart || o.Control == ""):
		return errors.New("--drained needs --restart and --control")
	case o.ReplaceOrphans && o.StatusFile == "" && !o.isClient():
		return errors.New("--replace-orphans needs --status-file")
	case o.Timeout != "" && len(asked) == 0:
		return errors.New("--timeout is for --restart, --rollback, --promote, --stop, --reopen, --status, --print-config and --upgrade only")
	}
	return nil
}

// checkDaemon checks --daemonize.
func (o *options) checkDaemon() error {
	switch {
	case o.Daemonize != "" && o.Daemonize != "started" && o.Daemonize != "ready":
		return fmt.Errorf("--daemonize: %q is neither started nor ready", o.Daemonize)
	case o.Daemonize != "" && slices.ContainsFunc(o.Port, takesStdio):
		return errors.New("--daemonize opens /dev/null as 0, 1 and 2: pass the socket for fd:// at another number")
	case o.Daemonize != "" && o.LogFile == "":
		return errors.New("--daemonize needs --log-file")
	}
	return nil
}

// takesStdio reports whether a list of ports has fd://0, 1 or 2.
func takesStdio(list string) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(item string) bool {
		_, number, found := strings.Cut(item, "fd://")
		number, _, _ = strings.Cut(number, "=")
		return found && slices.Contains([]string{"0", "1", "2"}, strings.TrimSpace(number))
	})
}

// isClient reports whether the command asks another start_server.
func (o *options) isClient() bool {
	return o.Restart || o.Rollback || o.Promote || o.Stop || o.Reopen || o.Status || o.Watch || o.Events || o.upgrade || o.PrintConfig && len(o.command) == 0
}
