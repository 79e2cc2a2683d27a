package collect

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lestrrat/go-server-starter/internal/control"
)

// hostile is a text that must not get onto a page or into a metric.
var hostile = "</script><script>alert(1)</script>\x00\x1b[2J\u202e\xff\n" + strings.Repeat("ä", 5000)

func TestTextOfOthersIsBoundedAndPrintable(t *testing.T) {
	t.Parallel()
	s := &control.Status{Name: hostile, Version: hostile, State: "x\n", Uptime: math.NaN(), Failure: &control.Failure{Reason: hostile}}
	for range 5000 {
		s.Workers = append(s.Workers, control.Worker{Says: hostile, Age: math.Inf(1), LastExit: &control.Exit{Text: hostile}})
		s.Sockets = append(s.Sockets, control.Socket{Name: hostile, Waiting: -5, WaitingFor: math.NaN()})
		s.Traffic = append(s.Traffic, control.Traffic{Percent: 1e300})
		s.Failure.Log = append(s.Failure.Log, hostile)
	}
	s = cleanStatus(s)
	assert.Len(t, s.Workers, maxWorkers)
	assert.Len(t, s.Sockets, maxSockets)
	assert.Len(t, s.Traffic, maxShares)
	assert.Len(t, s.Failure.Log, maxLines)
	for _, text := range []string{s.Name, s.Version, s.Workers[0].Says, s.Workers[0].LastExit.Text, s.Sockets[0].Name, s.Failure.Reason, s.Failure.Log[0]} {
		assert.LessOrEqual(t, len(text), maxText+3)
		assert.True(t, utf8.ValidString(text))
		assert.NotContains(t, text, "\x1b")
		assert.NotContains(t, text, "\u202e")
	}
	assert.Equal(t, 100.0, s.Traffic[0].Percent)
	assert.Zero(t, s.Sockets[0].Waiting)
	text, err := json.Marshal(View{Up: true, Status: s})
	require.NoError(t, err)
	assert.True(t, json.Valid(text))
}

func TestTimesOfOthersAreNearOurs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	assert.Equal(t, now, cleanEvent("x", control.Event{Time: time.Unix(1<<40, 0)}, now).Time.Time)
	assert.Equal(t, now.Add(-time.Second), cleanEvent("x", control.Event{Time: now.Add(-time.Second)}, now).Time.Time)
	percent := math.Inf(1)
	e := cleanEvent("x", control.Event{Event: hostile, Percent: &percent, Seconds: math.NaN()}, now)
	assert.Equal(t, 100.0, *e.Percent)
	_, err := json.Marshal(e)
	assert.NoError(t, err)
}
