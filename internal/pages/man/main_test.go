package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/pages"
)

const root = "../../.." // of the repository

// lacks skips the test; in CI it fails the test.
func lacks(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and in CI nothing is skipped", what)
	}
	t.Skip(what)
}

func TestManPagesAreFresh(t *testing.T) {
	t.Parallel()
	if printed, err := exec.Command("go", "run", md2man, "-help").CombinedOutput(); !strings.Contains(string(printed), "-in") {
		lacks(t, "go-md2man cannot be run: "+err.Error()+": "+string(printed))
	}
	dir := t.TempDir()
	require.NoError(t, write(root, dir))
	for _, m := range manuals {
		fresh, err := os.ReadFile(filepath.Join(dir, m.file()))
		require.NoError(t, err)
		kept, err := os.ReadFile(filepath.Join(root, "man", m.file()))
		require.NoError(t, err)
		assert.True(t, string(fresh) == string(kept), "%s has changed: make man writes man/%s", m.page, m.file())
	}
}

func TestManPagesHaveNoFaults(t *testing.T) {
	t.Parallel()
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		lacks(t, "mandoc is not installed")
	}
	for _, m := range manuals {
		file := filepath.Join(root, "man", m.file())
		printed, err := exec.Command(mandoc, "-T", "lint", file).CombinedOutput()
		assert.NoError(t, err)
		assert.Empty(t, string(printed))

		printed, err = exec.Command(mandoc, "-T", "ascii", "-O", "width=80", file).Output()
		require.NoError(t, err)
		text := strings.Join(strings.Fields(plain(string(printed))), " ")
		assert.Contains(t, text, "NAME "+m.name+" - ")
		assert.NotContains(t, text, "](", "a link is left")
		assert.NotContains(t, text, "```", "a fence is left")
		assert.NotContains(t, text, "<!--", "a comment is left")
	}
}

// plain returns text without the backspaces by which mandoc prints bold on paper.
func plain(text string) string {
	var out []rune
	for _, r := range text {
		if r == '\b' {
			out = out[:len(out)-1]
		} else {
			out = append(out, r)
		}
	}
	return string(out)
}

func TestTablesBecomeLists(t *testing.T) {
	t.Parallel()
	page := pages.New("p.md", "# Title\n\n<!-- contents -->\nlist\n<!-- end of contents -->\n\n"+
		"See [x.md](x.md), [x(1)](x.md), [this](#here), [that](y.md#z) and [there](https://a.b/).\n\n"+
		"| name | meaning | default | for |\n| --- | --- | --- | --- |\n| `a \\| b` | does it | 1 | you |\n| HUP | does so. | | |\n\n"+
		"```\n| as | it | is |\n# it is\n```\n")
	assert.Equal(t, "See `docs/x.md`, x(1), this, that in `docs/y.md` and there (https://a.b/).\n\n"+
		"`a | b`\n:   does it. Default: 1. For: you.\n\n**HUP**\n:   does so.\n\n"+
		"<!-- or an example that follows would be of the last item -->\n\n\n```\n| as | it | is |\n# it is\n```\n",
		strings.TrimLeft(markdown(page), "\n"))
}

func TestRoffIsCleanedUp(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 15) + "word .word word"
	assert.Equal(t, ".SH A\ntext-text \\fB\\-\\-port\\fR\n.PP\nmore\n.PP\n.RS 4\n.EX\na\n\n\\-b \\-c\n.EE\n.RE\n.PP\n"+
		strings.Repeat("word ", 15)+"word\n\\&.word word\n",
		clean(".SH A\ntext-text \\fB--port\\fR\n\nmore\n\n.EX\na\n\n-b \\-c\n.EE\n\n"+long+"\n\n"))
}
