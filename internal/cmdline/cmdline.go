// Package cmdline parses command lines and reports errors, for all commands.
package cmdline

import (
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/jessevdk/go-flags"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// The exit codes. Each command's help explains them.
const (
	OK    = 0
	Error = 1
	Usage = 2 // the command line is wrong, and nothing was touched
)

// Fail writes the lines of err, each after the name of the command, and returns code. What
// is not printable is replaced: other users may have chosen the names of files.
func Fail(stderr io.Writer, name string, code int, err error) int {
	for line := range strings.Lines(text.Lines(err.Error())) {
		_ = fd.WriteAll(stderr, name+": "+strings.TrimSuffix(line, "\n")+"\n")
	}
	return code
}

// FewThreads lets Go run four goroutines at once, at most, however many processors there
// are: hardly ever more than one is ready to run, and each may want a thread
// (proc.SpareThreads).
func FewThreads() {
	if runtime.GOMAXPROCS(0) > 4 {
		runtime.GOMAXPROCS(4)
	}
}

// Parser returns a go-flags parser that reads options into o, by its tags, up to "--" or the
// first argument that is no option. Its help begins with usage.
func Parser(name, usage string, o any) (*flags.Parser, error) {
	parser := flags.NewNamedParser(name, flags.PassDoubleDash|flags.PassAfterNonOption)
	parser.Usage = usage
	_, err := parser.AddGroup("Options", "", o)
	return parser, err
}

// Parse reads args with a Parser. rest is the arguments after the options. The error is
// one line.
func Parse(name, usage string, o any, args []string) (parser *flags.Parser, rest []string, err error) {
	if parser, err = Parser(name, usage, o); err != nil {
		return nil, nil, err
	}
	if rest, err = parser.ParseArgs(args); err != nil {
		err = fmt.Errorf("%w; see %s --help", err, name)
	}
	return parser, rest, err
}

// RehearseArg is the first argument if a superdaemon is only asked whether it could take over
// from another one. A version that cannot take over does not know the argument, and ends.
const RehearseArg = "--rehearse"

// Rehearsing returns args without RehearseArg.
func Rehearsing(args []string) []string {
	if len(args) > 0 && args[0] == RehearseArg {
		return args[1:]
	}
	return args
}
