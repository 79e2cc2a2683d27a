package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/ctl"
)

// remember keeps what a start_server would be started with: the options that are given, without
// what is only for --upgrade, and the program after them. If neither the command line nor a file
// names a program, --control only says which start_server to ask. The other start_server may run
// in another directory than we do.
func (o *options) remember(program []string) {
	for _, arg := range o.given {
		switch name, _, _ := strings.Cut(arg, "="); {
		case name == "--upgrade":
			o.upgrade = true
		case name == "--timeout", name == "--keep-workers":
		case name == "--control" && len(o.command) == 0:
		case name == "--config":
			if path, err := filepath.Abs(o.Config); err == nil {
				arg = name + "=" + path
			}
			o.line = append(o.line, arg)
		default:
			o.line = append(o.line, arg)
		}
	}
	if len(program) > 0 {
		o.line = append(append(o.line, "--"), program...)
	}
}

// askUpgrade replaces the start_server at the control socket by this one.
func (o *options) askUpgrade(ctx context.Context, stdout io.Writer) error {
	path := o.Control
	if o.Upgrade != "" {
		path = o.Upgrade
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot find our own executable: %w", err)
	}
	for _, word := range append([]string{self}, o.line...) {
		if !utf8.ValidString(word) {
			return fmt.Errorf("%q is not UTF-8, and cannot be sent to the superdaemon: put it into a script", word)
		}
	}
	a, err := ctl.Call(ctx, "start_server", path, true)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.Upgrade(ctx, stdout, control.Request{Executable: self, Args: o.line, KeepWorkers: o.KeepWorkers})
}

// changes returns the options in which the command line differs from an old one.
func (o *options) changes(old []string) []string {
	before, err := parse(old)
	if err != nil {
		return []string{"the last command line: " + err.Error()}
	}
	var lines []string
	for _, option := range inFileOptions() {
		is, was := shown(o.valuesOf(option)), shown(before.valuesOf(option))
		if is != was {
			lines = append(lines, fmt.Sprintf("--%s is %s now, and was %s", option.Tag.Get("long"), is, was))
		}
	}
	if !slices.Equal(before.command, o.command) {
		lines = append(lines, fmt.Sprintf("the program is %q now, and was %q", o.command, before.command))
	}
	return lines
}

// shown returns the values of an option as people read them.
func shown(values []string) string {
	if len(values) == 0 {
		return "not given"
	}
	return strings.Join(values, " ")
}
