package lineedit

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	words := []string{"inc", "dec", "die", "status"}
	for head, want := range map[string]string{"i": "inc", "d": "d", "de": "dec", " st": "status", "x": "x", "status": "status", "status ": "status "} {
		longer, _ := complete(head, words)
		assert.Equal(t, want, longer, "%q", head)
	}
	_, candidates := complete("d", words)
	assert.Equal(t, []string{"dec", "die"}, candidates)
	_, candidates = complete("", words)
	assert.Equal(t, words, candidates)
}

func TestLinesOfAFile(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer in.Close()
	_, err = out.WriteString("inc\n\ndec")
	require.NoError(t, err)
	require.NoError(t, out.Close())
	r := New(in, io.Discard, "> ", nil)
	assert.False(t, r.Terminal())
	for _, want := range []string{"inc", "", "dec"} {
		line, err := r.Next()
		require.NoError(t, err)
		assert.Equal(t, want, line)
	}
	_, err = r.Next()
	assert.Equal(t, io.EOF, err)
}
