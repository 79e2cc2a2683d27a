package command

import (
	"context"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func seconds(n float64) *float64 { return &n }

func (h *house) at(second float64) time.Time {
	return h.began.Add(time.Duration(second * float64(time.Second)))
}

func TestStatusOfOneThatServes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"status", "state"} {
		live(t, supervise.Config{}, nil, func(h *house) {
			assert.Equal(t, control.Answer{OK: true, Message: self() + " is serving", Status: &control.Status{
				Name: "start_server", Pid: os.Getpid(), State: supervise.PhaseServing,
				Started: h.began, Uptime: 60, Generation: 1, WantedWorkers: 1, Version: "1.2.3", ImageSince: h.began, Upgrades: 3,
				Workers: []control.Worker{{
					ID: control.ID{Generation: 1, Pid: 101}, State: supervise.StateLive, Age: 60, ReadyAfter: seconds(1),
				}},
				Sockets: []control.Socket{{Name: "8080", Network: "tcp", FD: 3}},
			}}, h.ask(name))
		})
	}
}

func TestStatusOfARestart(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
		go h.ask("restart")
		h.passes(0)
		words := "warming up"
		h.c.Sup.Notify(context.Background(), supervise.Notice{Pids: []int{211}, Status: &words})
		h.passes(500 * time.Millisecond)
		s := h.ask("status").Status
		assert.Equal(t, supervise.PhaseRestarting, s.State)
		assert.Equal(t, []int{1, 2}, []int{s.Generation, s.Starting})
		assert.Zero(t, s.Restarts)
		require.Len(t, s.Workers, 4)
		assert.Equal(t, control.Worker{
			ID: control.ID{Generation: 2, Slot: 0, Pid: 201}, State: supervise.StateProving, Age: 0.5, Restarts: 1,
		}, s.Workers[2], "the second in its slot, and not yet proven")
		assert.Equal(t, "warming up", s.Workers[3].Says)
		h.passes(time.Second)
		s = h.ask("status").Status
		assert.Equal(t, supervise.PhaseDraining, s.State)
		assert.Equal(t, supervise.StateOld, s.Workers[0].State)
		assert.Equal(t, 1, s.Restarts)
	})
}

func TestStatusOfAWorkerThatIsMissing(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
		h.exit(111, 9)
		h.passes(200 * time.Millisecond)
		h.exit(112, 1<<8)
		h.passes(300 * time.Millisecond)
		s := h.ask("status").Status
		assert.Equal(t, supervise.PhaseRefilling, s.State)
		assert.Equal(t, 2, s.WantedWorkers)
		require.Len(t, s.Workers, 2)
		assert.Equal(t, control.Worker{
			ID: control.ID{Generation: 1, Slot: 1}, State: supervise.StateMissing, Restarts: 1, NextTry: seconds(0.5),
			LastExit: &control.Exit{Pid: 112, Status: 1 << 8, Text: "exit code 1", At: h.at(60.2), Lived: 0.2},
		}, s.Workers[1])
	})
}

// A slot that was never filled has no restarts. The next try is not in the past, even if it
// is overdue.
func TestStatusOfAWorkerThatNeverWas(t *testing.T) {
	t.Parallel()
	w := worker(supervise.WorkerStatus{State: supervise.StateMissing}, time.Now())
	assert.Equal(t, control.Worker{State: supervise.StateMissing, NextTry: seconds(0)}, w)
}

func TestStatusOfAFailure(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Attempts: 1}, nil, func(h *house) {
		h.set(func() { h.dies = 100 * time.Millisecond })
		h.ask("restart")
		h.passes(time.Second)
		h.tails = nil
		s := h.ask("status").Status
		assert.Equal(t, &control.Failure{
			Generation: 2, Reason: "new worker 201 of generation 2 failed after 100ms: exit code 1",
			At: h.at(60.1), GivenUp: true, Log: []string{"its last", "words"},
		}, s.Failure)
		assert.Equal(t, []int{2}, h.tails)
	})
}

func TestStatusOfAStopDelay(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, func(h *house) { h.c.StopDelay = 30 * time.Second }, func(h *house) {
		assert.Nil(t, h.ask("status").Status.StopsAt)
		h.ask("stop")
		h.passes(10 * time.Second)
		a := h.ask("status")
		assert.Equal(t, self()+" is stop delay", a.Message)
		at := h.at(90)
		assert.Equal(t, &at, a.Status.StopsAt)
		assert.Equal(t, 70.0, a.Status.Uptime)
	})
}

func TestStatusOfOneThatIsStarting(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, func(h *house) { h.begins = time.Hour }, func(h *house) {
		s := h.ask("status").Status
		assert.Equal(t, supervise.PhaseStarting, s.State)
		assert.Equal(t, []control.Worker{}, s.Workers, "a list, though an empty one")
	})
}

func TestStatusAfterTheEnd(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		h.ask("stop")
		h.passes(0)
		refused(t, stopping, h.ask("status"))
		_, err := h.c.Status(context.Background())
		assert.ErrorIs(t, err, supervise.ErrStopping)
	})
}

// The clock is set back by a year after an event. By the new clock the event was as long ago
// as it really was.
func TestTimesAreToldByTheClockAsItIsNow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	event := now.Add(-time.Minute)
	*(*uint64)(unsafe.Pointer(&event)) += 365 * 24 * 3600 << 30 // only the seconds of its wall clock
	assert.Equal(t, time.Minute, now.Sub(event), "the monotonic clock knows")
	assert.Equal(t, now.Add(-time.Minute).UnixMilli(), onClock(event, now).UnixMilli())
}
