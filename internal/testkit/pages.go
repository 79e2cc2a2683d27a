package testkit

import (
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/pages"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// CommandLines calls take for each command line of a command in the documentation and in the pages
// of more, and returns how many there are. It is for the test of cmd/NAME, and runs there.
func CommandLines(t *testing.T, command string, take func(args []string) error, more ...pages.Page) (count int) {
	t.Helper()
	all, err := pages.Read("../..")
	require.NoError(t, err)
	for _, page := range append(all, more...) {
		for _, c := range page.Commands(command) {
			count++
			assert.NoError(t, take(c.Args), "%s:%d: %s %q", page.Path, c.Line, command, c.Args)
		}
	}
	return count
}

// FitsATerminal checks that no line of a help text is longer than 80 characters.
func FitsATerminal(t *testing.T, help string) {
	t.Helper()
	for line := range strings.Lines(help) {
		assert.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 80, line)
	}
}
