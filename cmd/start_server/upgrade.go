package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/ctl"
)

// remember keeps what a start_server would be started with: args, which are spelt out,
// without what is only for --upgrade. Without a program --control only says whom to ask.
func (o *options) remember(args []string) {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	for _, arg := range args[:end] {
		name, _, _ := strings.Cut(arg, "=")
		switch name {
		case "--upgrade":
			o.upgrade = true
		case "--timeout", "--keep-workers":
		default:
			o.line = append(o.line, arg)
		}
	}
	if end == len(args) {
		o.line = slices.DeleteFunc(o.line, func(arg string) bool { return strings.HasPrefix(arg, "--control=") })
		return
	}
	o.line = append(o.line, args[end:]...)
}

// askUpgrade has the start_server at the control socket replaced by this one.
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

// changes are the options in which the command line differs from an old one.
func (o *options) changes(old []string) []string {
	before, err := parse(old)
	if err != nil {
		return []string{"the last command line: " + err.Error()}
	}
	var lines []string
	for _, group := range o.parser.Groups() {
		for _, option := range group.Options() {
			was := before.parser.FindOptionByLongName(option.LongName)
			if is := given(option.Value()); is != given(was.Value()) {
				lines = append(lines, fmt.Sprintf("--%s is %s now, and was %s", option.LongName, is, given(was.Value())))
			}
		}
	}
	if !slices.Equal(before.command, o.command) {
		lines = append(lines, fmt.Sprintf("the program is %q now, and was %q", o.command, before.command))
	}
	return lines
}

// given is how an option's value is shown.
func given(value any) string {
	switch v := value.(type) {
	case bool:
		if v {
			return "given"
		}
		return "not given"
	case string:
		if v != "" {
			return v
		}
	case []string:
		if len(v) > 0 {
			return strings.Join(v, " ")
		}
	}
	return "not given"
}
