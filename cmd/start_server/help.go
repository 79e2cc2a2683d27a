package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

const usage = "[options] -- program [args...]"

const epilogue = `
SECONDS may have a fraction or a unit: 2, 0.5, 300ms. NAME is a signal's name
in any case, with or without SIG.

Signals: HUP starts a new generation of the program beside the running one,
which is told to go when the new one has started. TERM, INT and QUIT stop all
workers (INT by TERM, QUIT by QUIT), and then start_server.

Exit codes: 0  stopped as asked, or what --restart or --stop asked for is done
            1  it failed: a port in use, a program that cannot be started, a
               restart that failed, or that took longer than --timeout, no
               start_server at --control or --pid-file
            2  the command line is wrong; nothing was touched
            3  --status: nothing serves
            4  --status: whether something serves cannot be known
`

// section is a part of the help: options that belong together, and an example of them.
type section struct {
	name, example string
	options       []reflect.StructField
}

// client is the section of the options that ask another start_server.
const client = "Client"

// sections returns the sections of the command line, in their order.
func sections() (all []section) {
	of := reflect.TypeFor[options]()
	for i := range of.NumField() {
		field := of.Field(i)
		switch tag := field.Tag; {
		case tag.Get("section") != "":
			all = append(all, section{name: tag.Get("section"), example: tag.Get("example")})
		case tag.Get("long") != "":
			last := &all[len(all)-1]
			last.options = append(last.options, field)
		}
	}
	return all
}

// spelling returns an option as it is written on the command line.
func spelling(option reflect.StructField) string {
	name, value := "--"+option.Tag.Get("long"), option.Tag.Get("value-name")
	switch {
	case value == "":
		return name
	case option.Tag.Get("optional") != "":
		return name + "[=" + value + "]"
	}
	return name + "=" + value
}

// meaning returns what an option does, and its default.
func meaning(option reflect.StructField) string {
	meaning := option.Tag.Get("description")
	if mask := option.Tag.Get("default-mask"); mask != "" {
		meaning += " (default: " + mask + ")"
	}
	return meaning
}

// The columns of the help.
const (
	helpWidth  = 80
	helpIndent = 26 // where the meaning of an option begins
)

// writeHelp writes the help, 80 columns wide at most, even on a wider terminal.
func writeHelp(w io.Writer) {
	fmt.Fprintf(w, "Usage:\n  start_server %s\n", usage)
	for _, s := range sections() {
		fmt.Fprintf(w, "\n%s:\n  %s\n\n", s.name, s.example)
		for _, option := range s.options {
			left := "  " + spelling(option)
			if len(left) > helpIndent-2 {
				fmt.Fprintln(w, left)
				left = ""
			}
			for _, line := range wrap(meaning(option), helpWidth-helpIndent) {
				fmt.Fprintf(w, "%-*s%s\n", helpIndent, left, line)
				left = ""
			}
		}
	}
	fmt.Fprint(w, epilogue)
}

// wrap breaks text between words into lines of at most width columns.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
