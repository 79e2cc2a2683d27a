package ctl

import (
	"fmt"
	"io"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/text"
)

// screen is how many columns a terminal has at least.
const screen = 80

// shortened cuts a line to columns; with 0 it does not cut.
func shortened(line string, columns int) string {
	if columns == 0 {
		return line
	}
	return text.Cut(line, columns)
}

// table is rows of cells. The first row is the columns' names.
type table [][]string

// gap is how many blanks stand between two columns at least.
const gap = 2

// write prints the table, and cuts rows that are wider than width, unless that is 0.
func (t table) write(w io.Writer, width int) {
	for _, line := range t.lines(width, nil) {
		fmt.Fprintln(w, line)
	}
}

// lines returns the table's rows, each column as wide as its widest cell. Rows that are wider
// than width are cut, unless that is 0. Cells are made printable: some hold foreign text, such as
// the name of a socket. paint, if not nil, gives the colour of a cell.
func (t table) lines(width int, paint func(row, column int) colour) (lines []string) {
	var widths []int
	clean := make(table, len(t))
	for r, row := range t {
		clean[r] = make([]string, len(row))
		for c, cell := range row {
			clean[r][c] = oneLine(cell)
			if c == len(widths) {
				widths = append(widths, 0)
			}
			widths[c] = max(widths[c], text.Width(clean[r][c]))
		}
	}
	for r, row := range clean {
		var padded strings.Builder
		starts := make([]int, len(row))
		for c, cell := range row {
			starts[c] = padded.Len()
			padded.WriteString(cell)
			padded.WriteString(strings.Repeat(" ", widths[c]-text.Width(cell)+gap))
		}
		line := shortened(strings.TrimRight(padded.String(), " "), width)
		for c := len(row) - 1; c >= 0 && paint != nil; c-- {
			if rest, whole := strings.CutPrefix(line[min(starts[c], len(line)):], row[c]); whole {
				line = line[:min(starts[c], len(line))] + paint(r, c).on(row[c]) + rest
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// colour is the sequence that turns a colour on in a terminal (ECMA-48, SGR); "": none.
type colour string

const (
	plain  colour = ""
	dim    colour = "\x1b[2m"
	red    colour = "\x1b[31m"
	green  colour = "\x1b[32m"
	yellow colour = "\x1b[33m"
)

// on returns s in the colour.
func (c colour) on(s string) string {
	if c == plain || s == "" {
		return s
	}
	return string(c) + s + "\x1b[0m"
}
