package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jessevdk/go-flags"
	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// options is the command line. The tags drive parsing and help.
type options struct {
	Port         []string `long:"port" value-name:"SPEC" description:"TCP port to bind, or UDP port with a u: [LABEL@][HOST:][u]PORT[=FD][,OPTION...], or a socket that is open already, fd://N. Without a host 0.0.0.0; an IPv6 address in brackets; with =FD the program finds the socket at that descriptor. OPTION: backlog=N, reuseport, ipv4, ipv6, v6only=0, nodelay, defer-accept, fastopen=N, nonblock. Repeatable, also as a comma list"`
	Path         []string `long:"path" value-name:"PATH" description:"unix stream socket to bind, [LABEL@]PATH[,OPTION...]. OPTION: backlog=N, mode=OCTAL, owner=USER, group=GROUP, nonblock; repeatable"`
	Inherit      []string `long:"inherit" value-name:"NAME" optional:"yes" optional-value:"*" description:"take all sockets that systemd passes by LISTEN_FDS, or with =NAME those of that name; repeatable"`
	Backlog      string   `long:"backlog" value-name:"N" description:"listen(2) backlog (default: SOMAXCONN)"`
	Export       []string `long:"export" value-name:"NAME" description:"tell the program of its sockets in the way of systemd, einhorn, unicorn, puma, nginx or php-fpm, too; repeatable, also as a comma list"`
	Expand       bool     `long:"expand" description:"put descriptors and ports in the place of {fd:WHICH} and {port:WHICH} in the program's arguments; WHICH is a label, a name in SERVER_STARTER_PORT, or a place among the sockets from 0"`
	Dir          string   `long:"dir" value-name:"PATH" description:"working directory of the program, followed anew at every start of it"`
	Interval     string   `long:"interval" value-name:"SECONDS" description:"a new worker that lives this long has started; also the least time between two attempts (default: 1, at least 0.1)"`
	KillOldDelay string   `long:"kill-old-delay" value-name:"SECONDS" description:"wait between a new worker's success and the old workers' signal; also KILL_OLD_DELAY (default: 0, or 5 with --enable-auto-restart)"`
	KillTimeout  string   `long:"kill-timeout" value-name:"SECONDS" description:"KILL a worker that is still there so long after it was told to go (default: never)"`

	User          string   `long:"user" value-name:"USER" description:"run the program as that user, with its groups; ports are bound before"`
	Group         string   `long:"group" value-name:"GROUP" description:"run the program in that group (default: the user's)"`
	Umask         string   `long:"umask" value-name:"OCTAL" description:"umask of the program"`
	Nice          string   `long:"nice" value-name:"N" description:"add N, from -20 to 19, to the program's niceness"`
	Limit         []string `long:"limit" value-name:"NAME=SOFT[:HARD]" description:"resource limit of the program, by its name for prlimit(1): nofile, nproc, as, ...; a number or unlimited; repeatable (Linux)"`
	NoNewPrivs    bool     `long:"no-new-privs" description:"no exec gives the program more rights, by a set-user-ID bit or capabilities of a file (Linux)"`
	DropEnv       []string `long:"drop-env" value-name:"VAR" description:"keep that variable from the program; repeatable"`
	ClearEnv      bool     `long:"clear-env" description:"keep all variables from the program but PATH and what start_server sets or reads"`
	DieWithParent bool     `long:"die-with-parent" description:"the kernel sends the program TERM when start_server is killed (Linux)"`
	Subreaper     bool     `long:"subreaper" description:"adopt orphans of the program, wait for them, and pass USR1 and USR2 on, as it does as PID 1 (Linux)"`

	KillGroup bool   `long:"kill-group" description:"KILL its whole process group then; each worker leads one of its own. What it leaves behind there is told to go as it was"`
	StopDelay string `long:"stop-delay" value-name:"SECONDS" description:"serve on so long after TERM before stopping (default: 0)"`

	Ready        string `long:"ready" value-name:"HOW" description:"how a new worker proves that it has started: interval, by living so long, or notify, by READY=1 on NOTIFY_SOCKET as sd_notify(3) has it (default: interval)"`
	ReadyTimeout string `long:"ready-timeout" value-name:"SECONDS" description:"a worker that has not said that it is ready by then has failed (default: 60)"`
	Attempts     string `long:"attempts" value-name:"N" description:"give up after so many failed attempts in a row; 0 is never (default: 0)"`
	Workers      string `long:"workers" value-name:"N" description:"run so many processes in a generation; each is told its number from 0 in SERVER_STARTER_WORKER. TTIN adds one, TTOU takes one away (default: 1)"`

	Rolling bool   `long:"rolling" description:"restart slot by slot: a worker that has proved itself takes over from the old one of its number, which is told to go; needs --workers"`
	Surge   string `long:"surge" value-name:"K" description:"so many processes at most beyond --workers in a rolling restart (default: 1)"`

	SignalOnHUP  string `long:"signal-on-hup" value-name:"NAME" description:"signal for old workers at a restart (default: TERM)"`
	SignalOnTERM string `long:"signal-on-term" value-name:"NAME" description:"signal for all workers when start_server gets TERM (default: TERM)"`

	EnableAutoRestart   bool   `long:"enable-auto-restart" description:"restart by time; also ENABLE_AUTO_RESTART=1"`
	AutoRestartInterval string `long:"auto-restart-interval" value-name:"SECONDS" description:"time from the last success to an automatic restart; also AUTO_RESTART_INTERVAL (default: 360)"`

	FDStore        bool `long:"fdstore" description:"have the service manager keep the sockets, for the start_server that it starts when this one was killed: none is lost, nor a connection that waits. systemd needs FileDescriptorStoreMax= for that; see docs/systemd.md (Linux)"`
	ReplaceOrphans bool `long:"replace-orphans" description:"take the sockets over from the workers that --status-file lists of a start_server that was killed, and tell those to go when the new ones serve; see docs/killed.md (Linux)"`

	EnvDir       string `long:"envdir" value-name:"DIR" description:"directory whose files are variables for the program, read anew at every start of it; also ENVDIR"`
	PidFile      string `long:"pid-file" value-name:"FILE" description:"file to hold the pid of start_server while it runs"`
	StatusFile   string `long:"status-file" value-name:"FILE" description:"file to list the serving workers, a line GENERATION:PID each"`
	Control      string `long:"control" value-name:"PATH" description:"control socket: to make, and for --restart, --stop and --status to use; see docs/control.md"`
	LogFile      string `long:"log-file" value-name:"FILE" description:"where stdout and stderr of start_server and the program go: a file, \"| command\", or syslog:[TAG], which is logger(1)"`
	Daemonize    string `long:"daemonize" value-name:"WHEN" optional:"yes" optional-value:"started" description:"run in the background, and return when the first worker has been started, or with =ready when it serves; if it fails before that all ends, by the first failure or that of --attempts, which is told; needs --log-file"`
	PrefixOutput bool   `long:"prefix-output" description:"have each line that the program writes begin with its pid, as in [4711] hello. It writes to a pipe then, and cannot truncate the log or forge lines of start_server's"`

	Restart     bool   `long:"restart" description:"restart the start_server at --control, and return when the new generation serves; or the one that holds --pid-file: send it HUP, and wait until --status-file lists a newer generation only"`
	Drained     bool   `long:"drained" description:"--restart by --control waits until the old workers are gone, too"`
	Upgrade     string `long:"upgrade" value-name:"PATH" optional:"yes" optional-value:"" description:"have this start_server go on in the place of the one at --control, or with =PATH at that control socket: in the same process, with the same sockets, and restart the workers. With a program the whole command line is the new one; without, the old one stays"`
	KeepWorkers bool   `long:"keep-workers" description:"--upgrade does not restart the workers"`
	Stop        bool   `long:"stop" description:"stop the start_server at --control, or that holds --pid-file, and wait until it is gone"`
	Status      bool   `long:"status" description:"print how things stand with the start_server at --control, or what --pid-file and --status-file say"`
	JSON        bool   `long:"json" description:"--status as JSON"`
	Timeout     string `long:"timeout" value-name:"SECONDS" description:"how long --restart and --stop wait (default: for ever), and --status (default: 10)"`

	Help    bool `long:"help" description:"print this help"`
	Version bool `long:"version" description:"print the version"`

	command []string
	parser  *flags.Parser
	set     starter.Config // the parsed values of the fields above
	timeout time.Duration
	upgrade bool     // --upgrade was given
	line    []string // the whole command line, without what is only for --upgrade
}

