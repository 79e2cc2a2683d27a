package main

import (
	"io"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/pages"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every command line of the documentation is one that einhyrningsins takes.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	all, err := pages.Read("../..")
	require.NoError(t, err)
	count := 0
	for _, page := range all {
		for _, c := range page.Commands(name) {
			count++
			_, _, err := cmdline.Parse(name, "", &options{}, c.Args)
			assert.NoError(t, err, "%s:%d: %s %q", page.Path, c.Line, name, c.Args)
		}
	}
	assert.Positive(t, count, "they are found")
}

func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	assert.Zero(t, run([]string{"--help"}, &out, io.Discard))
	assert.Contains(t, out.String(), "Exit codes")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 80, line)
	}
}
