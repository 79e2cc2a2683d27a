package ctl

import (
	"cmp"
	"fmt"
	"io"
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
	if s.StopsAt != nil {
		fmt.Fprintf(w, "It stops in %s.\n", age(time.Until(*s.StopsAt).Seconds()))
	}
	fmt.Fprintln(w)
	writeWorkers(w, s)
	fmt.Fprintln(w)
	writeSockets(w, s.Sockets)
	if f := s.Failure; f != nil {
		writeFailure(w, f)
	}
}

func writeWorkers(w io.Writer, s *control.Status) {
	if len(s.Workers) == 0 {
		fmt.Fprintln(w, "no worker is there")
		return
	}
	t := table{{"GENERATION", "STATE", "SLOT", "PID", "AGE", "READY AFTER", "RESTARTS", "LAST EXIT", "STATUS"}}
	for _, v := range s.Workers {
		ready, exit := "-", "-"
		if v.ReadyAfter != nil {
			ready = age(*v.ReadyAfter)
		}
		if e := v.LastExit; e != nil {
			exit = fmt.Sprintf("%s, %s ago", e.Text, age(time.Since(e.At).Seconds()))
		}
		pid, old, says := strconv.Itoa(v.Pid), age(v.Age), shortened(oneLine(v.Says))
		if v.NextTry != nil {
			pid, old, says = "-", "-", "next try in "+age(*v.NextTry)
		}
		t = append(t, []string{
			strconv.Itoa(v.Generation), string(v.State), strconv.Itoa(v.Slot), pid, old, ready, strconv.Itoa(v.Restarts), exit, says,
		})
	}
	t.write(w)
}

func writeSockets(w io.Writer, sockets []control.Socket) {
	if len(sockets) == 0 {
		fmt.Fprintln(w, "no socket is bound")
		return
	}
	t := table{{"SOCKET", "NETWORK", "ADDRESS", "DESCRIPTOR"}}
	for _, s := range sockets {
		t = append(t, []string{s.Name, s.Network, s.Address, strconv.Itoa(s.FD)})
	}
	t.write(w)
}

// shortened cuts a STATUS line to the room that a table has for it.
func shortened(line string) string {
	const room = 60
	if runes := []rune(line); len(runes) > room {
		return string(runes[:room-1]) + "…"
	}
	return line
}

// table is rows of cells. The first row is the columns' names.
type table [][]string

// write prints the table, each column as wide as its widest cell. Cells are made
// printable: they hold what others have named, as a socket or a worker's state.
func (t table) write(w io.Writer) {
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
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
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
