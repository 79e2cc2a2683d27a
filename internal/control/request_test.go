package control

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]Request{
		`{"command":"status"}`:                                     {Command: "status"},
		" \t{ \"command\" : \"status\" } \r\n":                     {Command: "status"},
		`{"version":1,"command":"help"}`:                           {Version: 1, Command: "help"},
		`{"version":null,"command":"help","slot":null}`:            {Command: "help"},
		`{"command":"signal","signal":"USR1","slot":0}`:            {Command: "signal", Signal: "USR1", Slot: pointer(0)},
		`{"command":"workers","workers":-1}`:                       {Command: "workers", Workers: -1},
		`{"command":"a","command":"b"}`:                            {Command: "a"},
		`{"comm\u0061nd":"st\u0061tus\n"}`:                         {Command: "status\n"},
		`{"command":"x","id":null}`:                                {Command: "x", ID: []byte(`null`)},
		`{"command":"x","id":-1.50E+3}`:                            {Command: "x", ID: []byte(`-1.50E+3`)},
		`{"command":"x","id":"\u0001\"ü"}`:                         {Command: "x", ID: []byte(`"\u0001\"ü"`)},
		`{"command":"x","id": {"b" : [1, true ], "a":{} } }`:       {Command: "x", ID: []byte(`{"b":[1,true],"a":{}}`)},
		`{"command":"x","what":{"ever":[[[]]]},"pid":12}`:          {Command: "x"},
		`---%0Acommand: worker:ack%0Apid: 1234%0A`:                 {Command: "worker:ack"},
		`---%0A:command: "worker:ack"%0A:pid: 1234%0A`:             {Command: "worker:ack"},
		`command: 'a%25b'`:                                         {Command: "a%b"},
		`{"command":"die","args":[]}`:                              {Command: "die"},
		`{"command":"die","args":["HUP","TERM"]}`:                  {Command: "die", Args: []string{"HUP", "TERM"}},
		`---%0Aid: 1%0Acommand: inc%0Aargs: []%0A`:                 {Command: "inc"},
		`---%0Acommand: die%0Aargs:%0A- HUP%0A- 'TERM'%0Aid: 2%0A`: {Command: "die", Args: []string{"HUP", "TERM"}},
		`command: a%250Ab`:                                         {Command: "a%0Ab"},
		`{"command":"x","workers":9223372036854775807}`:            {Command: "x", Workers: 1<<63 - 1},
		`{"command":"x","id":"` + strings.Repeat("[{", 31) + `" }`: {Command: "x", ID: []byte(`"` + strings.Repeat("[{", 31) + `"`)},
	} {
		r, err := parseRequest(line)
		require.NoError(t, err, line)
		assert.Equal(t, want, r, line)
	}
}

func TestWhatIsNoRequest(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                                `names no command`,
		"GET / HTTP/1.1":                  `"GET / HTTP/1.1" is neither a JSON object nor a key and its value`,
		"command: \xff":                   `it is not UTF-8`,
		"---":                             `names no command`,
		"command:":                        `"command:" is neither`,
		"command: ":                       `"command:" is neither`,
		"other: 1":                        `names no command`,
		"args:%0Acommand: x%0A- y":        `"- y" is neither`,
		"- !ruby/object:Gem {}":           `neither a JSON object nor`,
		`[{"command":"x"}]`:               `neither a JSON object nor`,
		`"command"`:                       `neither a JSON object nor`,
		"\x16\x03\x01\x02\x00\x01":        `"\x16\x03\x01\x02\x00\x01" is neither`,
		`{}`:                              `"command" is missing`,
		`{"command":5}`:                   `"command" is missing`,
		`{"command":null}`:                `"command" is missing`,
		`{"command":"x"`:                  `not a request: cannot parse JSON: `,
		`{"command":"x"}}`:                `unexpected tail: "}"`,
		`{"command":"x"} {"command":"y"}`: `unexpected tail`,
		`{"command":"x","version":2}`:     `version 2 of the protocol is not spoken here: 1 is`,
		`{"command":"x","version":-1}`:    `version -1 of the protocol`,
		`{"command":"x","version":"2"}`:   `"version" is not a whole number`,
		`{"command":"x","version":1.5}`:   `"version" is not a whole number`,
		`{"command":"x","version":99999999999999999999}`: `"version" is not a whole number`,
		`{"command":"x","workers":"4"}`:                  `"workers" is not a whole number`,
		`{"command":"x","workers":1e99}`:                 `"workers" is not a whole number`,
		`{"command":"x","slot":-1}`:                      `"slot" is not a number from 0`,
		`{"command":"x","slot":"0"}`:                     `"slot" is not a whole number`,
		`{"command":"x","id":01}`:                        `not a request: `,
		`{"command":"x","id":1-2-3}`:                     `not a request: `,
		`{"command":"x","id":NaN}`:                       `not a request: `,
		`{"command":"x","id":inf}`:                       `not a request: `,
		`{"command":"x","id":"\q"}`:                      `not a request: `,
		`{"command":"x","id":"\ud83"}`:                   `not a request: `,
		"{\"command\":\"x\",\"id\":\"\t\"}":              `control char 0x09`,
		"{\"command\":\"x\",\"id\":\"\xff\"}":            `it is not UTF-8`,
		"{\"command\":\"\\u\x1b[2J\"}":                   `invalid escape sequence \u?[2J`,
		`{"a":` + strings.Repeat("[", 100) + `}`:         `more than 64 lists and objects`,
		`{"a":` + strings.Repeat("[],", 100) + `[]}`:     `more than 64 lists and objects`,
		`{"command":` + strings.Repeat("t", 9000):        `unexpected value found: "ttt`,
		`{"command":"` + strings.Repeat("\x1b", 9000):    `missing closing '"'`,
		strings.Repeat("\x1b", 9000):                     `neither a JSON object nor`,
	} {
		_, err := parseRequest(line)
		require.ErrorContains(t, err, want, line)
		isLoggable(t, err)
	}
}

