package report

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestStatusOfEveryUnitState(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		given *Manager // what it has heard
		tally supervise.Tally
		then  string
	}{
		{&Manager{}, supervise.Tally{Starting: 1}, "generation 1 is starting"},
		{&Manager{why: "it died"}, supervise.Tally{}, "start failed: it died; trying again"},
		{&Manager{why: "it died"}, supervise.Tally{Starting: 2}, "start failed: it died; generation 2 is starting"},
		{&Manager{why: "it died", gaveUp: true}, supervise.Tally{}, "start failed: it died"},

		{&Manager{unit: unitRuns}, supervise.Tally{Generation: 1, Serving: 1}, "generation 1: 1 worker serves"},
		{&Manager{unit: unitRuns}, supervise.Tally{Generation: 1, Serving: 3}, "generation 1: 3 workers serve"},
		{&Manager{unit: unitRuns}, supervise.Tally{Generation: 2, Serving: 1, Draining: 1}, "generation 2: 1 worker serves; 1 old worker draining"},
		{&Manager{unit: unitRuns}, supervise.Tally{Generation: 2, Serving: 1, Draining: 2, Starting: 3}, "generation 2: 1 worker serves; 2 old workers draining; generation 3 is starting"},
		{&Manager{unit: unitRuns}, supervise.Tally{Serving: 1, Starting: 3}, "1 old worker serves; generation 3 is starting"},
		{&Manager{unit: unitRuns}, supervise.Tally{Serving: 2, Starting: 3}, "2 old workers serve; generation 3 is starting"},
		{&Manager{unit: unitRuns}, supervise.Tally{Starting: 3}, "no worker serves; generation 3 is starting"},
		{&Manager{unit: unitRuns}, supervise.Tally{Generation: 2, Serving: 2, Starting: 2}, "generation 2: 2 workers serve; generation 2 is taking over"},

		{&Manager{unit: unitReloads, why: "it died"}, supervise.Tally{Generation: 1, Serving: 1}, "restart failed: it died; generation 1 serves on; trying again"},
		{&Manager{unit: unitReloads, why: "it died"}, supervise.Tally{Generation: 1, Serving: 1, Starting: 3}, "restart failed: it died; generation 1 serves on; generation 3 is starting"},
		{&Manager{unit: unitRuns, why: "it died", gaveUp: true}, supervise.Tally{Generation: 1, Serving: 1}, "restart failed: it died; generation 1 serves on"},

		{&Manager{unit: unitStops, delay: 90 * time.Second}, supervise.Tally{Generation: 1, Serving: 1}, "serving on for 90 secs before stopping; generation 1: 1 worker serves"},
		{&Manager{unit: unitStops}, supervise.Tally{Draining: 1}, "stopping: 1 worker draining"},
		{&Manager{unit: unitStops}, supervise.Tally{Draining: 2}, "stopping: 2 workers draining"},
		{&Manager{unit: unitStops}, supervise.Tally{}, "stopped"},
		{&Manager{unit: unitStops, fatal: true, why: "it died"}, supervise.Tally{Draining: 1}, "failed: it died"},
	} {
		m := row.given
		assert.Equal(t, row.then, m.status(row.tally))
	}
}

func TestStatusIsOneLineOfValidText(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "a?b?c?", oneLine("a\nb\x00c\xff", 100))
	assert.Equal(t, "abcd", oneLine("abcd", 4))
	assert.Equal(t, "a...", oneLine("abcde", 4))
	assert.Equal(t, "é...", oneLine("éééé", 6), "not in the middle of a letter")
	long := oneLine(strings.Repeat("aé", 200), 300)
	assert.LessOrEqual(t, len(long), 300)
	assert.True(t, utf8.ValidString(long))
	assert.True(t, strings.HasSuffix(long, "aé..."), long)
	m := &Manager{why: strings.Repeat("x\n", 5000)}
	status := m.status(supervise.Tally{Generation: 2, Serving: 1})
	assert.Less(t, len(status), maxStatus)
	assert.True(t, strings.HasSuffix(status, "; generation 2 serves on; trying again"), status)
}
