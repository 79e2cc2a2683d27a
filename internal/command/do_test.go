package command

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat/go-server-starter/internal/control"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

const stopping = "the superdaemon is stopping"

func TestRestart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"restart", "upgrade"} {
		live(t, supervise.Config{}, nil, func(h *house) {
			asked := time.Now()
			assert.Equal(t, control.Answer{OK: true, Message: "generation 2 is live", Generation: 2}, h.ask(name))
			assert.Equal(t, time.Second, time.Since(asked), "answered when it has proved itself")
		})
	}
}

func TestRestartThatFails(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		h.set(func() { h.dies = 100 * time.Millisecond })
		assert.Equal(t, control.Answer{
			Error: "new worker 201 of generation 2 failed after 100ms: exit code 1", Log: []string{"its last", "words"},
		}, h.ask("restart"))
		assert.Equal(t, []int{2}, h.tails, "of that generation")
	})
}

func TestRestartWhileStopping(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, func(h *house) { h.stubborn = true }, func(h *house) {
		h.ask("stop")
		refused(t, stopping, h.ask("restart"))
		assert.Empty(t, h.tails, "no attempt has failed")
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
		assert.Equal(t, control.Answer{OK: true}, h.ask("stop"))
		assert.Equal(t, []os.Signal{syscall.SIGTERM}, h.signals(101))
		assert.Equal(t, []os.Signal{syscall.SIGTERM}, h.signals(111))
	})
}

func TestStopAfterADelay(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"stop", "die"} {
		live(t, supervise.Config{}, func(h *house) { h.c.StopDelay = 30 * time.Second }, func(h *house) {
			assert.True(t, h.ask(name).OK)
			h.passes(30*time.Second - 1)
			assert.Empty(t, h.signals(101))
			h.passes(1)
			assert.Len(t, h.signals(101), 1)
		})
	}
}

func TestDie(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		request control.Request
		signal  os.Signal
	}{
		{control.Request{}, syscall.SIGQUIT},
		{control.Request{Args: []string{"INT"}}, syscall.SIGINT},
		{control.Request{Signal: "sigint"}, syscall.SIGINT},
	} {
		live(t, supervise.Config{}, nil, func(h *house) {
			row.request.Command = "die"
			assert.Equal(t, control.Answer{OK: true, Message: self() + " is going down"}, h.request(row.request))
			assert.Equal(t, []os.Signal{row.signal}, h.signals(101))
		})
	}
}

func TestDieByNoSignal(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		assert.Contains(t, h.request(control.Request{Command: "die", Args: []string{"NOSUCH"}}).Error, `signal "NOSUCH" is not one of ABRT `)
		refused(t, "one signal at a time, and not 2", h.request(control.Request{Command: "die", Args: []string{"INT", "TERM"}}))
		assert.Empty(t, h.signals(101))
		assert.Empty(t, heard[supervise.StopAsked](h))
	})
}

func TestOneWorkerMoreAndLess(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		asked := time.Now()
		assert.Equal(t, control.Answer{OK: true, Message: "now there are 2 workers: worker 111 has proved itself", Pids: []int{111}}, h.ask("inc"))
		assert.Equal(t, time.Second, time.Since(asked))
		assert.Equal(t, control.Answer{OK: true, Message: "now there are 3 workers: worker 121 has proved itself", Pids: []int{121}}, h.ask("inc"))
		assert.Equal(t, control.Answer{OK: true, Message: "now there are 2 workers: worker 121 is gone", Pids: []int{121}}, h.ask("dec"))
		assert.Equal(t, control.Answer{OK: true, Message: "now there is 1 worker: worker 111 is gone", Pids: []int{111}}, h.ask("dec"))
		refused(t, "there is one worker, the least there can be", h.ask("dec"))
	})
}

func TestOneWorkerLessWhereNoneWas(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
		h.set(func() { h.broken = errors.New("no such file") })
		h.exit(111, 9)
		assert.Equal(t, control.Answer{OK: true, Message: "now there is 1 worker"}, h.ask("dec"))
	})
}

func TestOneWorkerMoreThatFails(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		h.set(func() { h.dies = 100 * time.Millisecond })
		refused(t, "new worker 111 of generation 1 failed after 100ms: exit code 1; 2 workers are wanted, and it is tried again", h.ask("inc"))
		assert.Len(t, heard[supervise.Resized](h), 1)
	})
}

func TestOneWorkerMoreWhenStopping(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, func(h *house) { h.stubborn = true }, func(h *house) {
		time.AfterFunc(time.Second/2, func() { h.c.Do(operator, control.Request{Command: "stop"}) })
		refused(t, stopping, h.ask("inc"))
		refused(t, stopping, h.ask("inc"))
	})
}

func TestNumberOfWorkers(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, nil, func(h *house) {
		asked := time.Now()
		assert.Equal(t, control.Answer{OK: true}, h.request(control.Request{Command: "workers", Workers: 3}))
		assert.Zero(t, time.Since(asked), "answered when it is wanted")
		h.passes(time.Second)
		assert.Len(t, h.procs, 3)
		assert.Equal(t, control.Answer{OK: true}, h.request(control.Request{Command: "workers", Workers: 1}))
		assert.Len(t, h.signals(121), 1)
	})
}

