package text

import (
	"strconv"
	"strings"
	"unicode"
)

// Line makes what others have written one line that is fit for a log or a terminal. A
// "?" takes the place of each character that is not printable, which newline and tab are
// not, and of each run of bytes that are not UTF-8.
func Line(s string) string { return replace(s, "") }

// Lines is Line for text of several lines: newline and tab stay.
func Lines(s string) string { return replace(s, "\n\t") }

func replace(s, except string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && !strings.ContainsRune(except, r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Quoted is s as it is, or in Go's quotes if it would not be told apart from what stands
// around it: it holds a quote, a backslash, or what Line replaces.
func Quoted(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
