package launch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lestrrat/go-server-starter/internal/supervise"
)

// hanging is a Spawner whose Env returns only when release is called. began counts the
// spawns that have begun.
func hanging() (s *Spawner, began *atomic.Int32, release func()) {
	began = &atomic.Int32{}
	end := make(chan struct{})
	s = &Spawner{Env: func() (Environ, supervise.Settings, error) {
		began.Add(1)
		<-end
		return nil, supervise.Settings{}, errors.New("released")
	}}
	return s, began, func() { close(end); synctest.Wait() }
}

func TestASpawnThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, release := hanging()
		defer release()
		start := time.Now()
		p, _, err := s.Spawn(1, 0, 0)
		assert.Nil(t, p)
		assert.EqualError(t, err, "a worker was not executed within 10s; it is not waited for any longer")
		assert.Equal(t, spawnTime+overtime, time.Since(start))
	})
}

func TestAStopWaitsForNoSpawn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began, release := hanging()
		defer release()
		took := make(chan time.Duration, 100)
		start := time.Now()
		for slot := range cap(took) {
			go func() {
				_, _, err := s.Spawn(1, slot, 0)
				assert.ErrorIs(t, err, errHurry)
				took <- time.Since(start)
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, turns, began.Load(), "spawns under way")
		s.Hurry()
		s.Hurry() // does no harm
		synctest.Wait()
		assert.Len(t, took, cap(took)-turns, "those that wait for their turn fail at once")
		for range cap(took) {
			assert.LessOrEqual(t, <-took, time.Second+hurryTime+overtime)
		}
		_, _, err := s.Spawn(2, 0, 0)
		assert.ErrorIs(t, err, errHurry)
		assert.EqualValues(t, turns, began.Load(), "none begins after that")
	})
}

// A file system may hang for days. Each spawn that hangs blocks a thread, and Go ends a process
// that needs too many.
func TestSpawnsThatHangKeepTheirTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, began, release := hanging()
		failed := make(chan error, 2*turns)
		for slot := range cap(failed) { // some wait for their turn
			go func() {
				_, _, err := s.Spawn(1, slot, 0)
				failed <- err
			}()
		}
		stuck := 0
		for range cap(failed) {
			if errors.Is(<-failed, errStuck) {
				stuck++
			}
		}
		assert.Equal(t, turns, stuck, "the others were given up")
		start := time.Now()
		_, _, err := s.Spawn(2, 0, 0)
		assert.ErrorIs(t, err, errStuck)
		assert.Zero(t, time.Since(start))
		assert.EqualValues(t, turns, began.Load(), "no more than that")

		release()
		for range 2 * turns {
			_, _, err = s.Spawn(3, 0, 0)
			assert.EqualError(t, err, "released")
		}
		assert.Len(t, s.bounds.turns, 0)
	})
}

func TestWhatIsInTimeIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bounds
		want := errors.New("how it went")
		r := b.run(func(ctx context.Context) spawned {
			time.Sleep(spawnTime - 1)
			assert.NoError(t, ctx.Err())
			return spawned{err: want}
		})
		assert.Equal(t, want, r.err)
	})
}

// A spawn that is killed because it is late is waited for, and its own error says what has
// happened.
func TestWhatIsALittleLateSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bounds
		var cause error
		r := b.run(func(ctx context.Context) spawned {
			<-ctx.Done()
			cause = context.Cause(ctx)
			time.Sleep(overtime - 1)
			return spawned{err: errors.New("killed")}
		})
		assert.EqualError(t, r.err, "killed")
		assert.EqualError(t, cause, "not executed within 10s")
	})
}

// A stop is told in the same words as a time that is over.
func TestASpawnThatAStopGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, release := hanging()
		defer release()
		time.AfterFunc(time.Second, s.Hurry)
		_, _, err := s.Spawn(1, 0, 0)
		assert.EqualError(t, err, "a worker was not running yet when the stop came; it is not waited for any longer")
	})
}

// Hurry gives a spawn that is under way one more second.
func TestSpawnThatIsUnderWayWhenEverythingIsToStop(t *testing.T) {
	t.Parallel()
	for takes, then := range map[time.Duration]error{hurryTime - 1: nil, hurryTime + 1: errHurry} {
		synctest.Test(t, func(t *testing.T) {
			s := &Spawner{}
			r := s.bounds.run(func(ctx context.Context) spawned {
				s.Hurry()
				time.Sleep(takes)
				return spawned{err: context.Cause(ctx)}
			})
			assert.Equal(t, then, r.err)
		})
	}
}

// A log whose file system hangs holds up neither a restart nor a stop.
func TestALookAtALogThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Spawner{}
		end := make(chan struct{})
		var looks atomic.Int32
		look := func() time.Duration {
			start := time.Now()
			s.bounds.look(func() { looks.Add(1); <-end })
			return time.Since(start)
		}
		assert.Equal(t, lookTime, look())
		assert.Zero(t, look(), "not one more thread for each generation")
		assert.EqualValues(t, 1, looks.Load())
		close(end)
		synctest.Wait()
		assert.Zero(t, look())
		assert.EqualValues(t, 2, looks.Load(), "it is over")

		end = make(chan struct{})
		defer close(end)
		time.AfterFunc(time.Second, s.Hurry)
		assert.Equal(t, time.Second, look(), "a stop")
	})
}
