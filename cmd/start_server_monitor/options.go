package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/monitor/web"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// options is the command line. The tags drive parsing and help.
type options struct {
	Listen    []string `long:"listen" value-name:"ADDR" description:"HOST:PORT or unix:PATH to serve on; may be repeated (default: 127.0.0.1:9180)"`
	Allow     []string `long:"allow" value-name:"LIST" complete:"allow" description:"what may be asked for: restart, stop, rollback, promote, workers; with commas between. Needs --token-file"`
	TokenFile string   `long:"token-file" value-name:"FILE" complete:"file" description:"the token that clients have to send; others must not be able to read the file"`
	Forget    string   `long:"forget" value-name:"TIME" default:"5m" description:"forget a superdaemon that a glob has found after it is gone for so long"`
	Rescan    string   `long:"rescan" value-name:"TIME" default:"10" description:"expand the globs so often, even if no directory has changed"`
	Help      bool     `short:"h" long:"help" description:"print this help"`
	Version   bool     `long:"version" description:"print the version"`

	patterns       []string
	allow          []string
	forget, rescan time.Duration
}

const epilogue = `
PATH is a control socket, as start_server has it by --control=PATH, or a glob of several:

  start_server_monitor --listen=127.0.0.1:9180 '/run/*.ctl'

Then http://127.0.0.1:9180/ is a page, /metrics is for Prometheus, /healthz and /readyz
are for health checks, and /api/status and /api/events are for programs. Times are
seconds, or have a unit, as 5m.

Exit codes: 0  it was told to go, by TERM or INT
            1  it could not serve
            2  the command line is wrong
`

// allowed returns what a shell completes after --allow=.
func (*options) allowed(typed string) (all []string) {
	before := typed[:strings.LastIndexByte(typed, ',')+1]
	for _, command := range web.Commands {
		all = append(all, before+command)
	}
	return all
}

// check reads the options' values. The error says what is wrong with them.
func (o *options) check(patterns []string) (err error) {
	if len(patterns) == 0 {
		return fmt.Errorf("no control socket is named: name some, or a glob such as '/run/*.ctl'; see %s --help", name)
	}
	for _, pattern := range patterns {
		if _, err := filepath.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("%q is no path and no glob", pattern)
		}
		absolute, err := filepath.Abs(pattern)
		if err != nil {
			return err
		}
		o.patterns = append(o.patterns, absolute)
	}
	if o.forget, err = duration("--forget", o.Forget); err != nil {
		return err
	}
	if o.rescan, err = duration("--rescan", o.Rescan); err != nil {
		return err
	}
	return o.checkAllow()
}

// duration reads a duration of a second at least.
func duration(option, value string) (time.Duration, error) {
	d, err := text.ParseDuration(value)
	if err == nil && d < time.Second {
		err = errors.New("it is less than a second")
	}
	if err != nil {
		return 0, fmt.Errorf("%s=%s: %w", option, value, err)
	}
	return d, nil
}

func (o *options) checkAllow() error {
	for _, list := range o.Allow {
		for command := range strings.SplitSeq(list, ",") {
			switch {
			case !slices.Contains(web.Commands, command):
				return fmt.Errorf("--allow=%s: %q is none of %s", list, command, strings.Join(web.Commands, ", "))
			case !slices.Contains(o.allow, command):
				o.allow = append(o.allow, command)
			}
		}
	}
	switch {
	case o.allow != nil && o.TokenFile == "":
		return errors.New("--allow needs --token-file=FILE, with a token that clients have to send")
	case o.allow == nil && o.TokenFile != "":
		return errors.New("--token-file is of no use without --allow")
	case o.allow == nil:
		return nil
	}
	_, err := o.token()
	return err
}

// token reads the token anew for each request, so that it can be replaced at any time.
func (o *options) token() (string, error) { return web.ReadToken(o.TokenFile) }
