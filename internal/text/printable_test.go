package text

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestWhatIsNotPrintableIsReplaced(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]struct{ line, lines string }{
		"":                               {"", ""},
		"plain, ünïcode 語":               {"plain, ünïcode 語", "plain, ünïcode 語"},
		"a\nb\tc\r\n":                    {"a?b?c??", "a\nb\tc?\n"},
		"\x00\x1b[31m\a":                 {"??[31m?", "??[31m?"},
		"\u007f\u0080\u0085\u009b\u009f": {"?????", "?????"},
		"\u00a0\u200b\u2028\u202e\ufeff": {"?????", "?????"},
		"cut \xe8\xaa":                   {"cut ?", "cut ?"},
		"\xff\xfe a \x80\n":              {"? a ??", "? a ?\n"},
		"\xc2\x9b31m":                    {"?31m", "?31m"},
	} {
		assert.Equal(t, want.line, Line(given), "%q", given)
		assert.Equal(t, want.lines, Lines(given), "%q", given)
	}
}

func TestControlCharactersNeverStay(t *testing.T) {
	t.Parallel()
	for r := range rune(0xa0) {
		if r < 0x20 || r >= 0x7f {
			assert.Equal(t, "?", Line(string(r)), "%U", r)
		} else {
			assert.Equal(t, string(r), Line(string(r)), "%U", r)
		}
	}
}

func TestAnArgumentIsQuotedIfItHasTo(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"--port=8080": "--port=8080", "a b": "a b", "ü": "ü", "": "",
		"a\nb": `"a\nb"`, `a"b`: `"a\"b"`, `a\b`: `"a\\b"`, "\xff": `"\xff"`,
	} {
		assert.Equal(t, want, Quoted(given))
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 workers", 1: "1 worker", 2: "2 workers", -1: "-1 workers"} {
		assert.Equal(t, want, Count(n, "worker"))
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\tb\n\xff\u009b")
	f.Fuzz(func(t *testing.T, s string) {
		for _, made := range []string{Line(s), Lines(s)} {
			if !utf8.ValidString(made) || len(made) > len(s) {
				t.Errorf("%q became %q", s, made)
			}
		}
		for _, r := range Line(s) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q in %q", r, s)
			}
		}
		if again := Line(Line(s)); again != Line(s) {
			t.Errorf("%q became %q", Line(s), again)
		}
	})
}
