package main

import (
	"regexp"
	"strings"
)

var (
	boldPattern = regexp.MustCompile(`\\fB(?:[^\\]|\\[^f])*\\f[RP]`)
	barePattern = regexp.MustCompile(`(\\?)-`)
)

// width is how long a line of a man page may be, in bytes.
const width = 80

// clean makes roff better. In code it replaces each hyphen by a minus, so that the code can be
// copied from a terminal. It indents examples, removes empty lines that mean nothing, and
// breaks lines that are too long.
func clean(roff string) string {
	var out []string
	example := false
	for line := range strings.Lines(roff) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == ".EX":
			example = true
			out = append(empty(out), ".PP", ".RS 4", ".EX")
		case line == ".EE":
			example = false
			out = append(out, ".EE", ".RE")
		case example:
			out = append(out, barePattern.ReplaceAllString(line, `\-`))
		case line == "":
			out = append(out, line)
		case strings.HasPrefix(line, "."):
			out = append(empty(out), line)
		default:
			out = append(out, fold(boldPattern.ReplaceAllStringFunc(line, func(code string) string {
				return barePattern.ReplaceAllString(code, `\-`)
			}))...)
		}
	}
	return strings.Join(paragraphs(empty(out)), "\n") + "\n"
}

// empty returns lines without the empty ones at the end.
func empty(lines []string) []string {
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// paragraphs replaces each empty line outside examples by the macro for a paragraph. Right after a
// macro it removes the line: a paragraph begins there anyway.
func paragraphs(lines []string) (out []string) {
	example := false
	for _, line := range lines {
		switch {
		case line == ".EX" || line == ".EE":
			example = line == ".EX"
		case line == "" && !example:
			if last := out[len(out)-1]; !strings.HasPrefix(last, ".") || last == ".RE" {
				out = append(out, ".PP")
			}
			continue
		case line == ".PP" && strings.HasPrefix(out[len(out)-1], ".S"):
			continue
		}
		out = append(out, line)
	}
	return out
}

// fold breaks a line of text at blanks.
func fold(line string) (lines []string) {
	for len(line) > width {
		at := strings.LastIndex(line[:width+1], " ")
		if at <= 0 {
			break
		}
		lines = append(lines, line[:at])
		line = line[at+1:]
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
	}
	return append(lines, line)
}
