package ctl

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// size is how much there is room for. rows is 0 if any number of them fits.
type size struct{ columns, rows int }

// picture is how things stand, arranged for a size: which workers there is room for, and what
// else. What processes use is looked up only for those that are shown.
type picture struct {
	size
	colours bool
	status  *control.Status

	head    []string
	workers []control.Worker // shown
	hidden  []control.Worker // there is no room for them
	ended   []string         // lines, like the fields below; the first one is empty
	traffic []string
	sockets []string
	stuck   []string
	failure []string
}

// leastWorkers is how many rows the workers get at least, if there is room for so many.
const leastWorkers = 6

// newPicture gives the workers half of the room at least. The other parts share the rest; those
// that tell of a fault come first. What is left then is for the log of a failure, and for
// workers that have ended.
func newPicture(s *control.Status, to size, colours bool) *picture {
	p := &picture{size: to, colours: colours, status: s}
	p.head = p.lined(func(w io.Writer) { writeHead(w, s) })
	room := math.MaxInt32
	if to.rows > 0 {
		room = to.rows - len(p.head) - 2 // the line of the time, and an empty one
	}
	need := max(1, len(s.Workers)) + 1 // the columns' names
	least := min(need, max(leastWorkers, room/2))
	rest := max(0, room-least)
	take := func(lines []string, what string) []string {
		lines = fitting(lines, rest, what)
		rest -= len(lines)
		return lines
	}
	var log []string
	if s.Failure != nil {
		lines := p.lined(func(w io.Writer) { fmt.Fprintln(w); writeFailure(w, s.Failure) })
		p.failure, log = take(p.coloured(red, lines[:2]), ""), lines[2:]
	}
	p.stuck = take(p.coloured(red, append([]string{""}, stuck(s.Sockets)...)), "socket")
	if len(s.Traffic) > 0 {
		p.traffic = take(p.tabled(trafficTable(s.Traffic)), "generation")
	}
	if p.sockets = []string{"", shortened(noSocket, p.columns)}; len(s.Sockets) > 0 {
		p.sockets = p.tabled(queueTable(s.Sockets))
	}
	p.sockets = take(p.sockets, "socket")
	p.choose(rest + least - 1)
	if rest -= need - least; len(p.failure) > 0 && rest > 0 {
		log = log[max(0, len(log)-rest):] // the end tells most
		p.failure = append(p.failure, log...)
		rest -= len(log)
	}
	if latest := latestFirst(s.Workers); len(latest) > 0 && rest > 0 {
		p.ended = take(p.tabled(endedTable(latest)), "slot")
	}
	return p
}

// lined returns the lines that write writes, each cut to the columns there are.
func (p *picture) lined(write func(io.Writer)) (lines []string) {
	var all strings.Builder
	write(&all)
	for line := range strings.Lines(all.String()) {
		lines = append(lines, shortened(strings.TrimSuffix(line, "\n"), p.columns))
	}
	return lines
}

// tabled returns the lines of a table, with an empty one before it.
func (p *picture) tabled(t table) []string { return append([]string{""}, t.lines(p.columns, nil)...) }

func (p *picture) coloured(c colour, lines []string) (painted []string) {
	for _, line := range lines {
		line = shortened(line, p.columns)
		if p.colours {
			line = c.on(line)
		}
		painted = append(painted, line)
	}
	return painted
}

// fitting returns as many lines as there is room for; the last one tells how many more there
// are. An empty line alone, or one above only the columns' names, is left out.
func fitting(lines []string, room int, what string) []string {
	switch {
	case len(lines) < 2:
		return nil
	case len(lines) <= room:
		return lines
	case room < 4 || what == "":
		return nil
	}
	more := fmt.Sprintf("and %s", text.Count(len(lines)-room+1, "more "+what))
	return append(slices.Clone(lines[:room-1]), more)
}

// choose shows as many workers as there is room for, those that matter most.
func (p *picture) choose(room int) {
	p.workers = p.status.Workers
	if len(p.workers) <= max(room, 1) {
		return
	}
	p.workers = slices.Clone(p.workers)
	slices.SortStableFunc(p.workers, func(a, b control.Worker) int { return rank(a.State) - rank(b.State) })
	shown := max(1, room-1) // one line tells of the others
	p.workers, p.hidden = p.workers[:shown], p.workers[shown:]
}

// ranks has the states in the order in which they matter to an operator. "" stands for a state
// that is not known: it comes before those of workers that just serve.
var ranks = [...]supervise.WorkerState{
	supervise.StateProving, supervise.StateCanary, supervise.StateDraining, supervise.StateMissing, supervise.StateFailed,
	supervise.StateStopping, "", supervise.StateStandby, supervise.StateOld, supervise.StateLive,
}