const usage = "[options] -- program [args...]"

const epilogue = `
SECONDS may have a fraction or a unit: 2, 0.5, 300ms. NAME is a signal's name
in any case, with or without SIG.

Signals: HUP starts a new generation of the program beside the running one,
which is told to go when the new one has started. TERM, INT and QUIT stop all
workers (INT by TERM, QUIT by QUIT), and then start_server.

Exit codes: 0  stopped as asked, or what --restart or --stop asked for is done
            1  it failed: a port in use, a program that cannot be started, a
               restart that failed, or that took longer than --timeout, no
               start_server where one was to be asked
            2  the command line is wrong; nothing was touched
            3  --status: nothing serves
            4  --status: whether something serves cannot be known
`

// parse reads the command line. The error names every fault, a line each. If options are
// returned with it, starter.New may find more faults in them.
func parse(args []string) (*options, error) {
	o := &options{}
	var err error
	if o.parser, err = cmdline.Parser("start_server", usage, o); err != nil {
		return nil, err
	}
	if args, err = o.spellOut(args); err != nil {
		return nil, err
	}
	o.remember(args)
	if o.command, err = o.parser.ParseArgs(args); err != nil {
		return nil, fmt.Errorf("%w; see start_server --help", err)
	}
	return o, o.check()
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
	c.KillGroup = o.KillGroup
	c.FDStore, c.ReplaceOrphans = o.FDStore, o.ReplaceOrphans && o.StatusFile != ""
	c.Control = o.Control
	c.PidFile, c.StatusFile, c.LogFile = o.PidFile, o.StatusFile, o.LogFile
	c.Log = log
	c.Release, c.RehearseArg, c.Changes = cmdline.Release(starter.Version), cmdline.RehearseArg, o.changes
	c.HandleSignals = true
	c.NotifyManager = true
	c.RedirectOutput = o.LogFile != ""
	c.PrefixOutput = o.PrefixOutput
	return c
}

