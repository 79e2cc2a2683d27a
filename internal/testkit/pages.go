package testkit

import (
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/pages"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// CommandLines has a command take each command line of it that the documentation and the pages in
// more have, and says how many those are. It is for a test of cmd/NAME, which runs there.
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

// FitsATerminal is for a help text: no line of it is longer than 80 characters.
func FitsATerminal(t *testing.T, help string) {
	t.Helper()
	for line := range strings.Lines(help) {
		assert.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 80, line)
	}
}
