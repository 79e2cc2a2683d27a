package pages

import (
	"fmt"
	"slices"
	"strings"
)

// The lines around what a test with -update writes into a page.
const (
	contentsBegin = "<!-- contents -->"
	contentsEnd   = "<!-- end of contents -->"
)

// Contents returns the list of a page's sections.
func (p Page) Contents() []string {
	var list []string
	for _, h := range p.Headings() {
		if h.Level == 2 || h.Level == 3 {
			list = append(list, fmt.Sprintf("%s- [%s](#%s)", strings.Repeat("  ", h.Level-2), h.Text, h.Anchor))
		}
	}
	return list
}

// WithContents returns the page with its list of contents as it should be. ok reports whether the
// page has a place for one.
func (p Page) WithContents() (page Page, ok bool) {
	return p.With(contentsBegin, contentsEnd, p.Contents())
}

// With returns the page with other lines between the lines begin and end. ok reports whether the
// page has begin and end.
func (p Page) With(begin, end string, lines []string) (page Page, ok bool) {
	from := slices.Index(p.Lines, begin)
	if from < 0 {
		return p, false
	}
	length := slices.Index(p.Lines[from:], end)
	if length < 0 {
		return p, false
	}
	lines = append(append([]string{""}, lines...), "")
	return Page{Path: p.Path, Lines: slices.Concat(p.Lines[:from+1], lines, p.Lines[from+length:])}, true
}
