package control

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nasty is text that not every JSON encoder gets right: characters that Go's syntax has
// its own escapes for, and some beyond the basic plane.
const nasty = "a \"quoted\" \\ \x00\a\b\v\x1b[31m\x7f\t\r\n\u0085\u200b\u2028 ü 語 \U0001f600 \U000e0001"

func pointer[T any](v T) *T { return &v }

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// everything sets all fields, however deep, to something other than zero.
func everything() Answer {
	worker := func(n int) Worker {
		return Worker{
			ID: ID{Generation: n, Slot: n, Pid: 100 + n}, State: "live " + nasty, Age: 0.000001, ReadyAfter: pointer(0.25), NextTry: pointer(1.5), Restarts: 2,
			LastExit: &Exit{Pid: 7, Status: 256, Text: "exit code 1", At: at(1732161234567), Lived: 86400.5},
			Says:     nasty,
		}
	}
	return Answer{
		Version: Version, ID: []byte(`"x"`), OK: true, Error: nasty, Message: nasty, Log: []string{nasty, "", "2"}, Generation: 4, Pids: []int{1, 2}, Args: []string{nasty, ""},
		Status: &Status{
			Name: "start_server", Pid: 1, State: "serving", Started: at(1732161234566), Uptime: 1e9, Generation: 3, Starting: 4, WantedWorkers: 2, Restarts: 5,
			Version: nasty, ImageSince: at(1732161234568), Upgrades: 6,
			StopsAt: pointer(at(1732161234001)),
			Workers: []Worker{worker(1), worker(2)},
			Sockets: []Socket{{Name: "[::1]:80", Network: "tcp", Address: nasty, FD: 3, Waiting: 1, WaitingFor: 0.5}, {Name: "a", Network: "unix", Address: "b", FD: 4, Waiting: 3, WaitingFor: 12.5}},
			Traffic: []Traffic{{Generation: 3, Percent: 97.5, Waiting: 2, SecondsLeft: pointer(1.5), Given: 7, CanRollBack: true}, {Generation: 4, Percent: 2.5, Waiting: 1, SecondsLeft: pointer(0.5), Given: 7, CanRollBack: true}},
			Failure: &Failure{Generation: 9, Reason: nasty, At: at(1732161234999), GivenUp: true, Log: []string{nasty}},
		},
		Commands: []Command{{nasty, nasty}, {"help", "what there is"}},
	}
}

