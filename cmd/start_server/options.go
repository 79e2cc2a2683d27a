package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jessevdk/go-flags"
	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/text"
)

//go:generate go test . -run=TestOptionsPageIsFresh -update

// options is the command line. The tags drive parsing, the help, docs/options.md and what
// a shell completes. A blank field begins a section, which all fields up to the next one
// belong to. default-mask is the default as people read it; complete is what a shell may
// offer as the value, see cmdline.Complete; variable stands in for an option that is not given.
type options struct {
	_ struct{} `section:"Sockets" example:"start_server --port=127.0.0.1:8080 --path=app.sock -- ./server"`

	Port           []string `long:"port" value-name:"SPEC" description:"TCP port to bind, or UDP with a u: [LABEL@][HOST:][u]PORT[=FD][,OPTION...]; or a socket that is open already: fd://N. Without HOST it is 0.0.0.0; an IPv6 address stands in brackets; with =FD the program finds the socket at that descriptor. OPTION: backlog=N, reuseport, ipv4, ipv6, v6only=0, nodelay, defer-accept, fastopen=N, nonblock. Repeatable, also as a comma list"`
	Path           []string `long:"path" value-name:"PATH" complete:"file" description:"unix stream socket to bind: [LABEL@]PATH[,OPTION...]. OPTION: backlog=N, mode=OCTAL, owner=USER, group=GROUP, nonblock. Repeatable"`
	Inherit        []string `long:"inherit" value-name:"NAME" optional:"yes" optional-value:"*" description:"take all sockets that systemd passes by LISTEN_FDS, or with =NAME those of that name. Repeatable"`
	Backlog        string   `long:"backlog" value-name:"N" default-mask:"SOMAXCONN" description:"backlog of the sockets, for listen(2)"`
	Export         []string `long:"export" value-name:"NAME" complete:"export" default-mask:"SERVER_STARTER_PORT only" description:"tell the program of its sockets also in the way of systemd, einhorn, unicorn, puma, nginx or php-fpm. Repeatable, also as a comma list"`
	Expand         bool     `long:"expand" description:"replace {fd:WHICH} and {port:WHICH} in the program's arguments by the descriptor and the port of a socket. WHICH is a label, a name in SERVER_STARTER_PORT, or the place among the sockets, from 0"`
	FDStore        bool     `long:"fdstore" description:"have the service manager keep the sockets for the start_server that it starts after a crash: no connection that waits is lost. systemd needs FileDescriptorStoreMax= for it (Linux)"`
	ReplaceOrphans bool     `long:"replace-orphans" description:"take the sockets over from workers that a killed start_server left behind, as listed in --status-file. These are told to go when the new workers serve (Linux)"`

	_ struct{} `section:"Workers" example:"start_server --port=8080 --workers=4 --dir=/srv/app -- ./server"`

	Workers       string   `long:"workers" value-name:"N" default-mask:"1" description:"number of processes in a generation. Each finds its number, from 0, in SERVER_STARTER_WORKER. TTIN adds one, TTOU takes one away"`
	Dir           string   `long:"dir" value-name:"PATH" complete:"dir" description:"working directory of the program; looked up again for each worker"`
	User          string   `long:"user" value-name:"USER" default-mask:"as start_server" description:"run the program as that user, with its groups. Ports are bound before"`
	Group         string   `long:"group" value-name:"GROUP" default-mask:"the user's" description:"run the program in that group"`
	Umask         string   `long:"umask" value-name:"OCTAL" default-mask:"as start_server" description:"umask of the program"`
	Nice          string   `long:"nice" value-name:"N" default-mask:"0" description:"add N, from -20 to 19, to the program's niceness"`
	Limit         []string `long:"limit" value-name:"NAME=SOFT[:HARD]" default-mask:"as start_server" description:"resource limit of the program. NAME is as in prlimit(1): nofile, nproc, as, ...; a limit is a number or unlimited. Repeatable (Linux)"`
	NoNewPrivs    bool     `long:"no-new-privs" description:"no exec can give the program more rights, by a set-user-ID bit or by file capabilities (Linux)"`
	EnvDir        string   `long:"envdir" variable:"ENVDIR" value-name:"DIR" complete:"dir" description:"directory whose files are variables for the program; read again for each worker. Also ENVDIR"`
	DropEnv       []string `long:"drop-env" value-name:"VAR" description:"keep that variable from the program. Repeatable"`
	ClearEnv      bool     `long:"clear-env" description:"keep all variables from the program except PATH and those that start_server sets or reads"`
	DieWithParent bool     `long:"die-with-parent" description:"the kernel sends the program TERM when start_server is killed (Linux)"`
	Subreaper     bool     `long:"subreaper" description:"adopt and reap orphans of the program, and pass USR1 and USR2 on, as start_server does as PID 1. Orphans that are left at the stop get TERM, and KILL after --kill-timeout or 10 seconds (Linux)"`

	Watchdog string `long:"watchdog" value-name:"SECONDS" default-mask:"off" description:"a worker that has said WATCHDOG=1 or READY=1 to NOTIFY_SOCKET, and says neither again for so long, hangs: when a successor has proved itself it gets ABRT, and KILL after --kill-timeout or 10 seconds. Workers find the time in WATCHDOG_USEC, see sd_watchdog_enabled(3) (Linux)"`
	MaxRSS   string `long:"max-rss" value-name:"SIZE" default-mask:"no limit" description:"replace a worker that has more memory, with its descendants, than SIZE: one at a time, when a successor has proved itself. SIZE is in bytes, or with K, M or G: 512M (Linux)"`
	MaxAge   string `long:"max-age" value-name:"SECONDS[+-PERCENT]" default-mask:"no limit" description:"replace a worker that is older, one at a time, when a successor has proved itself. With 3600+-10% each worker has a limit of its own within 10 per cent"`

	_ struct{} `section:"Restarts" example:"start_server --port=8080 --signal-on-hup=QUIT --kill-timeout=30 -- ./server"`

	SignalOnHUP         string `long:"signal-on-hup" value-name:"NAME" complete:"signal" default-mask:"TERM" description:"signal for old workers at a restart"`
	SignalOnTERM        string `long:"signal-on-term" value-name:"NAME" complete:"signal" default-mask:"TERM" description:"signal for all workers when start_server gets TERM"`
	KillOldDelay        string `long:"kill-old-delay" variable:"KILL_OLD_DELAY" value-name:"SECONDS" default-mask:"0, or 5 with --enable-auto-restart" description:"time from the success of the new workers to the signal for the old ones. Also KILL_OLD_DELAY"`
	KillTimeout         string `long:"kill-timeout" value-name:"SECONDS" default-mask:"never" description:"KILL a worker that is still there so long after it was told to go"`
	KillGroup           bool   `long:"kill-group" description:"at --kill-timeout KILL the worker's whole process group. Processes that a worker leaves behind in its group are told to go as the worker was (Linux)"`
	SignalGroup         bool   `long:"signal-group" description:"as --kill-group, and the signals that tell a worker to go are sent to its whole process group"`
	StopDelay           string `long:"stop-delay" value-name:"SECONDS" default-mask:"0" description:"serve on so long after TERM before stopping"`
	Rolling             bool   `long:"rolling" description:"restart worker by worker: a new one that has proved itself replaces the old one of its number. Needs --workers"`
	Surge               string `long:"surge" value-name:"K" default-mask:"1" description:"in a rolling restart run at most K processes beyond --workers"`
	EnableAutoRestart   bool   `long:"enable-auto-restart" variable:"ENABLE_AUTO_RESTART" description:"restart by time. Also ENABLE_AUTO_RESTART=1"`
	AutoRestartInterval string `long:"auto-restart-interval" variable:"AUTO_RESTART_INTERVAL" value-name:"SECONDS" default-mask:"360" description:"time from the last success to an automatic restart. Also AUTO_RESTART_INTERVAL"`

	BlueGreen bool   `long:"blue-green" description:"give each TCP port two sets of sockets, so that no client reaches a new generation before it has proved itself, nor an old one that was told to go (Linux)"`
	Canary    string `long:"canary" value-name:"SHARE:TIME[,SHARE:TIME...]" default-mask:"none: all at once" description:"with --blue-green: a new generation that has proved itself gets that share of the connections for that time, as in 5%:30s,25%:1m, and then all. If a worker fails meanwhile, its clients go to the old generation again, and the restart has failed"`
	KeepOld   string `long:"keep-old" value-name:"SECONDS" default-mask:"0" description:"with --blue-green: keep the old generation for so long, without connections, for --rollback"`

	_ struct{} `section:"Readiness" example:"start_server --port=8080 --ready=notify --attempts=3 -- ./server"`

	Interval      string   `long:"interval" value-name:"SECONDS" default-mask:"1; at least 0.1" description:"a new worker that lives so long has proved itself. Also the least time between two attempts"`
	Ready         string   `long:"ready" value-name:"HOW" complete:"interval notify probe" default-mask:"interval" description:"how a new worker proves itself: interval, by living so long; notify, by READY=1 to NOTIFY_SOCKET, see sd_notify(3); or probe, by passing every --probe and living for --interval (notify and probe: Linux)"`
	Probe         []string `long:"probe" value-name:"URL" description:"with --ready=probe: what is asked of each new worker. http://NAME/path or https://NAME/path, any answer of 200 to 399; tcp://NAME, it accepts; exec:COMMAND, exit code 0. NAME is a label of a port, or its name in SERVER_STARTER_PORT. All but exec: need --blue-green. Repeatable"`
	ProbeTimeout  string   `long:"probe-timeout" value-name:"SECONDS" default-mask:"1" description:"time for one try of a probe; it is tried until --ready-timeout"`
	ProbeInterval string   `long:"probe-interval" value-name:"SECONDS" default-mask:"5 in a --canary, never later" description:"time between probes of a worker that has passed. If it is given, live workers are probed, too: one that does not pass hangs, and is replaced as with --watchdog"`
	ReadyTimeout  string   `long:"ready-timeout" value-name:"SECONDS" default-mask:"60" description:"with --ready=notify or probe: a new worker that is not ready by then has failed"`
	Attempts      string   `long:"attempts" value-name:"N" default-mask:"0, which is never" description:"give up after so many failed attempts in a row. The old workers serve on; without any start_server exits with 1"`

	_ struct{} `section:"Files" example:"start_server --port=8080 --control=app.ctl --log-file=app.log -- ./server"`

	PidFile      string   `long:"pid-file" value-name:"FILE" complete:"file" description:"file to hold the pid of start_server while it runs"`
	StatusFile   string   `long:"status-file" value-name:"FILE" complete:"file" description:"file to list the serving workers, a line GENERATION:PID each"`
	Control      string   `long:"control" value-name:"PATH" complete:"socket" description:"control socket: to make, and for the client options to use. See start_server-control(7)"`
	OnEvent      []string `long:"on-event" value-name:"[EVENT,...:]COMMAND" description:"start COMMAND by sh -c for each event of --control's list, or with live,failed:COMMAND for those. It reads the event from its stdin, as a line of JSON. One at a time; one that takes 30 seconds is killed. Repeatable"`
	LogFile      string   `long:"log-file" value-name:"FILE" complete:"file" default-mask:"stderr" description:"where stdout and stderr of start_server and the program go: a file, \"| command\", or syslog:[TAG], which is logger(1)"`
	PrefixOutput bool     `long:"prefix-output" description:"begin each line that the program writes with its pid, as in \"[4711] hello\". The program writes to a pipe then, and can neither truncate the log nor forge lines of start_server"`
	LogFormat    string   `long:"log-format" value-name:"FORMAT" complete:"plain time json" default-mask:"plain" description:"what lines of the log look like: plain, Server::Starter's; time, after the time; json, an object a line"`
	LogWorkers   bool     `long:"log-workers" description:"--prefix-output by pid, generation, slot and stream, in that format"`
	Config       string   `long:"config" value-name:"FILE" complete:"file" description:"file of options, a line each as in port = 8080, and of the program: see FILE OF OPTIONS in start_server(1). The command line wins over the file. --upgrade reads it again"`
	Daemonize    string   `long:"daemonize" value-name:"WHEN" optional:"yes" optional-value:"started" complete:"ready" description:"run in the background. Returns when the first worker has been started, or with =ready when the first generation serves, or says why not. Needs --log-file"`

	_ struct{} `section:"Client" example:"start_server --restart --control=app.ctl"`

	Restart     bool   `long:"restart" description:"restart the workers of the start_server at --control, and return when the new generation serves. Or of the one that holds --pid-file: send it HUP, and wait until --status-file lists a newer generation only"`
	Drained     bool   `long:"drained" description:"--restart by --control also waits until the old workers are gone"`
	Rollback    bool   `long:"rollback" description:"have the start_server at --control give all connections to the old generation again, which stands by (--keep-old), or end a canary"`
	Promote     bool   `long:"promote" description:"have the start_server at --control give a canary all connections now, or end the standby of the old generation"`
	Stop        bool   `long:"stop" description:"stop the start_server at --control, or that holds --pid-file, and wait until it is gone"`
	Reopen      bool   `long:"reopen" description:"have the start_server at --control open its log file again by its path, as after logrotate has renamed it. USR1 does the same"`
	Status      bool   `long:"status" description:"print how things stand with the start_server at --control, or what --pid-file and --status-file say"`
	Watch       bool   `long:"watch" description:"--status again each second, until it is interrupted: on a terminal as a picture that fills the window, with memory, CPU and waiting connections. Needs --control"`
	Events      bool   `long:"events" description:"print each event of the start_server at --control as it comes, a line each, until it has ended"`
	JSON        bool   `long:"json" description:"--status or --events as JSON, with --watch and --events an object a line"`
	PrintConfig bool   `long:"print-config" description:"print the options as a file for --config, and exit: those of the command line and of --config's file, after a check; without a program, those of the start_server at --control"`
	Upgrade     string `long:"upgrade" value-name:"PATH" optional:"yes" optional-value:"" complete:"socket" description:"put this start_server in the place of the one at --control, or at =PATH: in the same process, with the same sockets. Then the workers are restarted. To change the command line give all of it, with the program (Linux)"`
	KeepWorkers bool   `long:"keep-workers" description:"--upgrade does not restart the workers"`
	Timeout     string `long:"timeout" value-name:"SECONDS" default-mask:"no limit; 10 for --status" description:"how long --restart, --rollback, --promote, --stop, --reopen, --upgrade, --print-config and --status wait; 0 is the default"`
	Help        bool   `long:"help" description:"print this help"`
	Version     bool   `long:"version" description:"print the version"`

	command []string
	parser  *flags.Parser  // nil: all is parsed
	given   []string       // the options on the command line, in full
	file    *inFile        // nil: no --config
	set     starter.Config // the parsed values of the fields above
	timeout time.Duration
	upgrade bool     // --upgrade was given
	line    []string // the whole command line, without what is only for --upgrade
}

