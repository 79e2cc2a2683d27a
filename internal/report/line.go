package report

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/lestrrat/go-server-starter/internal/text"
)

// Line is the log line of an event, "" if there is none. Operators grep for
// these: they are the original's to the letter wherever it has the event.
func Line(e supervise.Event, verbose bool) string { return line(e, verbose, strconv.Itoa) }

// line is Line with wait statuses as status writes them.
func line(e supervise.Event, verbose bool, status func(int) string) string {
	return cmp.Or(requestLine(e), generationLine(e, status), trafficLine(e), renewalLine(e), workerLine(e, verbose, status))
}

// requestLine is about what was asked for.
func requestLine(e supervise.Event) string {
	switch e := e.(type) {
	case supervise.RestartAsked:
		if e.Pending {
			return e.Cause + ", spawning a new worker as soon as the one that is starting has succeeded or failed"
		}
		return e.Cause + ", spawning a new worker"
	case supervise.Refused:
		return e.Cause + " while stopping: ignored"
	case supervise.AutoRestart:
		if e.Forced {
			return fmt.Sprintf("autorestart triggered (forced, interval=%s)", text.Seconds(e.After))
		}
		return fmt.Sprintf("autorestart triggered (interval=%s)", text.Seconds(e.After))
	case supervise.Resized:
		return fmt.Sprintf("%s, running %s from now on", e.Cause, text.Count(e.Workers, "worker"))
	case supervise.StopDelayed:
		if e.Repeated {
			return fmt.Sprintf("%s again, serving on for %s more secs", e.Cause, about(e.Delay))
		}
		return fmt.Sprintf("%s, serving on for %s secs before stopping", e.Cause, text.Seconds(e.Delay))
	case supervise.StopAsked:
		if e.Repeated {
			return fmt.Sprintf("%s again, still waiting for workers:%s%s", e.Cause, pids(e.Workers), remedy(e))
		}
		return fmt.Sprintf("%s, sending %s to all workers:%s", e.Cause, text.SignalName(e.Signal), pids(e.Workers))
	case supervise.Signalled:
		return fmt.Sprintf("%s, sending %s to workers:%s", e.Cause, text.SignalName(e.Signal), pids(e.Workers))
	}
	return ""
}

// generationLine is about what becomes of a generation, or of the live one's workers
// together.
func generationLine(e supervise.Event, status func(int) string) string {
	switch e := e.(type) {
	case supervise.AttemptFailed:
		return failureLine(e, status)
	case supervise.GaveUp:
		if !e.Serving {
			return "" // the error of Run says it
		}
		serve := "the old workers serve on"
		if e.Replaced > 0 {
			serve = fmt.Sprintf("%s %s new, the old ones serve on", text.Count(e.Replaced, "worker"), text.Verb(e.Replaced, "is", "are"))
		}
		return fmt.Sprintf("giving the restart up after %s, %s: %v", text.Count(e.Attempts, "failed attempt"), serve, &e.Failure)
	case supervise.WentLive:
		switch {
		case e.Rolled:
			return fmt.Sprintf("all workers are of generation %d now", e.Generation)
		case !e.Asked && len(e.Old) == 0:
			return ""
		case e.Signal == nil:
			return fmt.Sprintf("new worker is now running, and the old ones stay:%s", pids(e.Old))
		}
		if e.Standby {
			return fmt.Sprintf("new worker is now running, old workers stand by for %s secs:%s", text.Seconds(e.Delay), pids(e.Old))
		}
		return fmt.Sprintf("new worker is now running, sending %s to old workers:%s%s", text.SignalName(e.Signal), pids(e.Old), sleeping(e.Delay, e.Old))
	case supervise.TookOver:
		var old []supervise.Worker
		if e.Old.Pid != 0 {
			old = append(old, e.Old)
		}
		return fmt.Sprintf("new worker %d is now running in slot %d, sending %s to old workers:%s%s", e.Pid, e.Slot, text.SignalName(e.Signal), pids(old), sleeping(e.Delay, old))
	case supervise.Retiring:
		return "killing old workers"
	case supervise.Shrinking:
		return fmt.Sprintf("sending %s to workers in excess:%s", text.SignalName(e.Signal), pids(e.Workers))
	}
	return ""
}

