// Package cmdline is what the commands have in common.
package cmdline

import (
	"fmt"
	"io"
	"strings"
)

// The exit codes, as each command's help explains them.
const (
	OK    = 0
	Error = 1
	Usage = 2 // the command line is wrong, and nothing was touched
)

// Fail writes each line of err, behind the name of the command, and returns code.
func Fail(stderr io.Writer, name string, code int, err error) int {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "%s: %s\n", name, strings.TrimSuffix(line, "\n"))
	}
	return code
}
