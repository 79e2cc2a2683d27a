package pages

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

const sample = "# A page\n" +
	"\n" +
	"<!-- contents -->\nold\n<!-- end of contents -->\n" +
	"\n" +
	"## Say \"hello, `world`\" …\n" +
	"See [that](other.md#there) and `[not](this)`, `serve --it` and `serve … --more`.\n" +
	"\n" +
	"<!-- not run: why -->\n```\nserve --not\n```\n" +
	"\n" +
	"```sh\n# Not a heading\n$ serve --a=\"b | c\" \\\n    --d # e\nrunuser -- /usr/bin/serve --f && serve -g > log\n```\n" +
	"\n" +
	"### [Linked](x.md)\n" +
	"## Say hello world\n" +
	"Code `broken\n" +
	"here` and [a link\n" +
	"too](y.md).\n"

func TestHeadingsHaveAnchors(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []Heading{
		{1, "A page", "a-page", 1},
		{2, "Say \"hello, `world`\" …", "say-hello-world-", 7},
		{3, "[Linked](x.md)", "linked", 22},
		{2, "Say hello world", "say-hello-world", 23},
	}, New("p.md", sample).Headings())
	assert.Equal(t, []Heading{{1, "A", "a", 1}, {1, "A", "a-1", 2}}, New("p.md", "# A\n# A\n").Headings())
}

func TestLinksAreFoundOutsideCode(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []Link{{"other.md#there", 8}, {"x.md", 22}, {"y.md", 25}}, New("p.md", sample).Links())
}

func TestCommandsAreFoundAndSplit(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []Command{
		{[]string{"--a=b | c", "--d"}, 17},
		{[]string{"--f"}, 19},
		{[]string{"-g"}, 19},
		{[]string{"--it"}, 8},
	}, New("p.md", sample).Commands("serve"))
}

func TestCodesAreFoundInTheText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []Code{{"world", 7}, {"[not](this)", 8}, {"serve --it", 8}, {"serve … --more", 8}, {"broken here", 24}},
		New("p.md", sample).Codes())
	assert.Equal(t, []Code{{"a | b", 1}}, New("p.md", "| `a \\| b` | c |\n").Codes())
	assert.Empty(t, New("p.md", "a ` b\n\nc ` d\n").Codes())
}

func TestContentsAreReplaced(t *testing.T) {
	t.Parallel()
	page, ok := New("p.md", sample).WithContents()
	assert.True(t, ok)
	assert.Contains(t, page.Text(), "<!-- contents -->\n\n"+
		"- [Say \"hello, `world`\" …](#say-hello-world-)\n"+
		"  - [[Linked](x.md)](#linked)\n"+
		"- [Say hello world](#say-hello-world)\n\n<!-- end of contents -->\n\n## Say")
	same, _ := page.WithContents()
	assert.Equal(t, page, same)
	_, ok = New("p.md", "# A page\n").WithContents()
	assert.False(t, ok)
}

func TestWordsAreSplitAsByAShell(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"":                    nil,
		" a  b ":              {"a", "b"},
		`a 'b c'd "e 'f'" ""`: {"a", "b cd", "e 'f'", ""},
		"a#b # c":             {"a#b"},
	} {
		assert.Equal(t, want, Words(line), line)
	}
}
