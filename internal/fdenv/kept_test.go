package fdenv

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeptSocketsAreNotThoseOfUnits(t *testing.T) {
	t.Parallel()
	env := map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "web:start_server/0/-/x:start_server"}
	getenv := func(name string) string { return env[name] }
	assert.Equal(t, []Passed{{4, "start_server/0/-/x"}}, Kept(getenv, 7))
	assert.Empty(t, Kept(getenv, 8), "they are for another process")
	taken, err := TakePassed(getenv, 7, []string{"*"})
	require.NoError(t, err)
	assert.Equal(t, []Passed{{3, "web"}, {5, "start_server"}}, taken)
	assert.Equal(t, []Passed{{5, "start_server"}}, Untaken(getenv, 7, []int{3}))
	_, err = TakePassed(getenv, 7, []string{"start_server/0/-/x"})
	assert.ErrorContains(t, err, "no such name")
}
