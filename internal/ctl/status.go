package ctl

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// WriteStatus prints how things stand, for people.
func WriteStatus(w io.Writer, s *control.Status) {
	writeHead(w, s)
	fmt.Fprintln(w)
	writeWorkers(w, s)
	if len(s.Traffic) > 0 {
		fmt.Fprintln(w)
		trafficTable(s.Traffic).write(w, screen)
	}
	fmt.Fprintln(w)
	if len(s.Sockets) == 0 {
		fmt.Fprintln(w, noSocket)
	} else {
		socketTable(s.Sockets).write(w, 0) // no path is cut: it may be needed
	}
	for _, line := range stuck(s.Sockets) {
		fmt.Fprintln(w, line)
	}
	if f := s.Failure; f != nil {
		fmt.Fprintln(w)
		writeFailure(w, f)
	}
}

// writeHead tells of the superdaemon itself.
func writeHead(w io.Writer, s *control.Status) {
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
}

// Serves reports whether a worker serves: one that has proven itself and was not told
// to go.
func Serves(s *control.Status) bool {
	return slices.ContainsFunc(s.Workers, func(w control.Worker) bool {
		return w.State == supervise.StateLive || w.State == supervise.StateOld || w.State == supervise.StateCanary
	})
}

func writeWorkers(w io.Writer, s *control.Status) {
	if len(s.Workers) == 0 {
		fmt.Fprintln(w, noWorker)
		return
	}
	t := table{{"GEN", "STATE", "SLOT", "PID", "AGE", "READY IN", "STATUS"}}
	for _, v := range s.Workers {
		ready := "-"
		if v.ReadyAfter != nil {
			ready = age(*v.ReadyAfter)
		}
		pid, old, says := cellsOf(v)
		t = append(t, []string{strconv.Itoa(v.Generation), string(v.State), strconv.Itoa(v.Slot), pid, old, ready, says})
	}
	t.write(w, screen)
	if ended := endedTable(s.Workers); len(ended) > 1 {
		fmt.Fprintln(w)
		ended.write(w, screen)
	}
}

// cellsOf returns cells for a worker, which may be missing.
func cellsOf(w control.Worker) (pid, old, says string) {
	if w.NextTry != nil {
		return "-", "-", "next try in " + age(*w.NextTry)
	}
	return strconv.Itoa(w.Pid), age(w.Age), w.Says
}

// What stands in the place of a table that has no row.
const (
	noWorker = "no worker is there"
	noSocket = "no socket is bound"
)

// trafficTable tells which generation gets how many of the connections.
func trafficTable(traffic []control.Traffic) table {
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
	return t
}

// endedTable has a row for each slot in which a worker has ended, with the last one that did.
func endedTable(workers []control.Worker) table {
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
	return t
}

// slowAccept is after how many seconds a socket counts as stuck.
const slowAccept = 2

func socketTable(sockets []control.Socket) table {
	t := table{{"FD", "NETWORK", "SOCKET", "ADDRESS"}}
	for _, s := range sockets {
		address := s.Address
		if address == s.Name {
			address = "" // the socket is a path
		}
		t = append(t, []string{strconv.Itoa(s.FD), s.Network, s.Name, address})
	}
	return t
}

// stuck returns a line for each socket on which no worker accepts.
func stuck(sockets []control.Socket) (lines []string) {
	for _, s := range sockets {
		if s.WaitingFor >= slowAccept {
			lines = append(lines, fmt.Sprintf("nobody accepts on %s: %s waiting for %s", oneLine(s.Name), text.Count(s.Waiting, "connection"), age(s.WaitingFor)))
		}
	}
	return lines
}

func writeFailure(w io.Writer, f *control.Failure) {
	what := "failed"
	if f.GivenUp {
		what = "failed and was not repeated,"
	}
	fmt.Fprintf(w, "The last attempt %s %s ago: %s\n", what, age(time.Since(f.At).Seconds()), oneLine(f.Reason))
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

// oneLine makes foreign text printable in one line. A tab becomes a blank: it would move the
// columns of a table.
func oneLine(line string) string { return text.Line(strings.ReplaceAll(line, "\t", " ")) }
