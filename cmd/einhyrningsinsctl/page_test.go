package main

import (
	"io"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/cmdline"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
)

// einhyrningsinsctl takes every command line of the documentation.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	count := testkit.CommandLines(t, name, func(args []string) error {
		_, _, err := cmdline.Parse(name, "", &options{}, args)
		return err
	})
	assert.Positive(t, count, "they are found")
}

func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	assert.Zero(t, run([]string{"--help"}, nil, &out, io.Discard))
	assert.Contains(t, out.String(), "Exit codes")
	testkit.FitsATerminal(t, out.String())
}
