package pages

import (
	"fmt"
	"slices"
	"strings"
)

// The lines around what is written into a page by a test with -update.
const (
	contentsBegin = "<!-- contents -->"
	contentsEnd   = "<!-- end of contents -->"
)

// Contents is the list of a page's sections.
func (p Page) Contents() []string {
	var list []string
	for _, h := range p.Headings() {
		if h.Level == 2 || h.Level == 3 {
			list = append(list, fmt.Sprintf("%s- [%s](#%s)", strings.Repeat("  ", h.Level-2), h.Text, h.Anchor))
		}
	}
	return list
}

// WithContents is the page with its list of contents as it should be. ok tells whether it
// has a place for one.
func (p Page) WithContents() (page Page, ok bool) {
	return p.With(contentsBegin, contentsEnd, p.Contents())
}

// With is the page with other lines between the lines begin and end. ok tells whether it
// has these.
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
