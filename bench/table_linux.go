package main

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// values are the cells of a row; NaN is none.
type values [subjects]float64

// row is a line of the table.
type row struct {
	label  string
	format string // of the cells
	values values
	target string // "": none is known
	met    bool
	note   string // why the original's value cannot be compared with ours
}

// atMost sets the target for ours.
func (r row) atMost(limit float64) row {
	r.target = "<= " + fmt.Sprintf(r.format, limit)
	r.met = r.values[ours] <= limit
	return r
}

// layout keeps a line within 100 columns.
const layout = "%-44s %9s %9s %9s %7s  %s\n"

func printTable(w io.Writer, rows []row, hasOriginal bool) {
	fmt.Fprintf(w, layout, "", "bare", "ours", "original", "ratio", "target")
	var notes []string
	for _, r := range rows {
		var cells [subjects]string
		for s, v := range r.values {
			switch {
			case !math.IsNaN(v):
				cells[s] = fmt.Sprintf(r.format, v)
			case subject(s) == original && !hasOriginal:
				cells[s] = "n/a"
			}
		}
		if r.note != "" && hasOriginal {
			notes = append(notes, r.note)
			cells[original] += fmt.Sprintf(" [%d]", len(notes))
		}
		line := fmt.Sprintf(layout, r.label, cells[bare], cells[ours], cells[original], r.ratio(), r.verdict())
		io.WriteString(w, strings.TrimRight(line, " \n")+"\n")
	}
	fmt.Fprintln(w, "\nratio: ours to original. bare: the worker alone, binding its ports itself.")
	for i, note := range notes {
		fmt.Fprintf(w, "[%d] %s\n", i+1, note)
	}
}

// ratio is ours divided by original, if that says something.
func (r row) ratio() string {
	ratio := r.values[ours] / r.values[original]
	if r.note != "" || math.IsNaN(ratio) || math.IsInf(ratio, 0) || ratio < 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", ratio)
}

func (r row) verdict() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return r.target + " ok"
	}
	return r.target + " MISSED"
}
