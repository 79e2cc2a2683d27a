package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/fd"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// inFile is what a file of options gives: options of the command line, and the program.
type inFile struct {
	options
	program []string // with its arguments
	path    string
	lines   []iniLine
}

// iniLine is a line of the file that gives an option, or the program.
type iniLine struct {
	number      int
	name, value string
}

const (
	maxFile   = 1 << 20 // bytes of a file of options
	maxFaults = 20      // reported at once
)

// readFile takes from --config's file what the command line does not give.
func (o *options) readFile() error {
	if o.Config == "" {
		return nil
	}
	if files := slices.DeleteFunc(slices.Clone(o.given), func(arg string) bool { return !strings.HasPrefix(arg, "--config=") }); len(files) > 1 {
		return fmt.Errorf("%s: there can be one file of options only", text.Line(strings.Join(files, " ")))
	}
	content, err := contentOf(o.Config)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	f := &inFile{path: text.Line(o.Config)}
	if f.parser, err = cmdline.Parser("start_server", usage, &f.options); err != nil {
		return err
	}
	if err := f.read(content); err != nil {
		return err
	}
	mine, its := reflect.ValueOf(o).Elem(), reflect.ValueOf(&f.options).Elem()
	for _, option := range inFileOptions() {
		name := option.Tag.Get("long")
		if f.parser.FindOptionByLongName(name).IsSet() && !o.isGiven(name) {
			mine.FieldByIndex(option.Index).Set(its.FieldByIndex(option.Index))
		}
	}
	if len(o.command) == 0 {
		o.command = f.program
	}
	f.parser = nil
	f.lines = slices.DeleteFunc(f.lines, func(l iniLine) bool { return o.isGiven(l.name) })
	o.file = f
	return nil
}

// isGiven reports whether an option stands on the command line.
func (o *options) isGiven(name string) bool {
	return slices.ContainsFunc(o.given, func(arg string) bool {
		is, _, _ := strings.Cut(arg, "=")
		return is == "--"+name
	})
}

// contentOf reads a file, which must be a regular one because it will be read again.
func contentOf(path string) ([]byte, error) {
	file, err := fd.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%q has more than %d bytes", path, maxFile)
	}
	return content, err
}

// read reads the lines as go-flags reads INI. The error names every fault that shows without
// knowing what the values mean.
func (f *inFile) read(content []byte) error {
	var faults []error
	var arguments []string
	number, first := 0, 0 // line of an argument
	once := map[string]int{}
	for line := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) { // a byte order mark
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		name, value, hasValue := strings.Cut(line, "=")
		l := iniLine{number, strings.TrimSpace(name), strings.TrimSpace(value)}
		err := l.unquote()
		switch before := once[l.name]; {
		case err != nil:
		case before > 0:
			err = fmt.Errorf("%s: it is given in line %d already, and may be given only once", l.name, before)
		case l.name == "program":
			err, f.program = l.valued(hasValue && l.value != ""), []string{l.value}
		case l.name == "argument":
			err, arguments = l.valued(hasValue), append(arguments, l.value)
			first = cmp.Or(first, number)
		default:
			err = f.set(l)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", f.place(l), err))
		} else if !f.repeats(l.name) {
			once[l.name] = number
		}
		f.lines = append(f.lines, l)
		if len(faults) == maxFaults {
			return errors.Join(append(faults, errMore)...)
		}
	}
	if first > 0 && f.program == nil && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: argument: there is no line program = PATH", f.place(iniLine{number: first})))
	}
	f.program = append(f.program, arguments...)
	return errors.Join(faults...)
}

// repeats reports whether a line may be there more than once.
func (f *inFile) repeats(name string) bool {
	option := f.parser.FindOptionByLongName(name)
	if option == nil {
		return name == "argument"
	}
	_, is := option.Value().([]string)
	return is
}

// errMore stands for the faults beyond maxFaults.
var errMore = errors.New("and more")

// set takes the value of an option from a line.
func (f *inFile) set(l iniLine) error {
	option, name := f.parser.FindOptionByLongName(l.name), text.Cut(text.Quoted(l.name), 80)
	switch {
	case strings.HasPrefix(l.name, "["):
		return fmt.Errorf("%s: there are no sections in a file of options", name)
	case strings.HasPrefix(l.name, "-"):
		return fmt.Errorf("%s: in a file options have no dashes, as in port = 8080", name)
	case option == nil || l.name == "":
		return fmt.Errorf("%s: %w", cmp.Or(name, `""`), noSuch(f.parser, l.name, ""))
	case !slices.ContainsFunc(inFileOptions(), func(f reflect.StructField) bool { return f.Tag.Get("long") == l.name }):
		return fmt.Errorf("%s: it is for the command line only", l.name)
	}
	_, isSwitch := option.Value().(bool)
	switch {
	case !isSwitch && l.value == "":
		return l.valued(false)
	case isSwitch && l.value != "true" && l.value != "false":
		return fmt.Errorf("%s: it is a switch, as in %s = true, or false", l.name, l.name)
	}
	return option.Set(&l.value)
}

