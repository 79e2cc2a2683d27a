package main

import (
	"io"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/pages"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every command line of the documentation is one that socketmaster takes.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	all, err := pages.Read("../..")
	require.NoError(t, err)
	count := 0
	for _, page := range all {
		for _, c := range page.Commands("socketmaster") {
			if len(c.Args) == 0 { // the name of the command
				continue
			}
			count++
			o, err := parse(c.Args)
			if assert.NoError(t, err, "%s:%d: socketmaster %q", page.Path, c.Line, c.Args) {
				_, err = o.config(nil)
				assert.NoError(t, err, "%s:%d: socketmaster %q", page.Path, c.Line, c.Args)
			}
		}
	}
	assert.Positive(t, count, "they are found")
}

func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	assert.Zero(t, run([]string{"-help"}, &out, io.Discard))
	assert.Contains(t, out.String(), "Exit codes")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 80, line)
	}
}