// trafficLine is about which generation gets connections.
func trafficLine(e supervise.Event) string {
	switch e := e.(type) {
	case supervise.Canary:
		return fmt.Sprintf("generation %d has proved itself, and gets %s of the connections for %s secs", e.Generation, supervise.Percent(e.Share), text.Seconds(e.For))
	case supervise.RolledBack:
		return fmt.Sprintf("%s: generation %d gets all connections again, and generation %d is told to go", e.Cause, e.To, e.From)
	case supervise.Promoted:
		return fmt.Sprintf("%s, generation %d need not wait any longer", e.Cause, e.Generation)
	case supervise.StandbyOver:
		if e.Died.Pid == 0 {
			return fmt.Sprintf("generation %d stands by no longer: its sockets are for the next one", e.Generation)
		}
		return fmt.Sprintf("generation %d stands by no longer, as its worker %d has died", e.Generation, e.Died.Pid)
	case supervise.SideBusy:
		return fmt.Sprintf("the next generation starts when these old workers have gone, as it needs their sockets:%s (a kill timeout bounds that)", pids(e.Workers))
	case supervise.Cleared:
		return fmt.Sprintf("closed %s that no worker had accepted", text.Count(e.Connections, "connection"))
	case supervise.SplitFailed:
		return fmt.Sprintf("connections do not go where they should: %v", e.Err)
	}
	return ""
}

// renewalLine is about a worker that is replaced between restarts.
func renewalLine(e supervise.Event) string {
	switch e := e.(type) {
	case supervise.Hung:
		if e.Probe != "" {
			return fmt.Sprintf("worker %d in slot %d hangs, as it does not pass its probe: %s", e.Pid, e.Slot, text.Line(e.Probe))
		}
		return fmt.Sprintf("worker %d in slot %d hangs: it has not said for %s secs that it is alive", e.Pid, e.Slot, exactly(e.Silent))
	case supervise.TooOld:
		return fmt.Sprintf("worker %d in slot %d is %s secs old, and gets a successor", e.Pid, e.Slot, about(e.Age))
	case supervise.TooLarge:
		if e.Since {
			return fmt.Sprintf("worker %d in slot %d has had %s of memory since its start, more than the limit of %s: it is not replaced, as the next one would have as much", e.Pid, e.Slot, text.Size(e.Memory), text.Size(e.Limit))
		}
		return fmt.Sprintf("worker %d in slot %d has %s of memory, more than the limit of %s, and gets a successor", e.Pid, e.Slot, text.Size(e.Memory), text.Size(e.Limit))
	case supervise.Renewed:
		if e.Old.Pid == 0 {
			return fmt.Sprintf("new worker %d has slot %d", e.Pid, e.Slot)
		}
		return fmt.Sprintf("new worker %d has slot %d, sending %s to worker %d%s", e.Pid, e.Slot, text.SignalName(e.Signal), e.Old.Pid, sleeping(e.Delay, []supervise.Worker{e.Old}))
	case supervise.RenewalFailed:
		return fmt.Sprintf("%s: the old worker in slot %d stays, sleeping %s secs before the next successor", text.Line(e.Error()), e.Slot, about(e.Pause))
	}
	return ""
}

// workerLine is about one worker.
func workerLine(e supervise.Event, verbose bool, status func(int) string) string {
	switch e := e.(type) {
	case supervise.Started:
		return fmt.Sprintf("starting new worker %d", e.Pid)
	case supervise.Proven:
		if e.Ready {
			return fmt.Sprintf("worker %d is ready after %s secs", e.Pid, exactly(e.After))
		}
		if verbose {
			return fmt.Sprintf("worker %d has lived for %s secs", e.Pid, exactly(e.After))
		}
	case supervise.Noticed:
		if verbose {
			return fmt.Sprintf("worker %d says: %q", e.Pid, e.Status)
		}
	case supervise.StrangeNotice:
		line := fmt.Sprintf("ignored a notice from process %d: it belongs to no worker, or ended before that could be seen", e.Pid)
		if e.More > 0 {
			line += fmt.Sprintf(", and %d more since the last such line", e.More)
		}
		return line
	case supervise.NotReady:
		if e.Probe != "" {
			return fmt.Sprintf("worker %d has not passed its probe after %s secs, sending %s: %s", e.Pid, exactly(e.Lived), text.SignalName(e.Signal), text.Line(e.Probe))
		}
		return fmt.Sprintf("worker %d was not ready after %s secs, sending %s", e.Pid, exactly(e.Lived), text.SignalName(e.Signal))
	case supervise.RefillFailed:
		return refillLine(e)
	case supervise.Died:
		switch {
		case e.Old && !e.Stop:
			return fmt.Sprintf("old worker %d died, status:%s", e.Pid, status(e.Status))
		case e.Replaced:
			return fmt.Sprintf("worker %d died unexpectedly with status:%s, restarting", e.Pid, status(e.Status))
		}
		return fmt.Sprintf("worker %d died, status:%s", e.Pid, status(e.Status))
	case supervise.Killed:
		return fmt.Sprintf("worker %d is still there %s secs after it was told to go, sending KILL", e.Pid, text.Seconds(e.After))
	case supervise.LeftBehind:
		if e.Told {
			return fmt.Sprintf("worker %d has left processes of its group behind, which were sent %s when it was:%s", e.Pid, text.SignalName(e.Signal), numbers(e.Pids))
		}
		return fmt.Sprintf("worker %d has left processes of its group behind, sending %s to them:%s", e.Pid, text.SignalName(e.Signal), numbers(e.Pids))
	case supervise.LeftKilled:
		return fmt.Sprintf("what worker %d has left behind is still there %s secs after it was told to go, sending KILL", e.Pid, text.Seconds(e.After))
	case supervise.SignalFailed:
		return fmt.Sprintf("cannot send %s to worker %d: %v", text.SignalName(e.Signal), e.Pid, e.Err)
	}
	return ""
}

