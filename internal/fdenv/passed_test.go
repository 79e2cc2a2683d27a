package fdenv

import (
	"strconv"
	"testing"

	"github.com/lestrrat/go-server-starter/internal/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func env(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestTakePassed(t *testing.T) {
	four := env(map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "4", "LISTEN_FDNAMES": "web:unknown:api:web"})
	for _, c := range []struct {
		names []string
		want  []Passed
	}{
		{nil, nil},
		{[]string{"*"}, []Passed{{3, "web"}, {4, ""}, {5, "api"}, {6, "web"}}},
		{[]string{"web"}, []Passed{{3, "web"}, {6, "web"}}},
		{[]string{"api", "web"}, []Passed{{3, "web"}, {5, "api"}, {6, "web"}}},
		{[]string{"api", "*"}, []Passed{{3, "web"}, {4, ""}, {5, "api"}, {6, "web"}}},
	} {
		got, err := TakePassed(four, 7, c.names)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%q", c.names)
	}
	got, err := TakePassed(env(map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "2"}), 7, []string{"*"})
	require.NoError(t, err)
	assert.Equal(t, []Passed{{3, ""}, {4, ""}}, got, "names are systemd's newer half")
	got, err = TakePassed(env(map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": strconv.Itoa(maxPassed)}), 7, []string{"*"})
	require.NoError(t, err)
	assert.Len(t, got, maxPassed)
}

func TestNothingIsTakenThatIsNotMeantForUs(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		name string
		want string
	}{
		{nil, "*", "inherit: no socket is passed, as LISTEN_FDS and LISTEN_PID are not set: a .socket unit of systemd does that"},
		{map[string]string{"LISTEN_PID": "8", "LISTEN_FDS": "1"}, "*", `inherit: LISTEN_PID is "8" and not our own, 7: the sockets are meant for another process`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "0"}, "*", `inherit: LISTEN_FDS is "0", which is no number of sockets`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "9999999999999999"}, "*", `inherit: LISTEN_FDS is "9999999999999999", which is no number of sockets`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "1048577"}, "*", `inherit: LISTEN_FDS is "1048577", which is no number of sockets`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "x"}, "*", `inherit: LISTEN_FDS is "x", which is no number of sockets`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"}, "*", `inherit: LISTEN_FDNAMES="a" names 1 sockets, and LISTEN_FDS is 2`},
		{map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}, "b", `inherit "b": LISTEN_FDNAMES="a" has no such name`},
	} {
		_, err := TakePassed(env(c.env), 7, []string{c.name})
		assert.EqualError(t, err, c.want)
	}
}

func TestUntaken(t *testing.T) {
	two := env(map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:api"})
	assert.Equal(t, []Passed{{3, "web"}, {4, "api"}}, Untaken(two, 7, nil))
	assert.Equal(t, []Passed{{4, "api"}}, Untaken(two, 7, []int{3, 9}))
	assert.Empty(t, Untaken(two, 7, []int{4, 3}))
	assert.Empty(t, Untaken(two, 8, nil), "they are another's")
	assert.Empty(t, Untaken(env(nil), 7, nil))
}

func TestDescribeNamesAFewPassedSockets(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "3:web 4", Describe([]Passed{{3, "web"}, {4, ""}}))
	assert.Equal(t, "3:"+text.Line("a\nb"), Describe([]Passed{{3, "a\nb"}}), "nothing can forge a line")
	many := make([]Passed, 9)
	assert.Equal(t, "0 0 0 0 0 0 0 0", Describe(many[:8]))
	assert.Equal(t, "0 0 0 0 0 0 0 0 …", Describe(many))
}