// parse reads the command line. The error names every fault, a line each. If options are
// returned with it, starter.New may find more faults in them.
func parse(args []string) (*options, error) {
	o := &options{}
	var err error
	if o.parser, err = cmdline.Parser("start_server", usage, o); err != nil {
		return nil, err
	}
	defer func() { o.parser = nil }() // it has 64 KB, and o lives as long as the process
	rest, err := o.spellOut(args)
	if err != nil {
		return nil, err
	}
	if o.command, err = o.setGiven(rest); err != nil {
		return nil, err
	}
	if o.Help || o.Version {
		return o, nil
	}
	program := o.command
	if err := o.readFile(); err != nil {
		return nil, err
	}
	o.remember(program)
	return o, o.placed(o.check())
}

// config is the library's Config.
func (o *options) config(log io.Writer) starter.Config {
	c := o.set
	c.Command = o.command
	c.Ports, c.Paths = o.Port, o.Path
	c.Inherit, c.Export, c.Expand = o.Inherit, o.Export, o.Expand
	c.Dir, c.EnvDir = o.Dir, o.EnvDir
	c.User, c.Group = o.User, o.Group
	c.Limits, c.NoNewPrivs = o.Limit, o.NoNewPrivs
	c.DropEnv, c.ClearEnv = o.DropEnv, o.ClearEnv
	c.DieWithParent, c.Subreaper = o.DieWithParent, o.Subreaper
	c.EnableAutoRestart = o.EnableAutoRestart
	c.KillGroup, c.SignalGroup = o.KillGroup, o.SignalGroup
	c.BlueGreen, c.Probes = o.BlueGreen, o.Probe
	c.FDStore, c.ReplaceOrphans = o.FDStore, o.ReplaceOrphans && o.StatusFile != ""
	c.Control, c.OnEvent = o.Control, o.OnEvent
	c.PidFile, c.StatusFile, c.LogFile = o.PidFile, o.StatusFile, o.LogFile
	c.Log = log
	c.InForce = o.inForce
	c.Release, c.RehearseArg, c.Changes = cmdline.Release(starter.Version), cmdline.RehearseArg, o.changes
	c.HandleSignals = true
	c.NotifyManager = true
	c.RedirectOutput = o.LogFile != ""
	c.PrefixOutput, c.LogWorkers, c.LogFormat = o.PrefixOutput, o.LogWorkers, starter.LogFormat(o.LogFormat)
	return c
}