// remedy is what ends a stop that does not end.
func remedy(e supervise.StopAsked) string {
	const few = 8 // so many numbers can be copied
	switch {
	case len(e.Workers) == 0:
		return ""
	case e.Kill > 0:
		return fmt.Sprintf(": KILL follows in %s secs", about(e.Kill))
	case len(e.Workers) == 1:
		return fmt.Sprintf(": kill -KILL %d ends it", e.Workers[0].Pid)
	case len(e.Workers) <= few:
		return fmt.Sprintf(": kill -KILL %s ends them", strings.ReplaceAll(pids(e.Workers), ",", " "))
	}
	return ": KILL ends them"
}

// sleeping is a second line for when old workers are told to go later.
func sleeping(delay time.Duration, old []supervise.Worker) string {
	if delay <= 0 || len(old) == 0 {
		return ""
	}
	return fmt.Sprintf("\nsleeping %s secs before killing old workers", text.Seconds(delay))
}

// refillLine is about a worker that has died, which another line tells, or that could
// not be started.
func refillLine(e supervise.RefillFailed) string {
	var lines []string
	if e.Err != nil {
		lines = append(lines, fmt.Sprintf("cannot start a worker: %v", e.Err))
	}
	if e.Slow {
		lines = append(lines, fmt.Sprintf("sleeping %s secs before the next worker in slot %d", about(e.Pause), e.Slot))
	}
	return strings.Join(lines, "\n")
}

func failureLine(e supervise.AttemptFailed, status func(int) string) string {
	line := fmt.Sprintf("new worker %d seems to have failed to start, exit status:%s", e.Pid, status(e.Status))
	switch {
	case e.Share > 0 && e.Err == nil:
		line = e.Failure.Error() + ": its clients go to the old one again"
	case e.Unfit:
		line = fmt.Sprintf("new worker %d seems to have failed to start: it says that it is not fit to serve%s", e.Pid, said(e.Said))
	case e.Probe != "":
		line = fmt.Sprintf("new worker %d seems to have failed to start, its probe not passed after %s secs: %s", e.Pid, exactly(e.Lived), text.Line(e.Probe))
	case e.Late:
		line = fmt.Sprintf("new worker %d seems to have failed to start, not ready after %s secs%s", e.Pid, exactly(e.Lived), said(e.Said))
	case e.Said != "":
		line += said(e.Said)
	case e.Err != nil:
		line = fmt.Sprintf("new worker of generation %d failed to start: %v", e.Generation, e.Err)
	}
	if e.Slow {
		line += fmt.Sprintf("\nsleeping %s secs before the next attempt", about(e.Pause))
	}
	return line
}

// said adds a worker's last words.
func said(status string) string {
	if status == "" {
		return ""
	}
	return fmt.Sprintf(", its last status: %q", status)
}

// exactly is for a time that was measured, about for one that is still to come.
func exactly(d time.Duration) string { return text.Seconds(d.Round(time.Millisecond)) }
func about(d time.Duration) string   { return text.Seconds(d.Round(100 * time.Millisecond)) }

// pids joins the pids of workers.
func pids(workers []supervise.Worker) string {
	if len(workers) == 0 {
		return "none"
	}
	var list []int
	for _, w := range workers {
		list = append(list, w.Pid)
	}
	return numbers(list)
}

func numbers(list []int) string {
	var words []string
	for _, n := range list {
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ",")
}
