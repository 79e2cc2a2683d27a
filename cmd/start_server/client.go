package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/ctl"
	"github.com/lestrrat/go-server-starter/internal/runfile"
)

// client carries out --restart, --stop or --status: by the control socket if there is one,
// otherwise by the pid file and the status file.
func (o *options) client(stdout, stderr io.Writer) int {
	if o.Watch || o.Events {
		return o.follow(stdout, stderr)
	}
	ctx := context.Background()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, ctl.TimedOut(o.timeout))
		defer cancel()
	}
	stopping := func(pid int) {
		fmt.Fprintf(stderr, "stop_server (pid:%d) stopping now (pid:%d)...\n", os.Getpid(), pid)
	}
	if o.upgrade {
		if err := o.askUpgrade(ctx, stdout); err != nil {
			return fail(stderr, exitError, err)
		}
		return exitOK
	}
	err := o.byControl(ctx, stdout, stopping)
	if errors.Is(err, control.ErrNobody) {
		err = o.byFiles(ctx, stdout, stopping, err)
	}
	switch code := o.exitCode(err); {
	case errors.Is(err, errNotServing): // the status that was printed shows it
		return code
	case err != nil:
		return fail(stderr, code, err)
	}
	return exitOK
}

// follow carries out --watch or --events.
func (o *options) follow(stdout, stderr io.Writer) int {
	follow := ctl.Events
	if o.Watch {
		follow = ctl.Watch
	}
	err := ctl.Follow(stdout, func(ctx context.Context) error {
		return follow(ctx, "start_server", o.Control, stdout, stderr, o.JSON)
	})
	if err != nil {
		return fail(stderr, exitError, err)
	}
	return exitOK
}

// errNotServing says that there is a start_server, but no worker serves.
var errNotServing = errors.New("nothing serves")

// exitCode returns the exit code of a client command that ended with err.
func (o *options) exitCode(err error) int {
	var nobody *runfile.NobodyError
	switch {
	case err == nil:
		return exitOK
	case !o.Status:
		return exitError
	case errors.Is(err, errNotServing), errors.Is(err, control.ErrNobody), errors.As(err, &nobody):
		return exitNotServing
	}
	return exitUnknown
}

// byFiles restarts, stops or looks by the pid file and the status file. If they were not
// given it returns nobody, the error of the control socket.
func (o *options) byFiles(ctx context.Context, stdout io.Writer, stopping func(pid int), nobody error) error {
	switch {
	case o.Status && !o.JSON && (o.PidFile != "" || o.StatusFile != ""):
		return o.lookAtFiles(stdout)
	case o.Restart && o.PidFile != "" && o.StatusFile != "":
		return runfile.Restart(ctx, o.PidFile, o.StatusFile)
	case o.Stop && o.PidFile != "":
		return runfile.Stop(ctx, o.PidFile, stopping)
	}
	return nobody
}

// byControl fails with control.ErrNobody if no superdaemon listens.
func (o *options) byControl(ctx context.Context, stdout io.Writer, stopping func(pid int)) error {
	if o.Control == "" {
		return control.ErrNobody
	}
	a, err := ctl.Call(ctx, "start_server", o.Control, o.Restart)
	if err != nil {
		return err
	}
	defer a.Close()
	switch {
	case o.Restart:
		return a.Restart(ctx, stdout, o.Drained)
	case o.Rollback || o.Promote || o.Reopen:
		said, err := a.Ask(ctx, o.asked())
		if err == nil {
			fmt.Fprintln(stdout, said)
		}
		return err
	case o.PrintConfig:
		args, err := a.Options(ctx)
		if err == nil {
			err = writeFile(stdout, args)
		}
		return err
	case o.Stop:
		return a.Stop(ctx, "stop", stopping)
	case o.JSON:
		fmt.Fprintf(stdout, "%s\n", a.Status.JSON())
	default:
		ctl.WriteStatus(stdout, a.Status)
	}
	if !ctl.Serves(a.Status) {
		return errNotServing
	}
	return nil
}

// asked returns the control socket's command for an option that only sends that command.
func (o *options) asked() string {
	switch {
	case o.Rollback:
		return "rollback"
	case o.Promote:
		return "promote"
	}
	return "reopen"
}

// lookAtFiles prints what the files say.
func (o *options) lookAtFiles(stdout io.Writer) error {
	s, err := runfile.Look(o.PidFile, o.StatusFile)
	if err != nil {
		return err
	}
	who := "start_server"
	if s.Pid != 0 {
		who = fmt.Sprintf("start_server (pid:%d)", s.Pid)
	}
	switch {
	case !s.Known:
		return fmt.Errorf("%s is running; to see whether it serves give --status-file or --control", who)
	case len(s.Status.Entries) == 0:
		fmt.Fprintf(stdout, "%s is not serving: no worker is in its status file\n", who)
		return errNotServing
	}
	fmt.Fprintf(stdout, "%s is serving, by its status file: %s\n", who, s.Status)
	return nil
}
