package report

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat/go-server-starter/internal/supervise"
	"github.com/stretchr/testify/assert"
)

// handsOver has the manager told that another image is to go on, which is executed or not, and
// returns the state.
func (u *unit) handsOver(executed bool) (state int) {
	u.t.Helper()
	err := u.sup.Freeze(context.Background(), func(*supervise.Frozen, []supervise.Process) error {
		stays := u.manager.HandsOver()
		state = u.manager.State()
		if !executed {
			stays()
		}
		return nil
	})
	assert.NoError(u.t, err)
	return state
}

func TestManagerHearsOfAnotherImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := runUnit(t, supervise.Config{}, nil)
		u.starts()
		state := u.handsOver(true)
		u.hears(0, "RELOADING=1 MONOTONIC_USEC=1")
		assert.Equal(t, int(unitReloads), state)
		u.stop(0)
		<-u.ended
		for restarts, want := range map[bool]string{
			true:  "EXTEND_TIMEOUT_USEC=7000000 STATUS=no worker serves; generation 1 is starting", // as in any reload
			false: "READY=1 STATUS=no worker serves; generation 1 is starting",
		} {
			next := runUnit(t, supervise.Config{}, func(u *unit) { u.manager.GoesOn(state, restarts) })
			next.hears(0, want)
			if restarts {
				next.hears(time.Second, "READY=1 STATUS=generation 1: 1 worker serves")
			}
			next.stop(0)
			<-next.ended
		}
	})
}

// An image that is not executed after all leaves the manager with a unit that runs.
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
	m.HandsOver()
	m.GoesOn(m.State(), true)
	assert.Equal(t, int(unitStarts), m.State())
}
