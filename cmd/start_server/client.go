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
	ctx := context.Background()
	if o.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.timeout, ctl.TimedOut(o.timeout))
		defer cancel()
	}
	stopping := func(pid int) {
		fmt.Fprintf(stderr, "stop_server (pid:%d) stopping now (pid:%d)...\n", os.Getpid(), pid)
	}
	err := o.byControl(ctx, stdout, stopping)
	if errors.Is(err, control.ErrNobody) {
		err = o.byFiles(ctx, stopping, err)
	}
	if err != nil {
		return fail(stderr, exitError, err)
	}
	return exitOK
}

// byFiles restarts or stops by the pid file and the status file. If they were not given
// the error is nobody, that of the control socket.
func (o *options) byFiles(ctx context.Context, stopping func(pid int), nobody error) error {
	switch {
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
	case o.Stop:
		return a.Stop(ctx, "stop", stopping)
	case o.JSON:
		fmt.Fprintf(stdout, "%s\n", a.Status.JSON())
		return nil
	}
	ctl.WriteStatus(stdout, a.Status)
	return nil
}