// whenReady arranges that the daemon lets its caller go at the time that --daemonize says.
func (o *options) whenReady(c *starter.Config, letGo func()) {
	if o.Daemonize != "ready" {
		c.Started = letGo
		return
	}
	c.Serving = letGo
	if c.Attempts == 0 {
		c.FirstAttempts = 1
	}
}

// spellOut notes in o.given the options in full, and returns what follows them. Init scripts
// give options as Perl's Getopt::Long allows: with one dash, in any case, or cut to an
// unambiguous beginning.
func (o *options) spellOut(args []string) (rest []string, err error) {
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' || args[i] == "--" {
			return args[i:], notAnOption(args[i])
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		option, err := o.find(strings.ToLower(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w; see start_server --help", text.Quoted(args[i]), err)
		}
		arg := "--" + option.LongName
		_, isSwitch := option.Value().(bool)
		switch {
		case isSwitch && value == "false": // --config's file may have set it
			arg += "=false"
		case isSwitch && hasValue && value != "true":
			return nil, fmt.Errorf("--%s: it takes no value", option.LongName)
		case isSwitch:
		case hasValue && value != "":
			arg += "=" + value
		case option.OptionalArgument && !hasValue: // its value follows a = only
		case hasValue || i+1 == len(args):
			return nil, fmt.Errorf("--%s: its value is missing", option.LongName)
		default:
			i++
			arg += "=" + args[i]
		}
		o.given = append(o.given, arg)
	}
	return nil, nil
}