// unquote removes the quotes around the value, if there are any.
func (l *iniLine) unquote() error {
	if !strings.HasPrefix(l.value, `"`) {
		return nil
	}
	value, err := strconv.Unquote(l.value)
	if err != nil {
		return fmt.Errorf("%s: a value that begins with a quote is one in Go's quotes, and %s is not", text.Cut(text.Quoted(l.name), 80), text.Cut(text.Line(l.value), 80))
	}
	l.value = value
	return nil
}

// valued returns an error if a line has no value.
func (l iniLine) valued(has bool) error {
	if has {
		return nil
	}
	return fmt.Errorf("%s: its value is missing, as in %s = VALUE", l.name, l.name)
}

// inFileOptions are the options that a file may give: all but those that ask another
// start_server, and --config itself.
var inFileOptions = sync.OnceValue(func() (all []reflect.StructField) {
	for _, s := range sections() {
		for _, option := range s.options {
			if s.name != client && option.Tag.Get("long") != "config" {
				all = append(all, option)
			}
		}
	}
	return all
})

// place returns where a line stands.
func (f *inFile) place(l iniLine) string { return fmt.Sprintf("%s:%d", f.path, l.number) }

// placed puts FILE:LINE before each fault of an option that the file gives.
func (o *options) placed(err error) error {
	if o.file == nil || err == nil {
		return err
	}
	var faults []error
	for fault := range strings.Lines(err.Error()) {
		if len(faults) == maxFaults {
			faults = append(faults, errMore)
			break
		}
		faults = append(faults, errors.New(o.file.whose(strings.TrimSuffix(fault, "\n"))))
	}
	return errors.Join(faults...)
}

// whose returns a fault with the place of its line, if there is one, before it. It finds the line
// because a fault begins with the option, and names the value or a part of it.
func (f *inFile) whose(fault string) string {
	said := strings.TrimPrefix(fault, "--")
	quoted, _ := strconv.QuotedPrefix(said[max(0, strings.IndexByte(said, '"')):])
	part, err := strconv.Unquote(quoted)
	var of []iniLine
	for _, l := range f.lines {
		rest, is := strings.CutPrefix(said, l.name)
		if !is {
			rest, is = strings.CutPrefix(said, strings.ReplaceAll(l.name, "-", " "))
		}
		switch {
		case !is || rest == "" || rest[0] != ':' && rest[0] != ' ':
		case err == nil && strings.Contains(l.value, part):
			return f.place(l) + ": " + fault
		default:
			of = append(of, l)
		}
	}
	if len(of) == 0 {
		return fault
	}
	return f.place(of[0]) + ": " + fault
}

// inForce returns the command line that is in force, with the options of the file and of the
// variables.
func (o *options) inForce() []string {
	var args []string
	for _, option := range inFileOptions() {
		arg := "--" + option.Tag.Get("long")
		for _, value := range o.valuesOf(option) {
			if option.Type.Kind() == reflect.Bool {
				args = append(args, arg)
			} else {
				args = append(args, arg+"="+value)
			}
		}
	}
	if len(o.command) > 0 {
		args = append(append(args, "--"), o.command...)
	}
	return args
}

// valuesOf returns the values of an option that are in force; none if it is not given. A switch
// has one.
func (o *options) valuesOf(option reflect.StructField) []string {
	variable := option.Tag.Get("variable")
	standIn := ""
	if !slices.Contains(o.DropEnv, variable) {
		standIn = os.Getenv(variable)
	}
	switch value := reflect.ValueOf(o).Elem().FieldByIndex(option.Index).Interface().(type) {
	case bool:
		if value || standIn != "" && standIn != "0" {
			return []string{"given"}
		}
	case string:
		if value = cmp.Or(value, standIn); value != "" {
			return []string{value}
		}
	case []string:
		return value
	}
	return nil
}

// writeFile writes a command line from inForce as a file of options. An option that is not given
// becomes a comment, with its default.
func writeFile(w io.Writer, args []string) error {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	given, names := map[string][]string{}, []string{}
	for _, arg := range args[:end] {
		name, value, valued := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !valued {
			value = "true"
		}
		given[name] = append(given[name], value)
		names = append(names, name)
	}
	var content strings.Builder
	write := func(name string) {
		for _, value := range given[name] {
			fmt.Fprintf(&content, "%s = %s\n", name, iniValue(value))
		}
		delete(given, name)
	}
	for _, s := range sections() {
		if s.name == client {
			continue
		}
		fmt.Fprintf(&content, "; %s\n", s.name)
		for _, option := range s.options {
			name, standard := option.Tag.Get("long"), option.Tag.Get("default-mask")
			if given[name] == nil && standard != "" {
				fmt.Fprintf(&content, "; %s: %s\n", name, standard)
			}
			write(name)
		}
		fmt.Fprintln(&content)
	}
	for _, name := range names {
		write(name) // an option of another version
	}
	for i, word := range args[min(end+1, len(args)):] {
		name := "argument"
		if i == 0 {
			name = "program"
		}
		fmt.Fprintf(&content, "%s = %s\n", name, iniValue(word))
	}
	_, err := io.WriteString(w, content.String())
	return err
}

// iniValue returns a value, in quotes if it would not be read back as it is.
func iniValue(value string) string {
	if text.Line(value) != value || strings.TrimSpace(value) != value || strings.HasPrefix(value, `"`) {
		return strconv.Quote(value)
	}
	return value
}
