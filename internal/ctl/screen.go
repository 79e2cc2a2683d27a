package ctl

import (
	"io"
	"os"
	"strings"

	"github.com/lestrrat/go-server-starter/internal/fd"
	"golang.org/x/term"
)

// output is where pictures are shown. On a terminal each takes the place of the last; otherwise
// they follow each other.
type output struct {
	out     io.Writer
	drawn   bool // out is a terminal
	colours bool
	shown   bool // a picture was shown
}

// newOutput checks whether out is a terminal that can be drawn on.
func newOutput(out io.Writer) *output {
	o := &output{out: out}
	o.drawn = isTerminal(out) && os.Getenv("TERM") != "dumb"
	o.colours = o.drawn && os.Getenv("NO_COLOR") == "" // no-color.org
	return o
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// usual is the size of a terminal that does not know its own.
var usual = size{columns: screen, rows: 24}

// size is the size that a picture may have. The last column stays free: some terminals begin a
// new line when it is written. The last row stays free for the cursor.
func (o *output) size() size {
	if !o.drawn {
		return size{columns: screen}
	}
	window := usual
	if columns, rows, err := term.GetSize(int(o.out.(*os.File).Fd())); err == nil && columns > 0 && rows > 0 {
		window = size{columns, rows}
	}
	return size{max(1, window.columns-1), max(1, window.rows-1)}
}

// Control sequences of terminals (ECMA-48).
const (
	home      = "\x1b[H"
	clearLine = "\x1b[K" // from the cursor to the end of the line
	clearRest = "\x1b[J" // from the cursor to the end of the screen
)

// show shows a picture. What was on the terminal before the first one is scrolled away.
func (o *output) show(lines []string) error {
	var text strings.Builder
	end := "\n"
	switch {
	case !o.drawn && o.shown:
		text.WriteString("\n")
	case o.drawn && !o.shown:
		text.WriteString(strings.Repeat("\n", o.size().rows) + home)
	case o.drawn:
		text.WriteString(home)
	}
	if o.drawn {
		end = clearLine + "\r\n"
	}
	for _, line := range lines {
		text.WriteString(line + end)
	}
	if o.drawn {
		text.WriteString(clearRest)
	}
	o.shown = true
	return fd.WriteAll(o.out, text.String())
}

// end leaves the cursor below the last picture, and clears what was typed there.
func (o *output) end() error {
	if !o.drawn || !o.shown {
		return nil
	}
	return fd.WriteAll(o.out, "\r"+clearRest)
}