// whenReady has the daemon let its caller go, when --daemonize says.
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

func (o *options) writeHelp(w io.Writer) {
	o.parser.WriteHelp(w)
	fmt.Fprint(w, epilogue)
}

// spellOut writes options in full, for go-flags. Init scripts give them as Perl's
// Getopt::Long allows: with one dash, in any case, or cut to an unambiguous beginning.
func (o *options) spellOut(args []string) ([]string, error) {
	var full []string
	for i := 0; i < len(args); i++ {
		if len(args[i]) < 2 || args[i][0] != '-' || args[i] == "--" {
			return append(full, args[i:]...), notAnOption(args[i])
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		option, err := o.find(strings.ToLower(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w; see start_server --help", text.Quoted(args[i]), err)
		}
		arg := "--" + option.LongName
		_, isSwitch := option.Value().(bool)
		switch {
		case isSwitch && hasValue:
			return nil, fmt.Errorf("--%s: it takes no value", option.LongName)
		case hasValue && value != "":
			arg += "=" + value
		case isSwitch:
		case option.OptionalArgument && !hasValue: // its value follows a = only
		case hasValue || i+1 == len(args):
			return nil, fmt.Errorf("--%s: its value is missing", option.LongName)
		default:
			i++
			arg += "=" + args[i]
		}
		full = append(full, arg)
	}
	return full, nil
}

// originals are the options of Server::Starter. What abbreviates one of them there does so
// here, whatever options are added.
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
		if like := o.closest(name); like != "" {
			return nil, fmt.Errorf("no such option; did you mean --%s?", like)
		}
		return nil, errors.New("no such option")
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