func TestNumberOfWorkersHasBounds(t *testing.T) {
	t.Parallel()
	// A generation takes long to begin, so that not so many workers are started.
	live(t, supervise.Config{}, func(h *house) { h.begins = time.Hour }, func(h *house) {
		refused(t, `"workers" is 0, which is not from 1 to 10000`, h.ask("workers"))
		refused(t, `"workers" is -1, which is not from 1 to 10000`, h.request(control.Request{Command: "workers", Workers: -1}))
		refused(t, `"workers" is 10001, which is not from 1 to 10000`, h.request(control.Request{Command: "workers", Workers: 10001}))
		assert.Equal(t, control.Answer{OK: true}, h.request(control.Request{Command: "workers", Workers: 10000}))
		assert.Equal(t, control.Answer{OK: true}, h.request(control.Request{Command: "workers", Workers: 1}))
		assert.Equal(t, []int{10000, 1}, []int{heard[supervise.Resized](h)[0].Workers, heard[supervise.Resized](h)[1].Workers})
		h.ask("stop")
		refused(t, stopping, h.request(control.Request{Command: "workers", Workers: 2}))
	})
}

func TestNumberOfWorkersThatWasNotGiven(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{}, func(h *house) { h.c.Resizable = false }, func(h *house) {
		for _, r := range []control.Request{{Command: "inc"}, {Command: "dec"}, {Command: "workers"}, {Command: "workers", Workers: 2}} {
			refused(t, "the number of workers can be changed only if it was given at the start", h.request(r))
		}
		assert.Empty(t, heard[supervise.Resized](h))
	})
}

func TestSignal(t *testing.T) {
	t.Parallel()
	slot := func(n int) *int { return &n }
	for _, row := range []struct {
		request control.Request
		pids    []int
	}{
		{control.Request{Signal: "HUP"}, []int{101, 111}},
		{control.Request{Args: []string{"SIGHUP"}}, []int{101, 111}},
		{control.Request{Signal: "hup", Slot: slot(0)}, []int{101}},
		{control.Request{Signal: "HUP", Slot: slot(1)}, []int{111}},
	} {
		live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
			row.request.Command = "signal"
			assert.Equal(t, control.Answer{OK: true, Pids: row.pids}, h.request(row.request))
			for _, pid := range row.pids {
				assert.Equal(t, []os.Signal{syscall.SIGHUP}, h.signals(pid))
			}
		})
	}
}

func TestSignalThatCannotBeSent(t *testing.T) {
	t.Parallel()
	live(t, supervise.Config{Workers: 2}, nil, func(h *house) {
		slot := 2
		refused(t, "there is no worker in slot 2", h.request(control.Request{Command: "signal", Signal: "HUP", Slot: &slot}))
		assert.Contains(t, h.ask("signal").Error, `signal "" is not one of ABRT `)
		assert.Contains(t, h.request(control.Request{Command: "signal", Signal: "NOSUCH"}).Error, `signal "NOSUCH" is not one of ABRT `)
		assert.Empty(t, h.signals(101))
		h.ask("stop")
		refused(t, stopping, h.request(control.Request{Command: "signal", Signal: "HUP"}))
	})
	live(t, supervise.Config{}, func(h *house) { h.begins = time.Hour }, func(h *house) {
		refused(t, "there is no worker", h.request(control.Request{Command: "signal", Signal: "HUP"}))
	})
}

func TestAcknowledge(t *testing.T) {
	t.Parallel()
	notified := supervise.Config{Proof: supervise.Notified(time.Hour)}
	acknowledged := func(h *house) { h.c.Acknowledged = true }
	ack := control.Request{Command: "worker:ack"}
	live(t, notified, acknowledged, func(h *house) {
		stranger := control.Peer{Pid: 7001, Ancestors: []int{7001, 1}}
		refused(t, "process 7001 belongs to no worker", h.c.Do(stranger, ack))
		assert.Empty(t, heard[supervise.Proven](h))
		descendant := control.Peer{Pid: 7002, Ancestors: []int{7002, 101, 1}, OfWorkers: true, UID: 33}
		assert.Equal(t, control.Answer{OK: true}, h.c.Do(descendant, ack))
		assert.Equal(t, 101, heard[supervise.Proven](h)[0].Pid)
		h.ask("stop")
		refused(t, stopping, h.c.Do(descendant, ack))
	})
	live(t, notified, nil, func(h *house) {
		assert.Equal(t, control.Answer{OK: true}, h.c.Do(control.Peer{Pid: 101, Ancestors: []int{101}}, ack))
		assert.Empty(t, heard[supervise.Proven](h), "nobody has asked for that")
	})
}

func TestReopenSaysWhatWasDoneOrWhyNot(t *testing.T) {
	t.Parallel()
	var causes []string
	err := error(nil)
	c := &Commands{Reopen: func(_ context.Context, cause string) (string, error) {
		causes = append(causes, cause)
		return "100 % new", err
	}}
	request := control.Request{Command: "reopen"}
	assert.Equal(t, control.Answer{OK: true, Message: "100 % new"}, c.Do(operator, request))
	assert.Equal(t, []string{"reopen asked for by process 4711"}, causes)
	err = errors.New("permission denied")
	refused(t, "permission denied", c.Do(operator, request))
	assert.False(t, c.Do(control.Peer{OfWorkers: true}, request).OK, "it is not for workers")
	assert.Len(t, causes, 2)
}
