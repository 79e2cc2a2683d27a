// Package lineedit reads lines that people type: on a terminal they can be edited, have
// a history, and are completed. It is golang.org/x/term with what that leaves to do.
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
	editor *term.Terminal // nil: there is no terminal
	lines  *bufio.Scanner // then
}

// New is a Reader of in, which is prompted for on out if it is a terminal; Tab then
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

// Terminal tells that somebody types there.
func (r *Reader) Terminal() bool { return r.editor != nil }

// Next blocks until there is another line. The error is io.EOF at the end, and at Ctrl-C
// or Ctrl-D. But for this time the terminal is as it was, so that Ctrl-C ends what the
// line asks for.
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
		_ = r.editor.SetSize(width, height) // or it stays as it was
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

// complete makes of the beginning of a line as much as is certain, and tells what it may
// become.
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
