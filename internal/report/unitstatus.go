package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

func failedStatus(why string) string { return "failed: " + why }

const (
	maxStatus = 500 // bytes of a STATUS line
	maxWhy    = 300 // bytes of a STATUS line that say why an attempt has failed
)

// status is the text of STATUS.
func (m *Manager) status(t supervise.Tally) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	why := oneLine(m.why, maxWhy)
	switch {
	case m.unit == unitStops && m.delay > 0:
		add("serving on for %s secs before stopping", text.Seconds(m.delay))
	case m.unit == unitStops && m.fatal:
		return failedStatus(m.why)
	case m.unit == unitStops && t.Draining == 0:
		return "stopped"
	case m.unit == unitStops:
		return "stopping: " + text.Count(t.Draining, "worker") + " draining"
	case m.unit == unitStarts && why != "":
		add("start failed: %s", why)
	case why != "":
		add("restart failed: %s", why)
	}
	switch {
	case t.Serving == 0 && m.unit == unitStarts:
	case t.Serving == 0:
		add("no worker serves")
	case t.Generation == 0:
		add("%s", serve(t.Serving, "old worker"))
	case why != "":
		add("generation %d serves on", t.Generation)
	default:
		add("generation %d: %s", t.Generation, serve(t.Serving, "worker"))
	}
	if t.Draining > 0 {
		add("%s draining", text.Count(t.Draining, "old worker"))
	}
	switch {
	case t.Starting != 0 && t.Starting == t.Generation:
		add("generation %d is taking over", t.Starting)
	case t.Starting != 0:
		add("generation %d is starting", t.Starting)
	case why != "" && !m.gaveUp:
		add("trying again")
	}
	return strings.Join(parts, "; ")
}

// serve is "1 worker serves" or "2 workers serve".
func serve(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " serves"
	}
	return text.Count(n, noun) + " serve"
}

// oneLine makes words one line of printable UTF-8, of most bytes at most: the manager
// takes nothing else as a STATUS.
func oneLine(words string, most int) string {
	line := text.Line(words)
	if len(line) <= most {
		return line
	}
	const rest = "..."
	end := most - len(rest)
	for !utf8.RuneStart(line[end]) {
		end--
	}
	return line[:end] + rest
}
