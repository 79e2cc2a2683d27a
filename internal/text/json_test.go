package text

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Any text becomes a JSON string on one line, and is read back as it was, except for bytes that are
// not UTF-8.
func FuzzAppendJSON(f *testing.F) {
	for _, s := range []string{"", "plain", `a"b\c`, "\x00\n\r\t\x1b[31m", "\xff\xfe cut \xe8\xaa", "ünïcode 語 🎈", "\u2028\u202e\ufeff\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendJSON([]byte("x"), s)
		assert.Equal(t, "x", string(b[:1]), "it is appended")
		var back string
		require.NoError(t, json.Unmarshal(b[1:], &back), "%q", b)
		assert.Equal(t, string([]rune(s)), back)
		assert.Equal(t, string(b), Line(strings.ToValidUTF8(string(b), "?")), "all of it is printable, and one line")
	})
}
