// Command einhyrningsinsctl sends commands to the control socket of a running
// einhyrningsins or start_server: one from its command line, or those typed into its
// shell.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/ctl"
	"github.com/lestrrat/go-server-starter/internal/lineedit"
)

const name = "einhyrningsinsctl"

// options is the command line. The tags drive parsing and help.
type options struct {
	SocketPath string   `short:"d" long:"socket-path" value-name:"PATH" complete:"socket" default:"/tmp/einhorn.sock" description:"control socket of the master"`
	Execute    []string `short:"e" long:"execute" value-name:"COMMAND" complete:"command" description:"carry out that command, and no shell"`
	Help       bool     `short:"h" long:"help" description:"print this help"`
	Version    bool     `long:"version" description:"print the version"`
}

const epilogue = `
Exit codes: 0  what was asked for is done
            1  it failed, or there is no master
            2  the command line is wrong; nothing was touched
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, stdin *os.File, stdout, stderr io.Writer) int {
	var o options
	if cmdline.Completing() {
		return cmdline.Complete(stdout, &o, args, map[string]cmdline.Values{"command": commandNames})
	}
	parser, rest, err := cmdline.Parse(name, "[OPTIONS]", &o, args)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%q: commands stand behind -e; see %s --help", rest[0], name)
	}
	if err == nil && len(o.Execute) > 1 {
		err = errors.New("--execute takes one command; to give several, pipe them in, one a line")
	}
	switch {
	case err != nil:
		return cmdline.Fail(stderr, name, cmdline.Usage, err)
	case o.Help:
		parser.WriteHelp(stdout)
		fmt.Fprintf(stdout, "\nCommands:\n%s%s", commandList(), epilogue)
		return cmdline.OK
	case o.Version:
		fmt.Fprintln(stdout, cmdline.Version(name, starter.Version))
		return cmdline.OK
	}
	s := &session{path: o.SocketPath, stdout: stdout, stderr: stderr}
	if o.Execute != nil {
		return s.carryOut(o.Execute[0])
	}
	return s.shell(stdin)
}

// session carries out commands. Each command connects anew, because the master may be another
// process by then.
type session struct {
	path           string
	stdout, stderr io.Writer
	over           bool // the master is gone, or the user wants to go
	interrupted    bool // Ctrl-C has ended the wait for the last command
}

// command is a row of the table of commands.
type command struct {
	name, help string
	do         func(s *session, ctx context.Context, a *ctl.Superdaemon, command string) error
}

// commands is the table of all commands.
var commands = []command{
	{"inc", "one copy more; done when it has proved itself", (*session).message},
	{"dec", "one copy less; done when it is gone", (*session).message},
	{"upgrade", "replace all copies by new ones; done when these serve", (*session).upgrade},
	{"status", "how things stand", (*session).status},
	{"version", "the master's version", (*session).message},
	{"help", "this list", nil},
	{"die", "stop all copies gracefully, and the master; done when they are gone", (*session).die},
}

// commandNames returns what a shell completes after -e.
func commandNames(string) (names []string) {
	for _, c := range commands {
		names = append(names, c.name)
	}
	return names
}

func commandList() string {
	list := ""
	for _, c := range commands {
		list += fmt.Sprintf("  %-8s  %s\n", c.name, c.help)
	}
	return list
}

// carryOut carries out the command in a line and returns an exit code. Ctrl-C ends the
// wait for it.
func (s *session) carryOut(line string) int {
	words := strings.Fields(line)
	if len(words) == 0 {
		return cmdline.Fail(s.stderr, name, cmdline.Usage, errors.New("the command is empty; help tells what there is"))
	}
	for _, c := range commands {
		switch {
		case c.name != words[0]:
			continue
		case len(words) > 1:
			return cmdline.Fail(s.stderr, name, cmdline.Usage, fmt.Errorf("%s takes no %q", c.name, words[1]))
		case c.do == nil:
			fmt.Fprint(s.stdout, commandList())
			return cmdline.OK
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		a, err := s.call(ctx, c.name == "upgrade")
		if err == nil {
			defer a.Close()
			err = c.do(s, ctx, a, c.name)
		}
		s.interrupted = ctx.Err() != nil
		if err != nil {
			return cmdline.Fail(s.stderr, name, cmdline.Error, err)
		}
		return cmdline.OK
	}
	return cmdline.Fail(s.stderr, name, cmdline.Usage, fmt.Errorf("there is no command %q; help tells what there is", words[0]))
}

// shell carries out a command for each line, until the input or the master ends. It
// returns the exit code of the last command.
func (s *session) shell(stdin *os.File) (code int) {
	master, err := s.call(context.Background(), false) // no shell without a master
	if err != nil {
		return cmdline.Fail(s.stderr, name, cmdline.Error, err)
	}
	master.Close()
	words := append(commandNames(""), "quit")
	lines := lineedit.New(stdin, s.stdout, "> ", words)
	if lines.Terminal() {
		fmt.Fprintf(s.stdout, "This is the shell of %s.\nhelp tells what there is, Tab completes it, and Ctrl-D or quit leaves.\n", master.Who())
	}
	for !s.over {
		line, err := lines.Next()
		switch line = strings.TrimSpace(line); {
		case err == io.EOF || line == "quit" || line == "exit":
			return code
		case err != nil:
			return cmdline.Fail(s.stderr, name, cmdline.Error, err)
		case line != "":
			code = s.carryOut(line)
		}
		if s.interrupted && !lines.Terminal() { // what follows may be meant for what that was to do
			return code
		}
	}
	return code
}

// call connects to the master; an upgrade has to watch.
func (s *session) call(ctx context.Context, watch bool) (*ctl.Superdaemon, error) {
	return ctl.Call(ctx, "einhyrningsins", s.path, watch)
}

// message is for commands whose answer is a line for people.
func (s *session) message(ctx context.Context, a *ctl.Superdaemon, command string) error {
	text, err := a.Ask(ctx, command)
	if err == nil {
		fmt.Fprintln(s.stdout, text)
	}
	return err
}

func (s *session) upgrade(ctx context.Context, a *ctl.Superdaemon, _ string) error {
	return a.Restart(ctx, s.stdout, false)
}

func (s *session) status(_ context.Context, a *ctl.Superdaemon, _ string) error {
	ctl.WriteStatus(s.stdout, a.Status)
	return nil
}

func (s *session) die(ctx context.Context, a *ctl.Superdaemon, command string) error {
	err := a.Stop(ctx, command, func(int) { fmt.Fprintf(s.stdout, "%s is going down\n", a.Who()) })
	if err == nil {
		fmt.Fprintf(s.stdout, "%s is gone\n", a.Who())
		s.over = true
	}
	return err
}
