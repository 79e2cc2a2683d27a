package report

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// handsOver has the manager told that another image goes on, and returns the state. The image is
// executed or not.
func (u *unit) handsOver(executed bool) (state int, rest *UnitRest) {
	u.t.Helper()
	err := u.sup.Freeze(context.Background(), func(*supervise.Frozen, []supervise.Process) error {
		var stays func()
		state, rest, stays = u.manager.HandsOver()
		if !executed {
			stays()
		}
		return nil
	})
	assert.NoError(u.t, err)
	return state, rest
}

func TestManagerHearsOfAnotherImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		state, rest := u.handsOver(true)
		u.hears(0, "RELOADING=1 MONOTONIC_USEC=1")
		assert.Equal(t, int(unitReloads), state)
		assert.Nil(t, rest)
		u.stop(0)
		<-u.ended
		for restarts, want := range map[bool]string{
			true:  "EXTEND_TIMEOUT_USEC=7000000 STATUS=no worker serves; generation 1 is starting", // as in any reload
			false: "READY=1 STATUS=no worker serves; generation 1 is starting",
		} {
			next := runUnit(t, supervise.Config{}, func(u *unit) { u.manager.GoesOn(state, rest, restarts) })
			next.hears(0, want)
			if restarts {
				next.hears(time.Second, "READY=1 STATUS=generation 1: 1 worker serves")
			}
			next.stop(0)
			<-next.ended
		}
	})
}

// A restart that is under way is decided in the next image, whose READY=1 has the time of the last
// request.
func TestManagerWaitsForARestartThatTheLastImageHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.restart()
		u.restart()
		state, rest := u.handsOver(true)
		assert.Equal(t, int(unitReloads), state)
		u.stop(0)
		<-u.ended
		next := runUnit(t, supervise.Config{}, func(u *unit) { u.manager.GoesOn(state, rest, false) })
		next.hears(0, "EXTEND_TIMEOUT_USEC=7000000 STATUS=no worker serves; generation 1 is starting")
		next.hears(time.Second, "RELOADING=1 MONOTONIC_USEC=2 READY=1 STATUS=generation 1: 1 worker serves")
		next.stop(0)
		<-next.ended
	})
}

// The next image still says why a restart has failed, and that a stop is delayed.
func TestManagerGoesOnSayingHowThingsStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{Attempts: 1}, nil)
		u.starts()
		u.set(func() { u.dies = 100 * time.Millisecond })
		u.restart()
		u.hears(time.Hour,
			"RELOADING=1 MONOTONIC_USEC=1 EXTEND_TIMEOUT_USEC=7000000 STATUS=generation 1: 1 worker serves; generation 2 is starting",
			"READY=1 STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; generation 1 serves on")
		state, rest := u.handsOver(true)
		u.hears(0, "RELOADING=1 MONOTONIC_USEC=2")
		next := runUnit(t, supervise.Config{}, func(u *unit) { u.manager.GoesOn(state, rest, false) })
		next.hears(0, "READY=1 STATUS=restart failed: new worker 2 of generation 2 failed after 100ms: exit code 1; no worker serves; generation 1 is starting")
		next.stop(0)
		<-next.ended
		u.stop(time.Minute)
		state, rest = u.handsOver(true)
		assert.Equal(t, int(unitStops), state)
		last := runUnit(t, supervise.Config{}, func(u *unit) { u.manager.GoesOn(state, rest, true) })
		last.hears(time.Second, "EXTEND_TIMEOUT_USEC=7000000 STATUS=serving on for 60 secs before stopping; no worker serves; generation 1 is starting",
			"STATUS=serving on for 60 secs before stopping; generation 1: 1 worker serves")
		last.stop(0)
		<-last.ended
		u.stop(0)
		<-u.ended
	})
}

// What the manager is told at the very moment of an upgrade is not lost.
func TestManagerHearsWhatComesWithAnUpgrade(t *testing.T) {
	t.Parallel()
	m := &Manager{stamp: func() string { return "MONOTONIC_USEC=7" }, unit: unitRuns}
	var told []string
	m.send = func(text string) error { told = append(told, text); return nil }
	m.Hear(supervise.RestartAsked{})
	_, rest, _ := m.HandsOver()
	assert.Equal(t, []string{"RELOADING=1\nMONOTONIC_USEC=7"}, told)
	assert.True(t, rest.Undecided)
}

// If the image is not executed after all, the manager is told that the unit runs.
func TestManagerHearsOfAnUpgradeThatCameToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		u.handsOver(false)
		u.hears(time.Hour, "RELOADING=1 MONOTONIC_USEC=1", "READY=1")
		u.stop(0)
		<-u.ended
	})
}

func TestManagerThatIsNotThereHearsNothing(t *testing.T) {
	t.Parallel()
	var m *Manager
	state, rest, stays := m.HandsOver()
	stays()
	m.GoesOn(state, rest, true)
	assert.Equal(t, int(unitStarts), state)
}