func rank(state supervise.WorkerState) int {
	if i := slices.Index(ranks[:], state); i >= 0 {
		return i
	}
	return slices.Index(ranks[:], "")
}

func colourOf(state supervise.WorkerState) colour {
	switch state {
	case supervise.StateLive:
		return green
	case supervise.StateProving, supervise.StateCanary:
		return yellow
	case supervise.StateMissing, supervise.StateFailed:
		return red
	case supervise.StateDraining, supervise.StateStopping, supervise.StateOld, supervise.StateStandby:
		return dim
	}
	return plain
}

// latestFirst returns the workers in whose slot one has ended, the latest end first.
func latestFirst(workers []control.Worker) []control.Worker {
	sorted := slices.DeleteFunc(slices.Clone(workers), func(w control.Worker) bool { return w.LastExit == nil })
	slices.SortStableFunc(sorted, func(a, b control.Worker) int { return b.LastExit.At.Compare(a.LastExit.At) })
	return sorted
}

// pids are the processes that are shown.
func (p *picture) pids() []int {
	pids := []int{p.status.Pid}
	for _, w := range p.workers {
		if w.Pid > 0 {
			pids = append(pids, w.Pid)
		}
	}
	return pids
}

// lines draw the picture.
func (p *picture) lines(u *usage, at time.Time) []string {
	lines := slices.Clone(p.head)
	if own, ok := u.of(p.status.Pid); ok {
		lines[0] = shortened(fmt.Sprintf("%s, %s, CPU %s", lines[0], own.size(), own.share()), p.columns)
	}
	lines = append(lines, shortened(at.Format(time.TimeOnly)+"  "+inStates(p.status.Workers), p.columns), "")
	if len(p.status.Workers) == 0 {
		lines = append(lines, shortened(noWorker, p.columns))
	} else {
		lines = append(lines, p.workerRows(u)...)
	}
	lines = slices.Concat(lines, p.ended, p.traffic, p.sockets, p.stuck, p.failure)
	if p.size.rows > 0 && len(lines) > p.size.rows {
		lines = lines[:p.size.rows]
	}
	return lines
}

// inStates counts workers, also by their states, as in "5 workers: 1 proving, 4 live".
func inStates(workers []control.Worker) string {
	count := text.Count(len(workers), "worker")
	if len(workers) == 0 {
		return count
	}
	counts := map[supervise.WorkerState]int{}
	var states []supervise.WorkerState
	for _, w := range workers {
		if counts[w.State]++; counts[w.State] == 1 {
			states = append(states, w.State)
		}
	}
	slices.SortStableFunc(states, func(a, b supervise.WorkerState) int { return rank(a) - rank(b) })
	var words []string
	for _, state := range states {
		words = append(words, fmt.Sprintf("%d %s", counts[state], oneLine(string(state))))
	}
	return count + ": " + strings.Join(words, ", ")
}

// stateColumn is the column of workerRows that has colours.
const stateColumn = 1

func (p *picture) workerRows(u *usage) []string {
	t := table{{"GEN", "STATE", "SLOT", "PID", "AGE", "MEMORY", "CPU", "STATUS"}}
	for _, w := range p.workers {
		pid, old, says := cellsOf(w)
		uses, _ := u.of(w.Pid)
		t = append(t, []string{strconv.Itoa(w.Generation), string(w.State), strconv.Itoa(w.Slot), pid, old, uses.size(), uses.share(), says})
	}
	var paint func(row, column int) colour
	if p.colours {
		paint = func(row, column int) colour {
			if row == 0 || column != stateColumn {
				return plain
			}
			return colourOf(p.workers[row-1].State)
		}
	}
	lines := t.lines(p.columns, paint)
	if len(p.hidden) > 0 {
		lines = append(lines, shortened("and another "+inStates(p.hidden), p.columns))
	}
	return lines
}

// size is the memory in words.
func (u use) size() string {
	if u.memory == 0 {
		return "-"
	}
	return text.Size(u.memory)
}

// share is the CPU use in per cent of a core.
func (u use) share() string {
	if u.cpu < 0 {
		return "-"
	}
	return strconv.FormatFloat(u.cpu*100, 'f', 1, 64) + " %"
}

// queueTable is socketTable with the connections that wait. Their column is so far left that a
// cut row still has it.
func queueTable(sockets []control.Socket) table {
	const after = 2
	t := socketTable(sockets)
	t[0] = slices.Insert(t[0], after, "WAITING")
	for i, s := range sockets {
		waiting := strconv.Itoa(s.Waiting)
		switch {
		case s.Network == "udp":
			waiting = "-"
		case s.Network == "unix" && s.Waiting > 0:
			waiting = "some"
		}
		t[i+1] = slices.Insert(t[i+1], after, waiting)
	}
	return t
}
