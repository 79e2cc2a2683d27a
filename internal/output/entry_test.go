package output

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/testkit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.FixedZone("", 2*3600))

func TestNameOfAFormat(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "plain", "time", "json"} {
		assert.NoError(t, CheckFormat(name))
	}
	assert.EqualError(t, CheckFormat("JSON"), `log format "JSON" is not plain, time or json`)
}

func TestLineOfOurOwn(t *testing.T) {
	t.Parallel()
	status := 9
	e := Entry{Level: Warning, Event: "exited", Generation: 2, Worker: &Worker{Generation: 2, Pid: 7}, Workers: []int{8, 9}, Signal: "TERM", Status: &status, Text: "one\ntwo \x1b"}
	for _, c := range []struct {
		name string
		form form
		want string
	}{
		{"nothing said", form{}, "one\ntwo ?\n"},
		{"plain", form{Form: Form{Format: Plain}}, "one\ntwo ?\n"},
		{"plain, for the journal", form{Form{}, true}, "<4>one\n<4>two ?\n"},
		{"time", form{Form: Form{Format: Time}}, "2026-03-01T12:00:00.005+02:00 one\n2026-03-01T12:00:00.005+02:00 two ?\n"},
		{"time, for the journal", form{Form{Format: Time}, true}, "2026-03-01T12:00:00.005+02:00 one\n2026-03-01T12:00:00.005+02:00 two ?\n"},
		{"json, for the journal", form{Form{Format: JSON}, true}, `{"time":"2026-03-01T12:00:00.005+02:00","level":"warning","event":"exited","generation":2,"slot":0,"pid":7,"pids":[8,9],"signal":"TERM","status":9,"exit":"killed by signal 9 (KILL)","text":"one\u000atwo \u001b"}` + "\n"},
	} {
		assert.Equal(t, c.want, c.form.own(e, noon), c.name)
	}
	assert.Equal(t, `{"time":"2026-03-01T12:00:00.005+02:00","level":"info","event":"message","text":""}`+"\n", form{Form: Form{Format: JSON}}.own(Entry{}, noon))
	assert.Contains(t, form{Form: Form{Format: JSON}}.own(Entry{Level: Notice}, noon), `"level":"notice"`)
	assert.Equal(t, "<6>\n", form{journal: true}.own(Entry{}, noon))
	assert.Equal(t, "<3>x\n", form{journal: true}.own(Entry{Level: Error, Text: "x"}, noon))
	assert.Contains(t, form{Form: Form{Format: JSON}}.own(Entry{Level: Error, Generation: 5}, noon), `"level":"error","event":"message","generation":5,"text"`)
}

func TestLineOfAWorker(t *testing.T) {
	t.Parallel()
	w := Worker{3, 0, 7, "stderr"}
	for _, c := range []struct {
		form   Form
		worker Worker
		want   string
	}{
		{Form{}, w, "[7] hello\n"},
		{Form{Workers: true}, w, "[7 generation:3 slot:0 stderr] hello\n"},
		{Form{Workers: true}, Worker{Pid: 7}, "[7] hello\n"},
		{Form{Workers: true}, Worker{Generation: 3, Slot: 1, Pid: 7}, "[7 generation:3 slot:1] hello\n"},
		{Form{Format: Time}, w, "2026-03-01T12:00:00.005+02:00 [7] hello\n"},
		{Form{Format: Time, Workers: true}, w, "2026-03-01T12:00:00.005+02:00 [7 generation:3 slot:0 stderr] hello\n"},
		{Form{Format: JSON}, Worker{Pid: 7}, `{"time":"2026-03-01T12:00:00.005+02:00","level":"info","event":"output","pid":7,"text":"hello"}` + "\n"},
		{Form{Format: JSON, Workers: true}, w, `{"time":"2026-03-01T12:00:00.005+02:00","level":"info","event":"output","generation":3,"slot":0,"pid":7,"stream":"stderr","text":"hello"}` + "\n"},
	} {
		assert.Equal(t, c.want, form{Form: c.form}.relayed(c.worker, []byte("hello"), false, noon), "%v", c.form)
	}
	assert.Contains(t, form{Form: Form{Format: JSON}}.relayed(w, []byte("hello"), true, noon), `"cut":true`)
}

