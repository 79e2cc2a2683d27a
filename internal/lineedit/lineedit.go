// Package lineedit reads lines that people type. On a terminal, golang.org/x/term lets
// them edit a line, and gives them a history and completion.
package lineedit

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Reader reads lines. It is for one goroutine.
type Reader struct {
	in     *os.File
	out    io.Writer
	editor *term.Terminal // nil: in is no terminal
	lines  *bufio.Scanner // of in if that is no terminal
}

// New makes a Reader of in. If in is a terminal, the prompt is written to out, and Tab
// completes words.
func New(in *os.File, out io.Writer, prompt string, words []string) *Reader {
	if !term.IsTerminal(int(in.Fd())) {
		return &Reader{in: in, out: out, lines: bufio.NewScanner(in)}
	}
	editor := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, prompt)
	editor.AutoCompleteCallback = func(line string, at int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		head, several := complete(line[:at], words)
		if len(several) > 1 {
			fmt.Fprintln(editor, strings.Join(several, "  "))
		}
		return head + line[at:], len(head), true
	}
	return &Reader{in: in, out: out, editor: editor}
}

// Terminal reports whether in is a terminal.
func (r *Reader) Terminal() bool { return r.editor != nil }

// Next blocks until there is another line. The error is io.EOF at the end, and at Ctrl-C
// or Ctrl-D. Only Next changes the mode of the terminal, so at any other time Ctrl-C
// raises INT.
func (r *Reader) Next() (line string, err error) {
	if !r.Terminal() {
		if r.lines.Scan() {
			return r.lines.Text(), nil
		}
		if err = r.lines.Err(); err == nil {
			err = io.EOF
		}
		return "", err
	}
	fd := int(r.in.Fd())
	if width, height, err := term.GetSize(fd); err == nil && width > 0 {
		_ = r.editor.SetSize(width, height) // if it fails, the size stays
	}
	was, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("cannot read from the terminal: %w", err)
	}
	line, err = r.editor.ReadLine()
	if undone := term.Restore(fd, was); err == nil {
		err = undone
	}
	if err == io.EOF {
		fmt.Fprintln(r.out)
	}
	return line, err
}

// complete lists the words that begin with head, and extends head as far as all of them agree.
func complete(head string, words []string) (longer string, candidates []string) {
	for _, word := range words {
		if strings.HasPrefix(word, strings.TrimLeft(head, " ")) {
			candidates = append(candidates, word)
		}
	}
	if len(candidates) == 0 {
		return head, nil
	}
	longer = candidates[0]
	for _, c := range candidates {
		for !strings.HasPrefix(c, longer) {
			longer = longer[:len(longer)-1]
		}
	}
	return longer, candidates
}
