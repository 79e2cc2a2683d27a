package main

import (
	"io"
	"strings"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
)

// socketmaster takes every command line of the documentation.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	count := testkit.CommandLines(t, "socketmaster", func(args []string) error {
		if len(args) == 0 { // the name of the command
			return nil
		}
		o, err := parse(args)
		if err == nil {
			_, err = o.config(nil)
		}
		return err
	})
	assert.Positive(t, count, "they are found")
}

func TestHelpFitsATerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	assert.Zero(t, run([]string{"-help"}, &out, io.Discard))
	assert.Contains(t, out.String(), "Exit codes")
	testkit.FitsATerminal(t, out.String())
}
