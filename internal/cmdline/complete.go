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

// askCompletion is the variable by which a shell asks a go-flags program for completions of
// its last argument, a line each. If the value is "verbose", two spaces, a # and the meaning
// follow each. We answer it ourselves: go-flags asks the types of the options, and has no type
// for names of sockets and directories.
const askCompletion = "GO_FLAGS_COMPLETION"

// Completing reports whether a shell asks for completions.
func Completing() bool { return os.Getenv(askCompletion) != "" }

// Values returns possible values of an option. Those that do not begin with typed are left out
// later.
type Values func(typed string) []string

// Complete writes completions of the last of args, and returns an exit code. They are names of
// the options o, and values of options with a tag complete, which is "signal", "file", "dir",
// "socket", a name in own, or the values themselves. After the program to run it writes nothing.
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

// find returns the option that a word gives: -x, or --name. It is nil if there is none.
func find(parser *flags.Parser, word string) *flags.Option {
	if name, long := strings.CutPrefix(word, "--"); long {
		return parser.FindOptionByLongName(name)
	}
	if len(word) == 2 {
		return parser.FindOptionByShortName(rune(word[1]))
	}
	return nil
}

// takesNext returns option if the next argument is its value, and nil otherwise.
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

// values writes the possible values of option that begin with typed, each after prefix.
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

// files returns the wanted files in the directory of typed; directories get a slash. A name that
// begins with a dot is listed only if the dot was typed.
func files(typed string, wanted func(fs.DirEntry) bool) (names []string) {
	dir, begun := filepath.Split(typed)
	entries, _ := os.ReadDir(filepath.Join(dir, "."))
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(dir, e.Name())); err == nil {
			e = fs.FileInfoToDirEntry(info) // follows a link
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
