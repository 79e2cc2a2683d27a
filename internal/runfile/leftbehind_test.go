package runfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLeftBehindNamesThoseThatTheStatusFileLists(t *testing.T) {
	t.Parallel()
	used := errors.New("in use")
	path := filepath.Join(t.TempDir(), "status")
	assert.Equal(t, used, LeftBehind(used, []int{7}, path, "demo"), "there is no status file")
	require.NoError(t, os.WriteFile(path, []byte("1:6\n2:7\n2:8\n"), 0o600))
	assert.Equal(t, used, LeftBehind(used, []int{9}, path, "demo"), "a stranger has it")
	require.NoError(t, os.WriteFile(path+"2", []byte("1:9\njunk\n"), 0o600))
	assert.Equal(t, used, LeftBehind(used, []int{9}, path+"2", "demo"), "it is no status file")
	err := LeftBehind(used, []int{8, 9, 7}, path, "demo")
	assert.ErrorIs(t, err, used)
	assert.EqualError(t, err, `in use; status file "`+path+`" lists 7 and 8: if its demo was killed, end the workers it left behind: kill 7 8`)
}
