//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command socketmaster is package starter with the command line and the signals of another tool
// named socketmaster. See docs/socketmaster.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"time"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/fdenv"
	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/text"
)

const name = "socketmaster"

const usage = `Usage: socketmaster [options] -command=PATH [-- args...]

Starts the command with a listening socket at descriptor 3, and EINHORN_FDS=3.

`

const epilogue = `
URI is tcp://HOST:PORT, tcp4://HOST:PORT or tcp6://HOST:PORT, where no host is
all addresses; unix://PATH; or fd://N, a socket that is open already. NAME is a
signal's name in any case, with or without SIG.

Signals: HUP starts a new server, waits for -start, and then signals the others;
if the new one has ended by then, the others serve on. INT, TERM and QUIT are
passed on to all servers as they are. USR1 has the file of socketmaster itself,
which may be a newer one by now, go on in its place with the same command line,
and then does what HUP does (Linux).

A server that ends is not replaced. When none is left socketmaster ends as the
last one did: by its exit code, or by 128 + N if signal N has killed it.

Exit codes else: 1  it failed: a port in use, a command that cannot be started
                 2  the command line is wrong; nothing was touched
`

func main() {
	cmdline.FewThreads()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	args = cmdline.Rehearsing(args)
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		o.flags.SetOutput(stdout)
		o.flags.PrintDefaults()
		fmt.Fprint(stdout, epilogue)
		return cmdline.OK
	case err == nil && o.version:
		fmt.Fprintln(stdout, cmdline.Version(name, starter.Version))
		return cmdline.OK
	}
	var config starter.Config
	if err == nil {
		config, err = o.config(stderr)
	}
	if lookup := (*net.DNSError)(nil); errors.As(err, &lookup) {
		return cmdline.Fail(stderr, name, cmdline.Error, handover.Back(err, nil))
	}
	if err != nil {
		return cmdline.Fail(stderr, name, cmdline.Usage, handover.Back(err, nil))
	}
	s, err := starter.New(config)
	if err != nil {
		return cmdline.Fail(stderr, name, cmdline.Usage, err)
	}
	err = s.Run(context.Background())
	var ended *starter.Failure
	switch {
	case err == nil, errors.Is(err, starter.ErrRehearsal):
		return cmdline.OK
	case errors.As(err, &ended) && ended.Pid != 0:
		return ended.ExitCode() // the log has said how
	}
	return cmdline.Fail(stderr, name, cmdline.Error, err)
}

// options is the command line.
type options struct {
	listen, command, signal, user string

	start   uint // milliseconds
	syslog  bool
	version bool
	args    []string // arguments of the command
	flags   *flag.FlagSet
}

// parse reads the command line. The error is flag.ErrHelp if the command line asks for help.
func parse(args []string) (*options, error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	o := &options{flags: f}
	f.StringVar(&o.listen, "listen", "tcp://:8080", "socket to open, a `URI`")
	f.StringVar(&o.command, "command", "", "program to start, a `PATH` or a name to be found in PATH")
	f.UintVar(&o.start, "start", 3000, "wait so many `MILLIS` for a new server to boot before the others\nare signalled; 0: they are not, and stay")
	f.StringVar(&o.signal, "signal", "TERM", "signal the others by `NAME` when a new server has booted")
	f.StringVar(&o.user, "user", "", "run the command as the user `LOGIN`, with its groups")
	f.BoolVar(&o.syslog, "syslog", false, "log to syslog, by logger(1)")
	f.BoolVar(&o.version, "version", false, "print the version")
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	err := f.Parse(args)
	if err != nil {
		return o, fmt.Errorf("%w; see socketmaster -help", err)
	}
	f.Visit(func(given *flag.Flag) {
		if given.Name == "user" && o.user == "" {
			err = errors.New("-user: the login is missing")
		}
	})
	if err != nil {
		return o, err
	}
	o.args = f.Args()
	before := len(args) - len(o.args) - 1
	switch {
	case o.version:
	case o.command == "":
		return o, errors.New("-command is missing; see socketmaster -help")
	case len(o.args) > 0 && (before < 0 || args[before] != "--"):
		return o, fmt.Errorf("argument %q: arguments of the command stand behind --", o.args[0])
	}
	return o, nil
}

// config is the library's Config. To look up a host may block.
func (o *options) config(log io.Writer) (starter.Config, error) {
	c := starter.Config{
		Name:          name,
		Command:       append([]string{o.command}, o.args...),
		Env:           append(os.Environ(), fdenv.Socketmaster()...),
		DropEnv:       starter.SettingVariables(), // those of start_server
		User:          o.user,
		Interval:      max(time.Duration(min(o.start, math.MaxInt32))*time.Millisecond, starter.MinInterval),
		Attempts:      1,
		Follow:        true,
		PrefixOutput:  true,
		HandleSignals: true,
		UpgradeOnUSR1: true,
		Release:       cmdline.Release(starter.Version),
		RehearseArg:   cmdline.RehearseArg,
		Log:           log,
	}
	if o.start == 0 {
		c.Replace = starter.Beside
	}
	if o.syslog {
		c.LogFile = "syslog:" + name
	}
	var err error
	if c.SignalOnHUP, err = text.ParseSignal(o.signal); err != nil {
		return c, fmt.Errorf("-signal: %w", err)
	}
	return c, c.ListenOn(o.listen)
}
