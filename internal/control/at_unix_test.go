//go:build unix

package control

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Go takes such a name for an abstract socket, without a file.
func TestControlSocketWhoseNameBeginsWithAnAt(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := listen("@c", 0)
	require.NoError(t, err)
	defer l.close()
	assert.FileExists(t, "@c")
	conn, err := dial(t.Context(), "@c")
	require.NoError(t, err)
	assert.NoError(t, conn.Close())
}
