// As in start_server: the CPU limits need not be watched.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command einhyrningsins runs copies of a server program on shared sockets and replaces
// them gracefully. It is package starter with the command line of einhyrningsins, an
// einhorn in Rust; docs/einhyrningsins.md lists the differences.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/handover"
	"github.com/lestrrat/go-server-starter/internal/text"
)

const name = "einhyrningsins"

// grace is how long a child may take to acknowledge or, without --manual, has to live to
// be proven.
const grace = 3 * time.Second

// options is the command line. The tags drive parsing and help.
type options struct {
	Number     int      `short:"n" long:"number" value-name:"COUNT" default:"1" description:"run so many copies of the program"`
	Bind       []string `short:"b" long:"bind" value-name:"ADDR:PORT[,r][,n]" description:"TCP socket to bind; an IPv6 address in brackets. r: SO_REUSEADDR, which is set in any case; n: O_NONBLOCK. Repeatable"`
	IPv4       bool     `short:"4" long:"ipv4-only" description:"bind IPv4 addresses only"`
	IPv6       bool     `short:"6" long:"ipv6-only" description:"bind IPv6 addresses only"`
	Manual     bool     `short:"m" long:"manual" description:"each copy says by the control socket that it is ready, within 3 seconds, or is replaced; otherwise it has to live that long"`
	DropEnv    []string `long:"drop-env-var" value-name:"VAR" description:"keep that variable from the program; repeatable"`
	SocketPath string   `short:"d" long:"socket-path" value-name:"PATH" complete:"socket" default:"/tmp/einhorn.sock" description:"control socket to make"`
	Retries    int      `short:"r" long:"retries" value-name:"COUNT" default:"3" description:"give up after so many failed attempts in a row"`
	Syslog     bool     `long:"syslog" description:"write all output to the syslog, by logger(1)"`
	Verbose    bool     `short:"v" long:"verbose" description:"log more"`
	Help       bool     `short:"h" long:"help" description:"print this help"`
	Version    bool     `long:"version" description:"print the version"`
}

const epilogue = `
Signals: HUP upgrades: new copies are started beside the running ones, which get
USR2 when the new ones are ready. TERM and INT send TERM to all copies, and end
when they are gone. TTIN and TTOU are a copy more and one less.
einhyrningsinsctl does the same, and tells how it went.

The program finds its sockets by EINHORN_FD_COUNT and EINHORN_FD_0 and so on,
and the control socket by EINHORN_SOCK_PATH, where with -m it writes a line
{"command":"worker:ack","pid":N} when it is ready.

Exit codes: 0  stopped as asked
            1  it failed: a port or a control socket in use, copies that do not
               start
            2  the command line is wrong; nothing was touched
`

func main() {
	cmdline.FewThreads()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var o options
	if cmdline.Completing() {
		return cmdline.Complete(stdout, &o, args, nil)
	}
	args = cmdline.Rehearsing(args)
	parser, command, err := cmdline.Parse(name, "[OPTIONS] [--] PROGRAM [ARGS]", &o, args)
	switch {
	case err != nil:
		return cmdline.Fail(stderr, name, cmdline.Usage, handover.Back(err, nil))
	case o.Help:
		parser.WriteHelp(stdout)
		fmt.Fprint(stdout, epilogue)
		return cmdline.OK
	case o.Version:
		fmt.Fprintln(stdout, cmdline.Version(name, starter.Version))
		return cmdline.OK
	}
	c, err := o.config(command, stderr)
	if err != nil {
		return cmdline.Fail(stderr, name, cmdline.Usage, handover.Back(err, nil))
	}
	s, err := starter.New(c)
	if err != nil {
		return cmdline.Fail(stderr, name, cmdline.Usage, err)
	}
	if err := s.Run(context.Background()); err != nil && !errors.Is(err, starter.ErrRehearsal) {
		if failure := (*starter.Failure)(nil); errors.As(err, &failure) && failure.Pid != 0 && !o.Syslog {
			return cmdline.Error // the log on stderr has said why
		}
		return cmdline.Fail(stderr, name, cmdline.Error, err)
	}
	return cmdline.OK
}

// config is the library's Config. The error names every fault that the library would not
// find.
func (o *options) config(command []string, log io.Writer) (starter.Config, error) {
	c := starter.Config{
		Command:       command,
		Name:          name,
		Export:        []string{"einhorn"},
		DropEnv:       append(starter.SettingVariables(), o.DropEnv...), // the first are start_server's
		Workers:       o.Number,
		FirstServes:   true,
		Attempts:      o.Retries,
		Interval:      grace,
		SignalOnTERM:  syscall.SIGTERM,
		Control:       o.SocketPath,
		Log:           log,
		Verbose:       o.Verbose,
		HandleSignals: true,
		Release:       cmdline.Release(starter.Version),
		RehearseArg:   cmdline.RehearseArg,
		NotifyManager: true,
	}
	c.SignalOnHUP, _ = text.ParseSignal("USR2") // as einhorn does; TERM where there is no USR2
	if o.Manual {
		c.Proof, c.Interval = starter.Notified(grace), 0
	}
	if o.Syslog {
		c.LogFile, c.RedirectOutput = "syslog:"+name, true
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Number < 1 || o.Number > starter.MaxWorkers {
		fault("--number: %d is not a number from 1 to %d", o.Number, starter.MaxWorkers)
	}
	if o.Retries < 1 {
		fault("--retries: %d is not a number from 1", o.Retries)
	}
	if o.SocketPath == "" {
		fault("--socket-path: it is empty")
	}
	if o.IPv4 && o.IPv6 {
		fault("--ipv4-only and --ipv6-only exclude each other")
		return c, errors.Join(faults...)
	}
	for _, bind := range o.Bind {
		port, err := o.port(bind)
		if err != nil {
			fault("--bind %q: %w", bind, err)
		}
		c.Ports = append(c.Ports, port)
	}
	return c, errors.Join(faults...)
}

// port turns ADDR:PORT[,r][,n] into a port of the library.
func (o *options) port(bind string) (string, error) {
	addr, flags, _ := strings.Cut(bind, ",")
	i := strings.LastIndexByte(addr, ':')
	if i <= 0 || strings.HasSuffix(addr, "]") {
		return "", errors.New("the form is ADDR:PORT[,r][,n]")
	}
	if _, err := strconv.ParseUint(addr[i+1:], 10, 16); err != nil {
		return "", fmt.Errorf("%q is not a port number from 0 to 65535; the form is ADDR:PORT[,r][,n]", addr[i+1:])
	}
	port := addr
	if o.IPv4 {
		port += ",ipv4"
	}
	if o.IPv6 {
		port += ",ipv6"
	}
	nonblock := false
	for flag := range strings.SplitSeq(flags, ",") {
		switch flag {
		case "", "r":
		case "n":
			nonblock = true
		default:
			return "", fmt.Errorf("%q is neither r nor n", flag)
		}
	}
	if nonblock {
		port += ",nonblock"
	}
	return port, nil
}