// isLoggable checks that an error about what a client has sent is short, and
// printable.
func isLoggable(t *testing.T, err error) {
	t.Helper()
	assert.LessOrEqual(t, len(err.Error()), 1000)
	assert.NotContains(t, err.Error(), "\n")
	for _, r := range err.Error() {
		assert.True(t, unicode.IsPrint(r), "%q", err)
	}
}

// The memory for a fault must not grow with how deep the fault is nested: once it was 60 MB.
func TestFaultsAreCheap(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 295)
	deep += "t" + strings.Repeat("\x01", maxRequest-len(deep)-1)
	wide := `{"command":"x","id":[` + strings.Repeat("0,", maxRequest/2-20) + "0]}"
	for _, line := range []string{deep, wide, strings.Repeat("%0A", maxRequest/3)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = parseRequest(line)
		runtime.ReadMemStats(&after)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20), "%.40s", line)
	}
}

func FuzzRequest(f *testing.F) {
	for _, line := range []string{
		`{"command":"status"}`, `{"version":1,"id":{"a":[1.5e3,"\u00fc\ud83d\ude00"]},"command":"signal","signal":"USR1","slot":3}`,
		`{"command":"workers","workers":8}`, `---%0Acommand: worker:ack%0Apid: 1234%0A`, "command: a%250Ab", `{"command":"\ud800"}`,
		`{"a":[[[[{}]]]],"command":""}`, "\xff", "", "{", `{"comm\u0061nd":"x","id":-0}`,
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		line, _, _ = strings.Cut(line[:min(len(line), maxRequest)], "\n")
		r, err := parseRequest(line)
		a := Answer{Version: Version, ID: r.ID, Error: "it was asked for " + r.Command + r.Signal}
		if err != nil {
			isLoggable(t, err)
			a.Error = err.Error()
		} else if r.Command == "" || r.Slot != nil && *r.Slot < 0 {
			t.Errorf("%q has no command, or a negative slot: %+v", line, r)
		}
		// Whatever was sent, any JSON reader can read the answer.
		var got struct{ ID json.RawMessage }
		require.NoError(t, json.Unmarshal(a.encode(), &got))
		isLine(t, a.encode())
		if err == nil && r.ID != nil {
			assert.Equal(t, string(r.ID), string(got.ID))
		}
		if err != nil {
			return
		}
		// What our own client would send instead means the same.
		again, err := parseRequest(string(r.encode()))
		require.NoError(t, err)
		assert.Equal(t, r, again)
	})
}

func FuzzMessage(f *testing.F) {
	a := everything()
	f.Add(a.encode())
	e := Event{Event: "says", Worker: &ID{1, 2, 3}, Status: pointer(1), Seconds: 1, Workers: []ID{{}}}
	f.Add(e.encode())
	for _, text := range []string{
		`{}`, `{"event":1}`, `{"status":{"started":1e400,"workers":[{}],"failure":{}}}`, `{"event":"x","time":-1e300,"worker":[]}`,
		`{"ok":true,"status":{"workers":[1,{"last_exit":{}}],"sockets":{}}}`, "[", "",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := decodeMessage(line)
		if err != nil {
			assert.Empty(t, m)
			return
		}
		assert.True(t, m.event.Event == "" || m.answer.Error == "" && m.answer.Status == nil, "it is one or the other")
		// It can be shown, and passed on.
		if s := m.answer.Status; s != nil {
			assert.True(t, json.Valid(s.JSON()), "%s", s.JSON())
		}
		m.answer.ID = nil // it is sent as it came
		isLine(t, m.answer.encode())
		isLine(t, m.event.encode())
	})
}

// Arguments that are not understood must not count as none.
func TestArgumentsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	for _, line := range []string{`{"command":"die","args":"KILL"}`, `{"command":"die","args":["HUP",7]}`, `{"command":"die","args":{}}`,
		`---%0Acommand: die%0Aargs: [KILL]%0A`, `---%0Acommand: die%0Aargs: KILL%0A`} {
		_, err := parseRequest(line)
		assert.ErrorContains(t, err, "not a request: ", line)
	}
}