// setGiven sets the options that are given, by go-flags, and returns the rest.
func (o *options) setGiven(rest []string) ([]string, error) {
	var args []string
	for _, arg := range o.given {
		name, value, hasValue := strings.Cut(arg, "=")
		switch {
		case !hasValue:
			args = append(args, name)
		case value != "false" || !o.isSwitch(name):
			args = append(args, name+"="+forFlags(value))
		}
	}
	rest, err := o.parser.ParseArgs(append(args, rest...))
	if err != nil {
		err = fmt.Errorf("%w; see start_server --help", err)
	}
	return rest, err
}

// forFlags returns a value as go-flags has to get it. If a value on a command line begins with a
// double quote, go-flags reads it as a quoted Go string.
func forFlags(value string) string {
	if strings.HasPrefix(value, `"`) {
		return strconv.Quote(value)
	}
	return value
}

func (o *options) isSwitch(name string) bool {
	_, is := o.parser.FindOptionByLongName(strings.TrimPrefix(name, "--")).Value().(bool)
	return is
}

// originals are the options of Server::Starter. Their abbreviations stay valid here, whatever
// options are added.
var originals = []string{
	"port", "path", "dir", "interval", "log-file", "pid-file", "status-file", "signal-on-hup", "signal-on-term",
	"backlog", "envdir", "enable-auto-restart", "auto-restart-interval", "kill-old-delay", "restart", "stop",
	"daemonize", "help", "version",
}

// find returns the option of that name, or the only one whose name begins with it.
func (o *options) find(name string) (*flags.Option, error) {
	var found, original []*flags.Option
	for _, group := range o.parser.Groups() {
		for _, option := range group.Options() {
			if option.LongName == name {
				return option, nil
			}
			if strings.HasPrefix(option.LongName, name) {
				found = append(found, option)
				if slices.Contains(originals, option.LongName) {
					original = append(original, option)
				}
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, noSuch(o.parser, name, "--")
	case len(found) == 1:
		return found[0], nil
	case len(original) == 1:
		return original[0], nil
	}
	var names []string
	for _, option := range found {
		names = append(names, "--"+option.LongName)
	}
	return nil, fmt.Errorf("ambiguous: %s", strings.Join(names, ", "))
}
