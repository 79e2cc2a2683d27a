package cmdline

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jessevdk/go-flags"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// askCompletion is the variable by which a shell asks a program of go-flags for what its
// last argument may become: a line each, and if the value is "verbose" with what it means,
// behind two spaces and a #. We answer it ourselves, as go-flags asks the types of the
// options, and has no names of sockets and directories.
const askCompletion = "GO_FLAGS_COMPLETION"

// Completing tells whether a shell asks for completions.
func Completing() bool { return os.Getenv(askCompletion) != "" }

// Values are what the value of an option may be that begins with typed, and may be others.
type Values func(typed string) []string

// Complete writes what the last of args may become, and returns an exit code: names of the
// options o, and values of those that have a tag complete: "signal", "file", "dir",
// "socket", a name in own, or words. Behind the program that is to be run it writes nothing.
func Complete(w io.Writer, o any, args []string, own map[string]Values) int {
	parser, err := Parser("", "", o)
	if err != nil {
		return Error
	}
	complete(w, parser, args, own)
	return OK
}

func complete(w io.Writer, parser *flags.Parser, args []string, own map[string]Values) {
	if len(args) == 0 {
		args = []string{""}
	}
	last := args[len(args)-1]
	var expects *flags.Option // the option whose value comes next
	for _, arg := range args[:len(args)-1] {
		switch {
		case expects != nil:
			expects = nil
		case arg == "--" || !strings.HasPrefix(arg, "-"):
			return
		case !strings.Contains(arg, "="):
			expects = takesNext(find(parser, arg))
		}
	}
	name, value, hasValue := strings.Cut(last, "=")
	switch option := find(parser, name); {
	case expects != nil:
		values(w, "", last, expects, own)
	case !strings.HasPrefix(last, "-"):
	case hasValue && option != nil:
		values(w, name+"=", value, option, own)
	case !hasValue:
		names(w, parser, last)
	}
}

// find is the option that a word gives: -x, or --name with or without a value. It is nil
// if there is none.
func find(parser *flags.Parser, word string) *flags.Option {
	if name, long := strings.CutPrefix(word, "--"); long {
		return parser.FindOptionByLongName(name)
	}
	if len(word) == 2 {
		return parser.FindOptionByShortName(rune(word[1]))
	}
	return nil
}

// takesNext is option if the argument behind it is its value, and nil otherwise.
func takesNext(option *flags.Option) *flags.Option {
	if option == nil || option.OptionalArgument {
		return nil
	}
	if _, isSwitch := option.Value().(bool); isSwitch {
		return nil
	}
	return option
}

// names writes the options that begin with typed.
func names(w io.Writer, parser *flags.Parser, typed string) {
	verbose := os.Getenv(askCompletion) == "verbose"
	for _, group := range parser.Groups() {
		for _, option := range group.Options() {
			name := "--" + option.LongName
			if takesNext(option) != nil {
				name += "="
			}
			switch {
			case !strings.HasPrefix(name, typed):
			case verbose:
				brief, _, _ := strings.Cut(option.Description, ". ")
				fmt.Fprintf(w, "%s  # %s\n", name, brief)
			default:
				fmt.Fprintln(w, name)
			}
		}
	}
}

// values writes what the value of option may be that begins with typed, each behind prefix.
func values(w io.Writer, prefix, typed string, option *flags.Option, own map[string]Values) {
	var all []string
	switch kind := option.Field().Tag.Get("complete"); kind {
	case "signal":
		all = text.SignalNames()
	case "file":
		all = files(typed, func(fs.DirEntry) bool { return true })
	case "dir":
		all = files(typed, fs.DirEntry.IsDir)
	case "socket":
		all = files(typed, func(e fs.DirEntry) bool { return e.IsDir() || e.Type() == fs.ModeSocket })
	default:
		if of := own[kind]; of != nil {
			all = of(typed)
		} else {
			all = strings.Fields(kind)
		}
	}
	slices.Sort(all)
	for _, value := range all {
		if strings.HasPrefix(value, typed) && text.Line(value) == value {
			fmt.Fprintln(w, prefix+value)
		}
	}
}

// files are those that are wanted in the directory of typed, directories with a slash. One
// that begins with a dot is there only if that was typed.
func files(typed string, wanted func(fs.DirEntry) bool) (names []string) {
	dir, begun := filepath.Split(typed)
	entries, _ := os.ReadDir(filepath.Join(dir, "."))
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
			e = fs.FileInfoToDirEntry(info) // of what a link points to
		}
		if !wanted(e) || strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(begun, ".") {
			continue
		}
		name := dir + e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	return names
}
