package main

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	starter "github.com/lestrrat/go-server-starter"
	"github.com/lestrrat/go-server-starter/internal/pages"
	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the options into docs/options.md")

const root = "../.." // of the repository

// literal is a word of a description that stands for itself: --option, =VALUE, [FORM].
var literal = regexp.MustCompile(`(^|[ (])(--[a-z-]+|[^ ("]*[\[{=][^ "]*?)([.,;:)]*(?: |$))`)

// row is an option's row in the table of its section.
func row(option reflect.StructField) string {
	meaning := option.Tag.Get("description")
	meaning = strings.ToUpper(meaning[:1]) + meaning[1:]
	meaning = strings.ReplaceAll(meaning, " ", "  ") // otherwise two literals in a row would share a blank
	meaning = strings.ReplaceAll(literal.ReplaceAllString(meaning, "$1`$2`$3"), "  ", " ")
	return strings.Join([]string{
		"| `" + spelling(option) + "`", strings.ReplaceAll(meaning, "|", `\|`), strings.TrimSpace(option.Tag.Get("default-mask") + " |"),
	}, " | ")
}

// The tables of docs/options.md and the help are made from the same tags.
func TestOptionsPageIsFresh(t *testing.T) {
	t.Parallel()
	path := filepath.Join(root, "docs/options.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	page := pages.New("docs/options.md", string(text))
	for _, s := range sections() {
		rows := []string{"| option | meaning | default |", "| --- | --- | --- |"}
		for _, option := range s.options {
			rows = append(rows, row(option))
		}
		var ok bool
		page, ok = page.With("<!-- options of "+s.name+" -->", "<!-- end of options -->", rows)
		require.True(t, ok, "docs/options.md has no place for the options of %s", s.name)
	}
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(page.Text()), 0o644))
		return
	}
	assert.True(t, page.Text() == string(text), "the options have changed: go generate ./... writes docs/options.md")
}

// notHere matches faults of the system that the test runs on.
var notHere = regexp.MustCompile(`^(user "app" is not known to this system|fdstore: there is no service manager .*)$`)

// iniOfThePages is the file of options that the pages show.
func iniOfThePages(t *testing.T, all []pages.Page) string {
	t.Helper()
	for _, page := range all {
		for _, block := range page.Blocks() {
			if text := strings.Join(block.Lines, "\n"); strings.HasPrefix(text, "; /etc/app.ini\n") {
				return text
			}
		}
	}
	require.Fail(t, "no page shows a file of options")
	return ""
}

// start_server takes every command line of the documentation.
func TestCommandLinesOfThePagesAreTaken(t *testing.T) {
	t.Parallel()
	all, err := pages.Read(root)
	require.NoError(t, err)
	const config = "--config=/etc/app.ini"
	ini := "--config=" + file(t, iniOfThePages(t, all))
	count := testkit.CommandLines(t, "start_server", func(args []string) error {
		if i := slices.Index(args, config); i >= 0 {
			args[i] = ini
		}
		o, err := parse(slices.DeleteFunc(args, func(word string) bool { return strings.HasPrefix(word, ">") }))
		if err != nil || len(o.command) == 0 || o.isClient() {
			return err
		}
		if _, err := starter.New(o.config(io.Discard)); err != nil {
			for fault := range strings.SplitSeq(err.Error(), "\n") {
				assert.Regexp(t, notHere, fault, "start_server %q", args)
			}
		}
		return nil
	})
	assert.Greater(t, count, 50, "they are found")
}

// The rows of docs/servers.md have what follows start_server --port=127.0.0.1:8080.
func TestRowsOfTheServersPageAreTaken(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/servers.md"))
	require.NoError(t, err)
	count := 0
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(row, " | ")
		if len(cells) != 5 || !strings.Contains(cells[2], "-- ") {
			continue
		}
		count++
		line := ""
		for _, code := range pages.New("", cells[2]).Codes() {
			line += code.Text + " "
			if strings.Contains(code.Text, "-- ") {
				break // what follows is an explanation
			}
		}
		o, err := parse(append([]string{"--port=127.0.0.1:8080"}, pages.Words(line)...))
		if assert.NoError(t, err, row) {
			assert.NotEmpty(t, o.command, row)
		}
	}
	assert.Greater(t, count, 12, "they are found")
}
