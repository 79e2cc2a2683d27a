package text

import (
	"strconv"
	"strings"
	"unicode"
)

// Line makes foreign text one line that is fit for a log or a terminal. A "?" takes the place
// of each character that is not printable, such as newline and tab, and of each run of bytes
// that are not UTF-8.
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

// Quoted returns s as it is, or in Go's quotes if it holds a double quote, a backslash, or what
// Line replaces: it could not be told from the text around it.
func Quoted(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}