// logged is a line as a reader of JSON sees it.
type logged struct {
	Time, Level, Event, Stream, Text string
	Pid                              int
	Cut                              bool
}

// asJSON is the log in JSON of what pid 7 writes.
func asJSON(t *testing.T, text string) (lines []logged) {
	t.Helper()
	var log testkit.Output
	o := New(&log, "a test")
	o.SetForm(Form{Format: JSON}, "")
	o.relays.copy(strings.NewReader(text), Worker{Pid: 7}, "")
	for line := range strings.Lines(log.String()) {
		var l logged
		require.NoError(t, json.Unmarshal([]byte(line), &l), "%q", line)
		assert.Equal(t, 7, l.Pid)
		_, err := time.Parse(time.RFC3339Nano, l.Time)
		assert.NoError(t, err)
		lines = append(lines, l)
	}
	return lines
}

func TestWhateverWorkersWriteIsValidJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                nil,
		"\n\n":                            {"", ""},
		"a\x00b\n":                        {"a\x00b"},
		"\xff\xfe \xe8\xaa\n":             {"\ufffd\ufffd \ufffd\ufffd"},
		`{"event":"exited"}` + "\nx":      {`{"event":"exited"}`, "x"},
		"\"\\\r\t\x1b[0m\u2028\U000e0001": {"\"\\\r\t\x1b[0m\u2028\U000e0001"},
	} {
		var got []string
		for _, l := range asJSON(t, text) {
			got = append(got, l.Text)
		}
		assert.Equal(t, want, got, "%q", text)
	}
	all := make([]byte, 0, 1<<18) // every pair of bytes
	for i := range 1 << 16 {
		all = append(all, byte(i>>8), byte(i))
	}
	asJSON(t, string(all))
}

// A line of 1 MB is cut, but never in the middle of a character: so nothing of it is lost.
func TestLongLineInPiecesOfWholeCharacters(t *testing.T) {
	t.Parallel()
	for _, long := range []string{strings.Repeat("x", 1<<20), strings.Repeat("語", 1<<20/3), strings.Repeat("x🎈", 1<<18), "é" + strings.Repeat("🎈", 1<<18)} {
		lines := asJSON(t, long+"\nend")
		require.Greater(t, len(lines), 15)
		var text strings.Builder
		for i, l := range lines[:len(lines)-1] {
			text.WriteString(l.Text)
			assert.Equal(t, i < len(lines)-2, l.Cut, "it goes on, but for the last piece")
		}
		assert.Equal(t, long, text.String())
		assert.Equal(t, logged{Time: lines[len(lines)-1].Time, Level: "info", Event: "output", Pid: 7, Text: "end"}, lines[len(lines)-1])
	}
	for _, text := range []string{strings.Repeat("\xff", 1<<18), strings.Repeat("\x80", 1<<18), "\xe8" + strings.Repeat("\xaa", longestLine)} {
		assert.NotEmpty(t, asJSON(t, text), "what is no UTF-8 is not waited for")
	}
}

func TestWhatWasLeftOutIsSaidInTheFormat(t *testing.T) {
	t.Parallel()
	log := &slowLog{stuck: make(chan struct{})}
	var text testkit.Output
	o := New(both{log, &text}, "a test")
	o.SetForm(Form{Format: JSON}, "")
	for range maxWaiting + 5 {
		o.Printf("x")
	}
	close(log.stuck)
	o.Flush()
	o.Flush()
	assert.Contains(t, text.String(), `"level":"warning","event":"left-out","text":"`)
}

// both writes to one after the other.
type both []interface{ Write([]byte) (int, error) }

func (b both) Write(p []byte) (n int, err error) {
	for _, w := range b {
		n, err = w.Write(p)
	}
	return n, err
}

func TestOnlyTheJournalGetsPriorities(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	assert.False(t, isJournal(f, ""))
	assert.False(t, isJournal(f, "1:2"))
	assert.False(t, isJournal(f, "nonsense"))
	gone, err := os.Open(f.Name())
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	assert.False(t, isJournal(gone, "1:2"), "it is closed")
	assert.False(t, isJournal(&testkit.Output{}, "1:2"))
	o := New(f, "a test")
	o.SetForm(Form{}, "1:2")
	o.Now("plain")
	assert.Equal(t, "plain\n", content(t, f.Name()))
}