// isWhole checks that no field was forgotten: it would have the zero value.
func isWhole(t *testing.T, v any) {
	t.Helper()
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		assert.False(t, v.IsZero() && v.Kind() != reflect.String && v.Kind() != reflect.Int, "%s is not set", path)
		switch v.Kind() {
		case reflect.Pointer:
			walk(path, v.Elem())
		case reflect.Slice:
			assert.NotZero(t, v.Len(), path)
			for i := range v.Len() {
				walk(path, v.Index(i))
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range v.NumField() {
				if !v.Type().Field(i).IsExported() {
					continue // it is not sent
				}
				assert.False(t, v.Field(i).IsZero(), "%s.%s is not set", path, v.Type().Field(i).Name)
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
	walk(reflect.TypeOf(v).Name(), reflect.ValueOf(v))
}

// isLine checks that any JSON reader can read it, as one line.
func isLine(t *testing.T, line []byte) {
	t.Helper()
	assert.Equal(t, 1, strings.Count(string(line), "\n"), "one line: %q", line)
	assert.Equal(t, byte('\n'), line[len(line)-1])
	assert.True(t, json.Valid(line), "not JSON: %s", line)
}

func TestAnswerComesAcrossWhole(t *testing.T) {
	t.Parallel()
	a := everything()
	isWhole(t, a)
	line := a.encode()
	isLine(t, line)
	m, err := decodeMessage(line)
	require.NoError(t, err)
	assert.Equal(t, a, m.answer)
	assert.Empty(t, m.event)
}

func TestStatusIsReadByOthers(t *testing.T) {
	t.Parallel()
	a := everything()
	var got struct {
		Started float64
		Workers []struct{ Says string }
		Failure struct{ Log []string }
	}
	require.NoError(t, json.Unmarshal(a.Status.JSON(), &got))
	assert.Equal(t, nasty, got.Workers[1].Says)
	assert.Equal(t, []string{nasty}, got.Failure.Log)
	assert.Contains(t, string(a.Status.JSON()), `"started":1732161234.566,"uptime":1000000000,`, "a shell script can read it")
}

func TestLeastAnswer(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `{"version":1,"ok":false}`+"\n", string((&Answer{Version: 1}).encode()))
	var s Status
	s.Started = at(1500)
	assert.Equal(t, `{"pid":0,"state":"","started":1.5,"uptime":0,"generation":0,"wanted_workers":0,"restarts":0,"upgrades":0,"workers":[],"sockets":[]}`, string(s.JSON()))
}

func TestEventsComeAcrossWhole(t *testing.T) {
	t.Parallel()
	full := Event{
		Version: Version, Event: "says", Time: at(1732161234567), Worker: &ID{1, 2, 3}, Workers: []ID{{1, 2, 3}, {4, 5, 6}},
		Generation: 7, Wanted: 8, Percent: pointer(2.5), Seconds: 0.125, Signal: "TERM", Status: pointer(9), Reason: nasty, Says: nasty, Text: nasty,
		Now: everything().Status,
	}
	isWhole(t, full)
	for name, e := range map[string]Event{
		"whole":        full,
		"bare":         {Version: Version, Event: "restart-asked", Time: at(1)},
		"a worker":     {Version: Version, Event: "started", Time: at(1), Worker: &ID{Generation: 1}},
		"status 0":     {Version: Version, Event: "exited", Time: at(1), Worker: &ID{1, 0, 3}, Status: pointer(0)},
		"many workers": {Version: Version, Event: "retiring", Time: at(1), Workers: []ID{{}, {1, 1, 1}}, Signal: "QUIT"},
		"a reason":     {Version: Version, Event: "failed", Time: at(1), Generation: 2, Reason: "exit code 1"},
	} {
		line := e.encode()
		isLine(t, line)
		m, err := decodeMessage(line)
		require.NoError(t, err, name)
		assert.Equal(t, e, m.event, name)
		assert.Empty(t, m.answer, name)
	}
}

// Every millisecond is told as it was.
func TestTimesAreNotRoundedDown(t *testing.T) {
	t.Parallel()
	for _, from := range []int64{0, 1732161234000, 2184011650000} {
		for ms := from; ms < from+2000; ms++ {
			e := Event{Event: "x", Time: at(ms)}
			m, err := decodeMessage(e.encode())
			require.NoError(t, err)
			require.Equal(t, ms, m.event.Time.UnixMilli())
		}
	}
}

func TestWhatIsNoTextIsReplaced(t *testing.T) {
	t.Parallel()
	e := Event{Event: "x", Time: at(1), Says: "\xff\xfe", Seconds: math.Inf(1)}
	line := e.encode()
	isLine(t, line)
	m, err := decodeMessage(line)
	require.NoError(t, err)
	assert.Equal(t, "\ufffd\ufffd", m.event.Says)
}

func TestRequestComesAcrossWhole(t *testing.T) {
	t.Parallel()
	r := Request{Version: Version, ID: []byte(`{"n":[1,null,"` + "\\u0001" + `"]}`), Command: nasty, Workers: -3, Signal: nasty, Slot: pointer(0), Args: []string{nasty, ""}, Executable: nasty, KeepWorkers: true}
	line := r.encode()
	isLine(t, line)
	got, err := parseRequest(string(line))
	require.NoError(t, err)
	assert.Equal(t, r, got)

	r = Request{Version: Version, Command: "status"}
	assert.Equal(t, `{"version":1,"command":"status"}`+"\n", string(r.encode()))
}

func TestMessageOfWhoIsNoServer(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "HTTP/1.1 400 Bad Request", "[]", `"event"`, "17", "null", `{"event":`} {
		_, err := decodeMessage([]byte(text))
		assert.Error(t, err, text)
	}
	// A member of a wrong type is skipped.
	m, err := decodeMessage([]byte(`{"ok":1,"error":[],"log":"x","pids":[null,"1"],"status":[],"commands":[5],"generation":1e99}`))
	require.NoError(t, err)
	assert.False(t, m.answer.OK)
	assert.Equal(t, []int{0, 0}, m.answer.Pids)
}

func TestSuperdaemonIsTheSame(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	earlier := &Status{Pid: 1, Started: began, Uptime: 5}
	for _, c := range []struct {
		what string
		now  Status
		same bool
	}{
		{"at once", Status{Pid: 1, Started: began, Uptime: 5}, true},
		{"a minute later", Status{Pid: 1, Started: began, Uptime: 65}, true},
		{"its answer was held up", Status{Pid: 1, Started: began, Uptime: 58}, true},
		{"the start is told inexactly", Status{Pid: 1, Started: began.Add(-time.Millisecond), Uptime: 65}, true},
		{"the clock was set", Status{Pid: 1, Started: began.Add(time.Hour), Uptime: 65.5}, true},
		{"the clock was set back", Status{Pid: 1, Started: began.Add(-time.Hour), Uptime: 64.5}, true},
		{"another pid", Status{Pid: 2, Started: began, Uptime: 65}, false},
		{"a container was started anew", Status{Pid: 1, Started: began.Add(30 * time.Second), Uptime: 35}, false},
		{"the clock was set, and it was started anew", Status{Pid: 1, Started: began.Add(time.Hour), Uptime: 2}, false},
		{"one that is older", Status{Pid: 1, Started: began.Add(-time.Hour), Uptime: 3665}, false},
	} {
		assert.Equal(t, c.same, c.now.SameAs(earlier, time.Minute), c.what)
	}
}
