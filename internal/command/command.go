// Package command is what operators and workers may ask of a superdaemon, by whatever
// transport: one table of the commands, and what each does.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// Commands carries out what is asked of a superdaemon. Its fields are set before the
// first request, and not changed after that.
type Commands struct {
	Sup     *supervise.Supervisor
	Name    string // of the superdaemon
	Version string // of the program

	StopSignal   os.Signal       // the one that stop sends to all workers
	RetireSignal os.Signal       // the one that die sends, unless the request names another
	StopDelay    time.Duration   // before stop and die send it
	InForce      func() []string // the command line in force
	Resizable    bool            // the number of workers may be changed
	Acknowledged bool            // workers say that they are ready

	Sockets func() []control.Socket
	// Waiting is how many connections wait on a side of the sockets, see supervise.Traffic.
	Waiting func(side int) int
	// Tail returns the last lines of the log of a generation that has failed.
	Tail func(generation int) []string
	// Reopen opens the log file anew, and returns what was done, in words.
	Reopen func(ctx context.Context, cause string) (said string, err error)
	// Written blocks until the status file is up to date: a client that has its answer may
	// read the file next.
	Written func()
	// Image returns since when this image of the program runs, and how many ran before it.
	Image func() (since time.Time, upgrades int)
	// Upgrade makes another image of the program go on. It returns only if that fails.
	Upgrade func(r control.Request, cause string) control.Answer
}

// request is a control.Request with its sender.
type request struct {
	control.Request
	peer  control.Peer
	cause string // for the log
}

// command is a row of the table.
type command struct {
	name, help string // without help it is not listed
	workers    bool   // workers that run as another user may ask for it, too
	do         func(*Commands, context.Context, request) control.Answer
}

// table has all commands.
var table []command

func init() { // not at the declaration: help is in the table, and lists it
	table = []command{
		{"help", "what there is", false, (*Commands).help},
		{"status", "how things stand", false, (*Commands).status},
		{"restart", "start a new generation; answered when it is live, or has failed", false, (*Commands).restart},
		{"rollback", "give the old generation, which stands by, all connections again, or end a canary", false, (*Commands).rollback},
		{"promote", "give a canary all connections now, or have the old generation stand by no longer", false, (*Commands).promote},
		{"stop", "stop all workers, as TERM does; the connection ends when they are gone", false, (*Commands).stop},
		{"workers", `change the number of workers to "workers"`, false, (*Commands).workers},
		{"signal", `send "signal" to all workers, or to those in "slot"`, false, (*Commands).signal},
		{"reopen", "open the log file anew by its path, as after it was renamed", false, (*Commands).reopen},
		{"self-upgrade", "have the program \"executable\" go on in this process, with the command line \"args\" or the old one", false, (*Commands).selfUpgrade},
		{"subscribe", "have every event from now on as a line of its own", false, (*Commands).subscribe},
		{"options", "the command line in force", false, (*Commands).options},
		{"worker:ack", "from a worker: it is ready", true, (*Commands).acknowledge},
		{"inc", "einhorn's: one worker more; answered when it has proved itself, or has failed", false, (*Commands).inc},
		{"dec", "einhorn's: one worker less; answered when it is gone", false, (*Commands).dec},
		{"upgrade", "einhorn's for restart", false, (*Commands).restart},
		{"die", "einhorn's for stop: by the signal that old workers get, or the one in \"args\"", false, (*Commands).die},
		{"config", "einhorn's for options", false, (*Commands).options},
		{"state", "einhorn's for status", false, (*Commands).status},
		{"ehlo", "einhorn's: who is there", false, (*Commands).ehlo},
		{"version", "of the program", false, (*Commands).version},
		{"quieter", "", false, (*Commands).missing},
		{"louder", "", false, (*Commands).missing},
		{"reload", "", false, (*Commands).missing},
	}
}

// Do carries out a request, and blocks as long as that takes.
func (c *Commands) Do(peer control.Peer, r control.Request) control.Answer {
	i := slices.IndexFunc(table, func(row command) bool { return row.name == r.Command })
	if peer.OfWorkers && (i < 0 || !table[i].workers) {
		return control.Refusal(fmt.Sprintf("user %d, which the workers run as, may only acknowledge, by worker:ack", peer.UID))
	}
	if i < 0 {
		return failed(fmt.Errorf("there is no command %.40q; help tells what there is", r.Command))
	}
	cause := fmt.Sprintf("%s asked for by process %d", r.Command, peer.Pid)
	return table[i].do(c, r.Context(), request{r, peer, cause})
}

// done is the answer to a request that was carried out, with a message for people.
func done(format string, args ...any) control.Answer {
	return control.Answer{OK: true, Message: fmt.Sprintf(format, args...)}
}

// failed is the answer that says why a request was not carried out.
func failed(err error) control.Answer {
	if errors.Is(err, control.ErrHandedOver) {
		return control.HandedOver()
	}
	return control.Answer{Error: err.Error()}
}

// self is how the superdaemon introduces itself.
func (c *Commands) self() string { return fmt.Sprintf("%s (pid:%d)", c.Name, os.Getpid()) }

func (c *Commands) help(context.Context, request) control.Answer {
	a := control.Answer{OK: true}
	var text strings.Builder
	for _, row := range table {
		if row.help != "" {
			a.Commands = append(a.Commands, control.Command{Name: row.name, Help: row.help})
			fmt.Fprintf(&text, "%s: %s\n", row.name, row.help)
		}
	}
	a.Message = text.String()
	return a
}

func (c *Commands) subscribe(context.Context, request) control.Answer {
	return control.Subscription()
}

func (c *Commands) ehlo(context.Context, request) control.Answer {
	return done("You are speaking to %s", c.self())
}

func (c *Commands) version(context.Context, request) control.Answer {
	return done("%s (go-server-starter) %s", c.Name, c.Version)
}

func (c *Commands) options(context.Context, request) control.Answer {
	a := control.Answer{OK: true, Args: c.InForce()}
	a.Message = strings.Join(a.Args, "\n")
	return a
}

// missing is for commands of einhorn that we do not have.
func (c *Commands) missing(_ context.Context, r request) control.Answer {
	return failed(fmt.Errorf("%s is a command of einhorn that is not supported: the log has all output", r.Command))
}
