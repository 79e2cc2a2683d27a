package pages

import (
	"flag"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

//go:generate go test . -run=TestPagesHaveTheirContents -update

var update = flag.Bool("update", false, "write the lists of contents into the pages")

const root = "../.." // of the repository

func read(t *testing.T) []Page {
	t.Helper()
	all, err := Read(root)
	require.NoError(t, err)
	require.Greater(t, len(all), 15)
	return all
}

func TestPagesHaveTheirContents(t *testing.T) {
	t.Parallel()
	for _, p := range read(t) {
		fresh, ok := p.WithContents()
		if strings.HasPrefix(p.Path, "docs/") {
			assert.True(t, ok, "%s has no place for its contents", p.Path)
		}
		if *update {
			require.NoError(t, os.WriteFile(filepath.Join(root, p.Path), []byte(fresh.Text()), 0o644))
			continue
		}
		assert.True(t, fresh.Text() == p.Text(), "%s: go generate ./... writes the contents", p.Path)
	}
}

// Links lead to files of the repository, and to headings of its pages. Addresses with a scheme
// are skipped: the test does not use the network.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	anchors := map[string][]string{}
	for _, p := range read(t) {
		for _, h := range p.Headings() {
			anchors[p.Path] = append(anchors[p.Path], h.Anchor)
		}
	}
	count := 0
	for _, p := range read(t) {
		for _, l := range p.Links() {
			if strings.Contains(l.Target, "://") {
				continue
			}
			count++
			file, anchor, _ := strings.Cut(l.Target, "#")
			target := p.Path
			if file != "" {
				target = path.Join(path.Dir(p.Path), file)
			}
			assert.FileExists(t, filepath.Join(root, target), "%s:%d", p.Path, l.Line)
			if anchor != "" {
				assert.True(t, slices.Contains(anchors[target], anchor), "%s:%d: %s has no heading #%s", p.Path, l.Line, target, anchor)
			}
		}
	}
	assert.Greater(t, count, 100, "they are found")
}

func TestEveryPageIsInTheIndex(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile(filepath.Join(root, "docs/index.md"))
	require.NoError(t, err)
	for _, p := range read(t) {
		if name, is := strings.CutPrefix(p.Path, "docs/"); is && name != "index.md" {
			assert.Contains(t, string(index), "]("+name+")")
		}
	}
}

func TestREADMEIsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(text), "\n"), 200)
}

// Go programs of the pages compile, except those that are marked as of the older port.
func TestGoProgramsOfThePagesCompile(t *testing.T) {
	t.Parallel()
	count := 0
	for _, p := range read(t) {
		for _, b := range p.Blocks() {
			if b.Kind != "go" || b.Mark == "the older port" {
				continue
			}
			require.Equal(t, "compiled", b.Mark, "%s:%d", p.Path, b.Line)
			count++
			file := filepath.Join(t.TempDir(), "main.go")
			require.NoError(t, os.WriteFile(file, []byte(strings.Join(b.Lines, "\n")+"\n"), 0o600))
			vet := exec.Command("go", "vet", file)
			vet.Dir = root
			printed, err := vet.CombinedOutput()
			assert.NoError(t, err, "%s:%d: %s", p.Path, b.Line, printed)
		}
	}
	assert.Positive(t, count)
}
