package text

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWidth(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{
		"": 0, "abc": 3, "äöü": 3, "…": 1, "│": 1, "語": 2, "한글": 4, "ｆｕｌｌ": 8, "👍": 2, "⏳ 3": 4, "e\u0301": 2, "日本語 ok": 9,
	} {
		assert.Equal(t, want, Width(s), s)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{
		{"", 0, ""}, {"a", 0, ""}, {"a", -1, ""}, {"a", 1, "a"}, {"ab", 1, "…"}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"},
		{"äöüß", 4, "äöüß"}, {"äöüß", 3, "äö…"},
		{"語", 1, "…"}, {"語", 2, "語"}, {"語語", 3, "語…"}, {"語語", 4, "語語"}, {"語語語", 4, "語…"}, {"a語語", 4, "a語…"},
	} {
		assert.Equal(t, c.want, Cut(c.s, c.width), "%q at %d", c.s, c.width)
	}
	for width := range 30 {
		assert.LessOrEqual(t, Width(Cut(strings.Repeat("ab語👍", 9), width)), width)
	}
}
