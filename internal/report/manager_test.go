package report

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/output"
	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

func TestManagerHearsOfStartRestartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) { u.drain = time.Minute })
		u.starts()
		u.hears(time.Hour)
		u.restart()
		u.hears(0, "RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting")
		u.hears(time.Second, "READY=1 STATUS=generation 2: 1 worker serves; 1 old worker draining")
		u.hears(time.Minute, "STATUS=generation 2: 1 worker serves")
		u.stop(0)
		u.hears(0, "STOPPING=1 STATUS=stopping: 1 worker draining")
		u.hears(time.Minute, "STATUS=stopped")
		assert.NoError(t, <-u.ended)
	})
}

func TestManagerHearsReadyWhenNoRestartIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.restart()
		u.hears(500*time.Millisecond, "RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting")
		u.restart()
		u.restart()
		u.hears(0, "EXTEND_TIMEOUT_USEC=7000000")
		u.hears(500*time.Millisecond,
			"STATUS=generation 2: 1 worker serves; 1 old worker draining; generation 3 is starting",
			"STATUS=generation 2: 1 worker serves; generation 3 is starting")
		u.hears(time.Second,
			"RELOADING=1 MONOTONIC_USEC=3 READY=1 STATUS=generation 3: 1 worker serves; 1 old worker draining",
			"STATUS=generation 3: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

func TestManagerHearsOfARestartDuringTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.hears(0, "EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1 is starting")
		u.restart()
		u.hears(0, "EXTEND_TIMEOUT_USEC=7000000")
		u.hears(time.Second, "READY=1",
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting")
		u.hears(time.Second, "READY=1 STATUS=generation 2: 1 worker serves; 1 old worker draining", "STATUS=generation 2: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

func TestManagerHearsOfARestartThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{Attempts: 2}, nil)
		u.starts()
		u.set(func() { u.dies = 100 * time.Millisecond })
		u.restart()
		u.hears(time.Hour,
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting",
			"STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; trying again",
			"STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; generation 3 is starting",
			"READY=1 STATUS=restart failed: new worker 3 of generation 3 failed after 100ms: exit code 1; generation 1 serves on")
		u.set(func() { u.dies = 0 })
		u.restart()
		u.hears(time.Hour,
			"RELOADING=1 MONOTONIC_USEC=2 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 4 is starting",
			"READY=1 STATUS=generation 4: 1 worker serves; 1 old worker draining",
			"STATUS=generation 4: 1 worker serves")
		u.stop(0)
		u.hears(0, "STOPPING=1 STATUS=stopping: 1 worker draining", "STATUS=stopped")
		<-u.ended
	})
}

// Without a bound the next attempt follows, but the request for the restart is
// answered with the first failure, and the manager hears of it, too.
func TestManagerHearsOfTheFirstFailureOfUnboundedAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.set(func() { u.dies = 100 * time.Millisecond })
		u.restart()
		u.hears(200*time.Millisecond,
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting",
			"READY=1 STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; trying again")
		u.set(func() { u.dies = 0 })
		u.hears(time.Hour,
			"STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; generation 3 is starting",
			"STATUS=generation 3: 1 worker serves; 1 old worker draining",
			"STATUS=generation 3: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

// A failure that decides nothing, because another restart was asked for, is not told
// as the end.
func TestManagerHearsReadyAfterAFailureOnlyWhenNoRestartIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.set(func() { u.dies = 100 * time.Millisecond })
		u.restart()
		u.hears(50*time.Millisecond, "RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting")
		u.restart()
		u.set(func() { u.dies = 0 })
		u.hears(100*time.Millisecond, "EXTEND_TIMEOUT_USEC=7000000",
			"STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; trying again")
		u.hears(time.Hour,
			"STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on; generation 3 is starting",
			"RELOADING=1 MONOTONIC_USEC=2 READY=1 STATUS=generation 3: 1 worker serves; 1 old worker draining",
			"STATUS=generation 3: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

// A crash is no reload, and a restart by the clock is none.
func TestManagerHearsOfACrashByStatusOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) { u.dies = time.Minute })
		u.starts()
		u.set(func() { u.dies = 0 })
		u.hears(time.Hour, "STATUS=no worker serves; generation 2 is starting", "STATUS=generation 2: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

func TestManagerHearsOfACrashDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) { u.dies = 1500 * time.Millisecond })
		u.starts()
		u.set(func() { u.dies = 0 })
		u.restart()
		u.hears(time.Hour,
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting",
			"STATUS=no worker serves; generation 2 is starting",
			"READY=1 STATUS=generation 2: 1 worker serves")
		u.stop(0)
		<-u.ended
	})
}

func TestManagerHearsOfAStopDuringAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.restart()
		u.hears(0, "RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting")
		u.stop(20 * time.Second)
		u.hears(0, "STOPPING=1 EXTEND_TIMEOUT_USEC=25000000 STATUS=serving on for 20 secs before stopping; generation 1: 1 worker serves; generation 2 is starting")
		u.restart() // is refused
		u.hears(2*time.Second,
			"STATUS=serving on for 20 secs before stopping; generation 2: 1 worker serves; 1 old worker draining",
			"STATUS=serving on for 20 secs before stopping; generation 2: 1 worker serves")
		u.stop(0)
		u.stop(0)
		u.hears(0, "STATUS=stopping: 1 worker draining", "STATUS=stopped")
		assert.NoError(t, <-u.ended)
	})
}

func TestManagerHearsOfAStartThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{Attempts: 2}, func(u *unit) { u.dies = 100 * time.Millisecond })
		u.hears(time.Hour,
			"EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1 is starting",
			"STATUS=start failed: new worker 1 of generation 1 failed after 100ms: exit code 1; trying again",
			"STATUS=start failed: new worker 1 of generation 1 failed after 100ms: exit code 1; generation 2 is starting",
			"STOPPING=1 STATUS=failed: new worker 2 of generation 2 failed after 100ms: exit code 1")
		assert.Error(t, <-u.ended)
	})
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) { u.broken = errors.New("no such file") })
		u.hears(time.Hour,
			"EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1 is starting",
			"STOPPING=1 STATUS=failed: generation 1 could not be started: no such file")
		assert.Error(t, <-u.ended)
	})
}

func TestManagerHearsOfAnEndBeforeTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{t: t}
		u.manager = NewManager(nil, nil)
		u.manager.send = u.hear
		u.manager.End(errors.New("the port\nis in use"))
		u.hears(0, "STOPPING=1 STATUS=failed: the port?is in use")
	})
	var none *Manager
	none.End(errors.New("nobody wants to know")) // and nothing happens
}

// The manager's timeout for a start or restart is extended until our own bound for it
// is over.
func TestManagersTimeoutIsExtendedForTheReadyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{Proof: supervise.Notified(59 * time.Second)}, nil)
		u.hears(35*time.Second,
			"EXTEND_TIMEOUT_USEC=30000000 STATUS=generation 1 is starting",
			"EXTEND_TIMEOUT_USEC=30000000", "EXTEND_TIMEOUT_USEC=30000000", "EXTEND_TIMEOUT_USEC=30000000")
		u.hears(25*time.Second, "EXTEND_TIMEOUT_USEC=25000000", "EXTEND_TIMEOUT_USEC=15000000",
			"STATUS=start failed: new worker 1 of generation 1 was not ready after 59s; generation 2 is starting")
		// The first attempt has failed, and the number of those to come has no bound.
		u.hears(2*time.Minute,
			"STATUS=start failed: new worker 2 of generation 2 was not ready after 59s; generation 3 is starting",
			"STATUS=start failed: new worker 3 of generation 3 was not ready after 59s; generation 4 is starting")
		u.stop(0)
		<-u.ended
	})
}

func TestManagersTimeoutIsExtendedForTheKillTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{KillTimeout: 40 * time.Second}, func(u *unit) { u.stubborn = true })
		u.starts()
		u.stop(25 * time.Second)
		u.hears(24*time.Second,
			"STOPPING=1 EXTEND_TIMEOUT_USEC=30000000 STATUS=serving on for 25 secs before stopping; generation 1: 1 worker serves",
			"EXTEND_TIMEOUT_USEC=30000000", "EXTEND_TIMEOUT_USEC=30000000")
		u.hears(40*time.Second,
			"EXTEND_TIMEOUT_USEC=30000000 STATUS=stopping: 1 worker draining",
			"EXTEND_TIMEOUT_USEC=30000000", "EXTEND_TIMEOUT_USEC=25000000", "EXTEND_TIMEOUT_USEC=15000000")
		u.hears(time.Second, "STATUS=stopped")
		assert.NoError(t, <-u.ended)
	})
}

// Without a kill timeout the stop may take for ever, and the manager's own timeout
// counts.
func TestManagersTimeoutIsNotExtendedForAStopWithoutAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) { u.drain = time.Hour })
		u.starts()
		u.stop(12 * time.Second)
		u.hears(20*time.Minute,
			"STOPPING=1 EXTEND_TIMEOUT_USEC=17000000 STATUS=serving on for 12 secs before stopping; generation 1: 1 worker serves",
			"EXTEND_TIMEOUT_USEC=7000000",
			"STATUS=stopping: 1 worker draining")
		<-u.ended
	})
}

func TestManagerHearsOfARollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{Workers: 2, Replace: supervise.Rolling(1), KillTimeout: time.Minute}, func(u *unit) { u.drain = 15 * time.Second })
		u.hears(time.Second,
			"EXTEND_TIMEOUT_USEC=30000000 STATUS=generation 1 is starting",
			"READY=1 STATUS=generation 1: 2 workers serve")
		u.restart()
		u.hears(time.Minute,
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=30000000 STATUS=generation 1: 2 workers serve; generation 2 is starting",
			"STATUS=generation 2: 2 workers serve; 1 old worker draining; generation 2 is taking over",
			"EXTEND_TIMEOUT_USEC=30000000",
			"STATUS=generation 2: 2 workers serve; generation 2 is taking over",
			"READY=1 STATUS=generation 2: 2 workers serve; 1 old worker draining",
			"STATUS=generation 2: 2 workers serve")
		u.stop(0)
		<-u.ended
	})
}

func TestWatchdogHearsOfALoopThatAnswersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) {
			u.manager.watch = 2 * time.Second
			u.drain = 5 * time.Second
		})
		u.hears(0, "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1 is starting")
		u.hears(7*time.Second, "READY=1 STATUS=generation 1: 1 worker serves", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1")

		hang := make(chan struct{})
		u.set(func() { u.busy = hang })
		u.restart()
		u.hears(time.Hour)
		close(hang)
		u.hears(time.Second, "WATCHDOG=1",
			"RELOADING=1 MONOTONIC_USEC=1 STATUS=generation 1: 1 worker serves; generation 2 is starting",
			"EXTEND_TIMEOUT_USEC=7000000",
			"READY=1 STATUS=generation 2: 1 worker serves; 1 old worker draining")
		u.hears(3*time.Second, "WATCHDOG=1", "WATCHDOG=1")
		u.stop(0)
		u.hears(time.Hour, "STOPPING=1 STATUS=stopping: 2 workers draining",
			"WATCHDOG=1", "STATUS=stopping: 1 worker draining", "WATCHDOG=1", "STATUS=stopped")
		<-u.ended
	})
}

func TestManagerThatIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, func(u *unit) {
			u.manager.send = func(string) error { return errors.New("connection refused") }
		})
		u.hears(time.Minute)
		u.restart()
		u.hears(time.Minute)
		u.stop(0)
		assert.NoError(t, <-u.ended)
		assert.Equal(t, []string{"the service manager is not told, as its socket, NOTIFY_SOCKET, cannot be written to: connection refused"}, u.logged)
	})
}

// A manager that does not read holds up neither the loop nor, for long, the end.
func TestManagerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		u := runUnit(t, supervise.Config{}, func(u *unit) {
			u.manager.send = func(string) error { <-hang; return nil }
			u.manager.watch = time.Second
		})
		u.hears(time.Hour)
		assert.LessOrEqual(t, u.manager.waiting.Load(), int32(maxWaiting), "what is left out comes again")
		began := time.Now()
		u.stop(0)
		assert.NoError(t, <-u.ended)
		assert.Equal(t, output.FlushTime, time.Since(began))
		close(hang)
	})
}

// Not parallel: the environment is the process's.

func TestWatchdogIsOursOnly(t *testing.T) {
	pid := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
		logged    bool
	}{
		{"200000", "", 100 * time.Millisecond, false},
		{"200000", pid, 100 * time.Millisecond, false},
		{"200000", "1", 0, false},
		{"", "", 0, false},
		{"soon", "", 0, true},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		logged := false
		m := NewManager(func(string, ...any) { logged = true }, nil)
		assert.Equal(t, c.want, m.watch, "%v", c)
		assert.Equal(t, c.logged, logged, "%v", c)
	}
}

// A superdaemon that was paused finds that it is time to extend the timeout, and that the
// deadline is over: then nothing is sent, and the loop is not woken again.
func TestManagerWakesNobodyForADeadlineThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wakes := make(chan struct{}, 1)
		m := NewManager(t.Logf, func() { wakes <- struct{}{} })
		m.send = func(string) error { return nil }
		tally := supervise.Tally{Draining: 1, Deadline: time.Now().Add(extendEvery + time.Second)}
		m.Hear(supervise.StopAsked{})
		m.Hear(tally)
		time.Sleep(extendEvery + 2*time.Second)
		<-wakes
		m.Hear(tally)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, wakes, "it would wake the loop again and again")
		m.End(nil)
	})
}
