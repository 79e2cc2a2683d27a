// Package pages reads the pages of the documentation: the Markdown files of the repository. Tests
// check with it that links lead somewhere and that commands accept the command lines; the man
// pages are made with it. It understands as much Markdown as the pages use.
package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Page is a file of Markdown.
type Page struct {
	Path  string // from the root of the repository, with slashes
	Lines []string
}

// Read reads all pages of the repository at root.
func Read(root string) ([]Page, error) {
	var paths []string
	for _, pattern := range []string{"*.md", "docs/*.md", ".github/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	var all []Page
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return nil, err
		}
		all = append(all, New(filepath.ToSlash(relative), string(text)))
	}
	return all, nil
}

// New makes a page of a text.
func New(path, text string) Page {
	return Page{Path: path, Lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
}

// Text is the whole page.
func (p Page) Text() string { return strings.Join(p.Lines, "\n") + "\n" }

// Heading is a heading of a page.
type Heading struct {
	Level  int // 1 is the page's title
	Text   string
	Anchor string // what a link to it has after the #
	Line   int    // from 1
}

// notInAnchors is what GitHub leaves out when it makes an anchor from a heading.
var notInAnchors = regexp.MustCompile(`[^\p{L}\p{N}\p{M}_ -]`)

// Headings returns the headings of the page, in their order.
func (p Page) Headings() (all []Heading) {
	taken := map[string]int{}
	for i, line := range p.prose() {
		level := len(line) - len(strings.TrimLeft(line, "#"))
		title, is := strings.CutPrefix(line[level:], " ")
		if level == 0 || !is {
			continue
		}
		title = strings.TrimSpace(title)
		plain := linkPattern.ReplaceAllString(title, "$1")
		anchor := strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(plain), ""), " ", "-")
		if n := taken[anchor]; n > 0 {
			taken[anchor]++
			anchor += "-" + string(rune('0'+n))
		} else {
			taken[anchor] = 1
		}
		all = append(all, Heading{Level: level, Text: title, Anchor: anchor, Line: i + 1})
	}
	return all
}

// prose returns the lines, with empty ones in the place of fenced blocks.
func (p Page) prose() []string {
	lines := slices.Clone(p.Lines)
	for _, b := range p.Blocks() {
		for i := b.Line - 1; i < b.Line+len(b.Lines)+1 && i < len(lines); i++ {
			lines[i] = ""
		}
	}
	return lines
}

// Link is a link of a page.
type Link struct {
	Target string
	Line   int // from 1
}

var (
	linkPattern = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	codePattern = regexp.MustCompile("`((?:[^`\n]|\n[^`\n])+)`") // in a paragraph
)

// Links returns the links of the page, in their order. A link may go over several lines.
func (p Page) Links() (all []Link) {
	text := codePattern.ReplaceAllStringFunc(strings.Join(p.prose(), "\n"), func(code string) string {
		return strings.Repeat("\n", strings.Count(code, "\n"))
	})
	for _, at := range linkPattern.FindAllStringSubmatchIndex(text, -1) {
		all = append(all, Link{Target: text[at[4]:at[5]], Line: 1 + strings.Count(text[:at[0]], "\n")})
	}
	return all
}

// Block is a fenced block of a page.
type Block struct {
	Mark  string // the text of the HTML comment right above it, or ""
	Kind  string // what stands after the fence, as in ```go
	Line  int    // of the fence, from 1
	Lines []string
}

var commentPattern = regexp.MustCompile(`^<!-- (.*) -->$`)

// Blocks returns the fenced blocks of the page, in their order.
func (p Page) Blocks() (all []Block) {
	open := -1 // the index of the block that is open in all
	for i, line := range p.Lines {
		fence, kind := strings.HasPrefix(line, "```"), strings.TrimPrefix(line, "```")
		switch {
		case fence && open < 0:
			b := Block{Kind: kind, Line: i + 1}
			if i > 0 {
				if comment := commentPattern.FindStringSubmatch(p.Lines[i-1]); comment != nil {
					b.Mark = comment[1]
				}
			}
			open = len(all)
			all = append(all, b)
		case fence:
			open = -1
		case open >= 0:
			all[open].Lines = append(all[open].Lines, line)
		}
	}
	return all
}

// Code is a piece of code in the text of a page.
type Code struct {
	Text string
	Line int // from 1
}

// Codes returns the pieces of code in the text of the page, in their order.
func (p Page) Codes() (all []Code) {
	text := strings.Join(p.prose(), "\n")
	for _, at := range codePattern.FindAllStringSubmatchIndex(text, -1) {
		code := strings.ReplaceAll(text[at[2]:at[3]], `\|`, "|")
		all = append(all, Code{Text: strings.ReplaceAll(code, "\n", " "), Line: 1 + strings.Count(text[:at[0]], "\n")})
	}
	return all
}
