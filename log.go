package starter

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// observe tells the world what the loop does.
func (s *Starter) observe(e supervise.Event) {
	switch e := e.(type) {
	case supervise.Started:
		s.started.Do(func() { go s.config.Started() })
	case supervise.AttemptFailed:
		s.out.Keep(e.Generation)
	case supervise.Died:
		sockets := s.sockets
		s.out.Do(func() { s.checkPaths(sockets) })
	}
	s.updateStatus(e)
	if s.manager != nil {
		s.manager.observe(e)
	}
	line := s.line(e)
	if s.control != nil {
		s.publish(e, line)
	}
	if line != "" {
		s.out.Printf("%s", line)
	}
}

// line is the log line of an event, "" if there is none. Operators grep for
// these: they are the original's to the letter wherever it has the event.
func (s *Starter) line(e supervise.Event) string {
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
			return fmt.Sprintf("autorestart triggered (forced, interval=%s)", seconds(e.After))
		}
		return fmt.Sprintf("autorestart triggered (interval=%s)", seconds(e.After))
	case supervise.Started:
		return fmt.Sprintf("starting new worker %d", e.Pid)
	case supervise.AttemptFailed:
		return s.failureLine(e)
	case supervise.Proven:
		if s.config.Ready == ReadyNotify {
			return fmt.Sprintf("worker %d is ready after %s secs", e.Pid, seconds(e.After.Round(time.Millisecond)))
		}
		if s.config.Verbose {
			return fmt.Sprintf("worker %d has lived for %s secs", e.Pid, seconds(e.After.Round(time.Millisecond)))
		}
	case supervise.Noticed:
		if s.config.Verbose {
			return fmt.Sprintf("worker %d says: %q", e.Pid, e.Status)
		}
	case supervise.StrangeNotice:
		line := fmt.Sprintf("ignored a notice from process %d, which is no worker's, or was gone too soon to tell whose it is", e.Pid)
		if e.More > 0 {
			line += fmt.Sprintf(", and %d more since the last such line", e.More)
		}
		return line
	case supervise.NotReady:
		return fmt.Sprintf("worker %d was not ready after %s secs, sending TERM", e.Pid, seconds(e.Lived.Round(time.Millisecond)))
	case supervise.GaveUp:
		if e.Serving {
			who := "the old workers serve on"
			if e.Replaced > 0 {
				who = fmt.Sprintf("%s are new, the old ones serve on", count(e.Replaced, "worker"))
			}
			return fmt.Sprintf("giving the restart up after %s, %s: %v", count(e.Attempts, "failed attempt"), who, &e.Failure)
		}
	case supervise.Resized:
		return fmt.Sprintf("%s, running %s from now on", e.Cause, count(e.Workers, "worker"))
	case supervise.StopDelayed:
		if e.Repeated {
			return fmt.Sprintf("%s again, serving on for %s secs yet", e.Cause, seconds(e.Delay.Round(100*time.Millisecond)))
		}
		return fmt.Sprintf("%s, serving on for %s secs before stopping", e.Cause, seconds(e.Delay))
	case supervise.Shrinking:
		return fmt.Sprintf("sending %s to workers in excess:%s", signalName(e.Signal), pids(e.Workers))
	case supervise.RefillFailed:
		return s.refillLine(e)
	case supervise.TookOver:
		return s.tookOverLine(e)
	case supervise.WentLive:
		if e.Rolled {
			return fmt.Sprintf("all workers are of generation %d now", e.Generation)
		}
		if !e.Asked && len(e.Old) == 0 {
			return ""
		}
		if s.config.KeepOld {
			return fmt.Sprintf("new worker is now running, and the old ones stay:%s", pids(e.Old))
		}
		line := fmt.Sprintf("new worker is now running, sending %s to old workers:%s", signalName(s.config.SignalOnHUP), pids(e.Old))
		if e.Delay > 0 && len(e.Old) > 0 {
			line += fmt.Sprintf("\nsleeping %s secs before killing old workers", seconds(e.Delay))
		}
		return line
	case supervise.Retiring:
		return "killing old workers"
	case supervise.Died:
		return s.diedLine(e)
	case supervise.StopAsked:
		if e.Repeated {
			return fmt.Sprintf("%s again, still waiting for workers:%s", e.Cause, pids(e.Workers))
		}
		return fmt.Sprintf("%s, sending %s to all workers:%s", e.Cause, signalName(e.Signal), pids(e.Workers))
	case supervise.Killed:
		return fmt.Sprintf("worker %d is still there %s secs after it was told to go, sending KILL", e.Pid, seconds(e.After))
	case supervise.Signalled:
		return fmt.Sprintf("%s, sending %s to workers:%s", e.Cause, signalName(e.Signal), pids(e.Workers))
	case supervise.SignalFailed:
		return fmt.Sprintf("cannot send %s to worker %d: %v", signalName(e.Signal), e.Pid, e.Err)
	}
	return ""
}

func (s *Starter) tookOverLine(e supervise.TookOver) string {
	var old []supervise.Worker
	if e.Old.Pid != 0 {
		old = append(old, e.Old)
	}
	line := fmt.Sprintf("new worker %d is now running in slot %d, sending %s to old workers:%s", e.Pid, e.Slot, signalName(s.config.SignalOnHUP), pids(old))
	if e.Delay > 0 && len(old) > 0 {
		line += fmt.Sprintf("\nsleeping %s secs before killing old workers", seconds(e.Delay))
	}
	return line
}

// refillLine is about a worker that has died by now, which has a line of its own,
// or was never there.
func (s *Starter) refillLine(e supervise.RefillFailed) string {
	var lines []string
	if e.Err != nil {
		lines = append(lines, fmt.Sprintf("cannot start a worker: %v", e.Err))
	}
	if e.Pause > s.config.Interval {
		lines = append(lines, fmt.Sprintf("sleeping %s secs before the next worker in slot %d", seconds(e.Pause.Round(100*time.Millisecond)), e.Slot))
	}
	return strings.Join(lines, "\n")
}

func (s *Starter) failureLine(e supervise.AttemptFailed) string {
	line := fmt.Sprintf("new worker %d seems to have failed to start, exit status:%d", e.Pid, e.Status)
	switch {
	case e.Late:
		line = fmt.Sprintf("new worker %d seems to have failed to start, not ready after %s secs%s", e.Pid, seconds(e.Lived.Round(time.Millisecond)), said(e.Said))
	case e.Said != "":
		line += said(e.Said)
	case e.Err != nil:
		line = fmt.Sprintf("new worker of generation %d failed to start: %v", e.Generation, e.Err)
	}
	if e.Pause > s.config.Interval {
		line += fmt.Sprintf("\nsleeping %s secs before the next attempt", seconds(e.Pause.Round(100*time.Millisecond)))
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

func (s *Starter) diedLine(e supervise.Died) string {
	switch {
	case e.Stop || s.config.NoRefill && e.State == supervise.Live:
		return fmt.Sprintf("worker %d died, status:%d", e.Pid, e.Status)
	case e.State == supervise.Live && !e.Heir && !e.Excess:
		return fmt.Sprintf("worker %d died unexpectedly with status:%d, restarting", e.Pid, e.Status)
	}
	return fmt.Sprintf("old worker %d died, status:%d", e.Pid, e.Status)
}

// pids joins the pids of workers.
func pids(workers []supervise.Worker) string {
	if len(workers) == 0 {
		return "none"
	}
	var words []string
	for _, w := range workers {
		words = append(words, strconv.Itoa(w.Pid))
	}
	return strings.Join(words, ",")
}
