package main

import (
	"path"
	"regexp"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/pages"
)

// markdown returns a page as go-md2man gets it. Its title, the list of contents and comments are
// left out. Tables become lists, because a terminal has no room for them. Links to other pages
// become their names.
func markdown(p pages.Page) string {
	if bare, ok := p.With("<!-- contents -->", "<!-- end of contents -->", nil); ok {
		p = bare
	}
	var out []string
	var table [][]string
	fenced := false
	for _, line := range append(p.Lines, "") {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		if !fenced && strings.HasPrefix(line, "|") {
			table = append(table, cells(line))
			continue
		}
		if table != nil {
			out = append(out, list(table)...)
			out = append(out, "<!-- or an example that follows would be of the last item -->", "")
			table = nil
		}
		if fenced || !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "<!-- ") {
			out = append(out, line)
		}
	}
	return unlink(strings.Join(out, "\n"))
}

var cellPattern = regexp.MustCompile(`(?:\\\||[^|])*`)

// cells returns the cells of a row of a table.
func cells(row string) (all []string) {
	row = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row), "|"), "|")
	for row != "" {
		cell := cellPattern.FindString(row)
		all = append(all, strings.ReplaceAll(strings.TrimSpace(cell), `\|`, "|"))
		row = strings.TrimPrefix(row[len(cell):], "|")
	}
	return all
}

// list returns a table as a list with an item for each row, named by the first column.
func list(table [][]string) (out []string) {
	if len(table) < 3 {
		return nil
	}
	for _, row := range table[2:] {
		term, meaning := row[0], ""
		if !strings.Contains(term, "`") {
			term = "**" + term + "**"
		}
		for i, cell := range row[1:] {
			head := table[0][1:][i]
			switch {
			case cell == "":
				continue
			case meaning == "":
				meaning = cell
			case head == "":
				meaning = sentence(meaning) + " " + cell
			default:
				meaning = sentence(meaning) + " " + strings.ToUpper(head[:1]) + head[1:] + ": " + cell
			}
		}
		if meaning == "" {
			meaning = "see --help"
		}
		out = append(out, term, ":   "+sentence(meaning), "")
	}
	return out
}

// sentence returns text with a full stop.
func sentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, ":") {
		return text
	}
	return text + "."
}

var linkPattern = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)

// unlink puts the name of a page in the place of each link to it.
func unlink(text string) string {
	return linkPattern.ReplaceAllStringFunc(text, func(link string) string {
		found := linkPattern.FindStringSubmatch(link)
		name, target := found[1], found[2]
		file, _, _ := strings.Cut(target, "#")
		switch {
		case strings.Contains(target, "://"):
			return name + " (" + target + ")"
		case file == "" || strings.HasSuffix(name, ")"): // here, or a man page
			return name
		case name == file:
			return "`" + path.Join("docs", file) + "`"
		}
		return name + " in `" + path.Join("docs", file) + "`"
	})
}
