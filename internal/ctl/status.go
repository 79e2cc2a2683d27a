package ctl

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// WriteStatus prints how things stand, for people.
func WriteStatus(w io.Writer, s *control.Status) {
	state := string(s.State)
	if s.State == supervise.PhaseStopDelay {
		state = "about to stop"
	}
	fmt.Fprintf(w, "%s (pid:%d) is %s, up %s, %s\n", oneLine(cmp.Or(s.Name, "start_server")), s.Pid, oneLine(state), age(s.Uptime), text.Count(s.Restarts, "restart"))
	if s.Upgrades > 0 {
		fmt.Fprintf(w, "It has been version %s for %s, after %s.\n", oneLine(s.Version), age(time.Since(s.ImageSince).Seconds()), text.Count(s.Upgrades, "upgrade"))
	}
	if s.StopsAt != nil {
		fmt.Fprintf(w, "It stops in %s.\n", age(time.Until(*s.StopsAt).Seconds()))
	}
	fmt.Fprintln(w)
	writeWorkers(w, s)
	writeTraffic(w, s.Traffic)
	fmt.Fprintln(w)
	writeSockets(w, s.Sockets)
	if f := s.Failure; f != nil {
		writeFailure(w, f)
	}
}

// Serves tells whether a worker serves: one that has proved itself and was not told
// to go.
func Serves(s *control.Status) bool {
	return slices.ContainsFunc(s.Workers, func(w control.Worker) bool {
		return w.State == supervise.StateLive || w.State == supervise.StateOld || w.State == supervise.StateCanary
	})
}

func writeWorkers(w io.Writer, s *control.Status) {
	if len(s.Workers) == 0 {
		fmt.Fprintln(w, "no worker is there")
		return
	}
	t := table{{"GEN", "STATE", "SLOT", "PID", "AGE", "READY IN", "STATUS"}}
	for _, v := range s.Workers {
		ready := "-"
		if v.ReadyAfter != nil {
			ready = age(*v.ReadyAfter)
		}
		pid, old, says := strconv.Itoa(v.Pid), age(v.Age), v.Says
		if v.NextTry != nil {
			pid, old, says = "-", "-", "next try in "+age(*v.NextTry)
		}
		t = append(t, []string{strconv.Itoa(v.Generation), string(v.State), strconv.Itoa(v.Slot), pid, old, ready, says})
	}
	t.write(w, screen)
	writeEnded(w, s.Workers)
}

// writeTraffic tells which generation gets how many of the connections.
func writeTraffic(w io.Writer, traffic []control.Traffic) {
	if len(traffic) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := table{{"GEN", "CONNECTIONS", "WAITING", "TIME LEFT", ""}}
	for _, g := range traffic {
		left, note := "-", ""
		if g.SecondsLeft != nil {
			left = age(*g.SecondsLeft)
		}
		if g.Given > 0 {
			note = fmt.Sprintf("%s so far", text.Count(g.Given, "connection"))
		}
		if g.CanRollBack {
			note = "stands by for --rollback"
		}
		t = append(t, []string{strconv.Itoa(g.Generation), strconv.FormatFloat(g.Percent, 'f', -1, 64) + " %", strconv.Itoa(g.Waiting), left, note})
	}
	t.write(w, screen)
}

// writeEnded tells, a row for each slot, of the worker that ended there last: none of
// those that are there.
func writeEnded(w io.Writer, workers []control.Worker) {
	t := table{{"SLOT", "RESTARTS", "ENDED LAST", "AGO", "LIVED", "HOW"}}
	told := map[int]bool{}
	for _, v := range workers {
		e := v.LastExit
		if e == nil || told[v.Slot] {
			continue
		}
		told[v.Slot] = true
		t = append(t, []string{
			strconv.Itoa(v.Slot), strconv.Itoa(v.Restarts), strconv.Itoa(e.Pid), age(time.Since(e.At).Seconds()), age(e.Lived), e.Text,
		})
	}
	if len(t) > 1 {
		fmt.Fprintln(w)
		t.write(w, screen)
	}
}

// slowAccept is after how many seconds nobody seems to accept connections.
const slowAccept = 2

// writeSockets leaves no path cut: it may be needed.
func writeSockets(w io.Writer, sockets []control.Socket) {
	if len(sockets) == 0 {
		fmt.Fprintln(w, "no socket is bound")
		return
	}
	t := table{{"FD", "NETWORK", "SOCKET", "ADDRESS"}}
	for _, s := range sockets {
		address := s.Address
		if address == s.Name {
			address = "" // as a path's is
		}
		t = append(t, []string{strconv.Itoa(s.FD), s.Network, s.Name, address})
	}
	t.write(w, 0)
	for _, s := range sockets {
		if s.WaitingFor >= slowAccept {
			fmt.Fprintf(w, "nobody accepts on %s: %s waiting for %s\n", oneLine(s.Name), text.Count(s.Waiting, "connection"), age(s.WaitingFor))
		}
	}
}

// screen is how many columns a terminal has at least.
const screen = 80

// shortened cuts a line to so many columns; 0: not at all.
func shortened(line string, columns int) string {
	if runes := []rune(line); columns > 0 && len(runes) > columns {
		return string(runes[:columns-1]) + "…"
	}
	return line
}

// table is rows of cells. The first row is the columns' names.
type table [][]string

// write prints the table, each column as wide as its widest cell, and cuts rows that are
// wider than width, unless that is 0. Cells are made printable: they hold what others
// have named, as a socket or a worker's state.
func (t table) write(w io.Writer, width int) {
	var padded strings.Builder
	columns := tabwriter.NewWriter(&padded, 0, 0, 2, ' ', 0)
	for _, row := range t {
		for _, cell := range row {
			fmt.Fprint(columns, oneLine(cell), "\t")
		}
		fmt.Fprintln(columns)
	}
	columns.Flush()
	for line := range strings.Lines(padded.String()) { // tabwriter pads the last column, too
		fmt.Fprintln(w, shortened(strings.TrimRight(line, " \n"), width))
	}
}

func writeFailure(w io.Writer, f *control.Failure) {
	what := "failed"
	if f.GivenUp {
		what = "failed, and there was no other,"
	}
	fmt.Fprintf(w, "\nThe last attempt %s %s ago: %s\n", what, age(time.Since(f.At).Seconds()), oneLine(f.Reason))
	for _, line := range f.Log {
		fmt.Fprintf(w, "  %s\n", oneLine(line))
	}
}

// age prints a number of seconds in one or two units.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	hours := int(d.Hours())
	return fmt.Sprintf("%dd%dh", hours/24, hours%24)
}

// oneLine makes text of others printable in one line. A tab becomes a blank, or a table's
// columns would be out of line.
func oneLine(line string) string { return text.Line(strings.ReplaceAll(line, "\t", " ")) }
