package pages

import (
	"path"
	"strings"
)

// Command is a command line of a page.
type Command struct {
	Args []string // without the command's name
	Line int      // from 1
}

// notRun begins the comment above a block whose command lines are not run as they are. The reason
// follows it.
const notRun = "not run:"

// Commands returns the command lines of the page that run the command of that name. They stand in
// fenced blocks, except those marked as not run, and in code that begins with the name. Code
// with an ellipsis is a piece of a command line, and left out.
func (p Page) Commands(name string) (all []Command) {
	for _, b := range p.Blocks() {
		if strings.HasPrefix(b.Mark, notRun) {
			continue
		}
		for i := 0; i < len(b.Lines); i++ {
			at, line := b.Line+1+i, b.Lines[i]
			for strings.HasSuffix(line, `\`) && i+1 < len(b.Lines) {
				i++
				line = strings.TrimSuffix(line, `\`) + " " + b.Lines[i]
			}
			all = append(all, commands(name, line, at, false)...)
		}
	}
	for _, c := range p.Codes() {
		if !strings.Contains(c.Text, "…") {
			all = append(all, commands(name, c.Text, c.Line, true)...)
		}
	}
	return all
}

// commands returns the command lines in a line that run name. With first, name has to be the first
// word; otherwise anything may stand before it.
func commands(name, line string, at int, first bool) (all []Command) {
	words := Words(line)
	for i := 0; i < len(words); i++ {
		word := words[i]
		if _, value, is := strings.Cut(word, "="); is && strings.HasPrefix(word, "Exec") {
			word = value // a unit of systemd
		}
		if path.Base(word) != name || strings.Contains(word, "cmd/") {
			if first {
				return all
			}
			continue
		}
		c := Command{Line: at}
		for i++; i < len(words) && !ends[words[i]]; i++ {
			c.Args = append(c.Args, words[i])
		}
		all = append(all, c)
	}
	return all
}

// ends are the words that end a command in a shell.
var ends = map[string]bool{"|": true, "||": true, "&&": true, "&": true, ";": true, ">": true, ">>": true, "2>&1": true, "do": true}

// Words splits a line as a shell does, up to a comment. A word with a quoted part is not an
// operator.
func Words(line string) (words []string) {
	var word strings.Builder
	begun, quote := false, rune(0)
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			end()
		case quote == 0 && r == '#' && !begun:
			return words
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	end()
	return words
}
