// There is hardly ever work for two processors, so the runtime need not watch the cgroup's
// CPU limits. It reads them once all the same.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command start_server is a superdaemon for hot-deploying server programs, a
// port of Perl's Server::Starter.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/handover"
)

// The exit codes, as the help explains them.
const (
	exitOK    = cmdline.OK
	exitError = cmdline.Error
	exitUsage = cmdline.Usage
	// Of --status:
	exitNotServing = 3
	exitUnknown    = 4
)

func main() {
	// By default the runtime first collects when the heap has 4 MB, four times what there is to
	// keep. With a quarter of that the superdaemon stays small, and collects about as rarely as it
	// restarts.
	debug.SetGCPercent(25)
	cmdline.FewThreads()
	os.Exit(onMain(func() int { return run(os.Args[1:], os.Stdout, os.Stderr) }))
}

func run(args []string, stdout, stderr io.Writer) int {
	report := daemonReport()
	if report != nil {
		stderr = report
	}
	if cmdline.Completing() {
		return cmdline.Complete(stdout, &options{}, args, completed)
	}
	args = cmdline.Rehearsing(args)
	kept := handover.InForce()
	if kept != nil {
		args = kept
	}
	o, err := parse(args)
	switch {
	case o == nil:
		return fail(stderr, exitUsage, handover.Back(err, nil))
	case o.Help:
		writeHelp(stdout)
		return exitOK
	case o.Version:
		fmt.Fprintln(stdout, cmdline.Version("start_server", starter.Version))
		return exitOK
	case o.isClient():
		if err != nil {
			return fail(stderr, exitUsage, err)
		}
		return o.client(stdout, stderr)
	}
	config := o.config(stderr)
	config.ReadsFile = o.file != nil || kept != nil
	if report != nil {
		o.whenReady(&config, report.ready)
	}
	s, faults := starter.New(config)
	if err = errors.Join(err, o.placed(faults)); err != nil {
		return fail(stderr, exitUsage, handover.Back(err, nil))
	}
	if o.PrintConfig {
		if err := writeFile(stdout, o.inForce()); err != nil {
			return fail(stderr, exitError, err)
		}
		return exitOK
	}
	if o.Daemonize != "" && report == nil && !handover.IsOne() {
		return daemonize(stderr)
	}
	if err := s.Run(context.Background()); errors.Is(err, starter.ErrRehearsal) {
		return exitOK
	} else if err != nil {
		return fail(stderr, exitError, err)
	}
	return exitOK
}

// fail writes each line of err, and returns code.
func fail(stderr io.Writer, code int, err error) int {
	return cmdline.Fail(stderr, "start_server", code, err)
}
