package supervise

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// leaders is a Spawner of workers that end at the first signal, and leave a group behind
// which ends only at KILL.
type leaders struct {
	groups []*leaderless
	fails  error // what a signal to a group returns, except KILL
}

func (s *leaders) Begin(int) error { return nil }

func (s *leaders) Spawn(int, int, int) (Process, Settings, error) {
	return &leader{pid: 10 + len(s.groups), ended: make(chan struct{})}, Settings{}, nil
}

func (s *leaders) leave(p Process) Leftovers {
	g := &leaderless{pid: p.Pid() + 100, ended: make(chan struct{}), fails: s.fails}
	s.groups = append(s.groups, g)
	return g
}

type leader struct {
	pid   int
	ended chan struct{}
}

func (p *leader) Pid() int               { return p.pid }
func (p *leader) Signal(os.Signal) error { close(p.ended); return nil }
func (p *leader) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}
func (p *leader) Wait() int { <-p.ended; return 15 }

type leaderless struct {
	pid   int
	told  []os.Signal
	ended chan struct{}
	fails error // what a signal returns, except KILL
}

func (g *leaderless) Pids() []int { return []int{g.pid} }
func (g *leaderless) Wait()       { <-g.ended }
func (g *leaderless) Signal(sig os.Signal) error {
	g.told = append(g.told, sig)
	if sig == os.Kill {
		close(g.ended)
		return nil
	}
	return g.fails
}

// events collects what is told.
type events []Event

func (e *events) Hear(event Event) { *e = append(*e, event) }

func TestLeftoversAreToldKilledAndWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, heard := &leaders{}, &events{}
		sup := New(Config{
			Spawner: s, Observers: []Observer{heard}, Leftovers: s.leave,
			RetireSignal: retireSignal, AbortSignal: abortSignal, KillTimeout: 5 * time.Second,
		})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		time.Sleep(2 * time.Second)
		sup.Restart(ctx, "restart")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Len(t, s.groups, 1)
		assert.Equal(t, []os.Signal{retireSignal}, s.groups[0].told, "as the worker was")
		stopped := time.Now()
		cancel()
		assert.NoError(t, <-result)
		assert.Equal(t, 5*time.Second, time.Since(stopped), "the stop waits, and not longer")
		require.Len(t, s.groups, 2)
		assert.Equal(t, []os.Signal{retireSignal, os.Kill}, s.groups[0].told)
		assert.Equal(t, []os.Signal{stopSignal, os.Kill}, s.groups[1].told)
		assert.Contains(t, *heard, Event(LeftBehind{Worker{1, 0, 10}, []int{110}, retireSignal, false}))
		assert.Contains(t, *heard, Event(LeftKilled{Worker{1, 0, 10}, 5 * time.Second}))
	})
}

func TestLeftoversThatNothingBoundsAreToldAndNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &leaders{}
		sup := New(Config{Spawner: s, Leftovers: s.leave, RetireSignal: retireSignal, AbortSignal: abortSignal})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		time.Sleep(2 * time.Second)
		cancel()
		assert.NoError(t, <-result)
		require.Len(t, s.groups, 1)
		assert.Equal(t, []os.Signal{stopSignal}, s.groups[0].told)
	})
}

// A group that was told with its leader is told once. It is killed when the leader would have
// been.
func TestGroupIsToldWithItsLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, heard := &leaders{}, &events{}
		var told []os.Signal
		sup := New(Config{
			Spawner: s, Observers: []Observer{heard}, Leftovers: s.leave,
			SignalGroup:  func(p Process, sig os.Signal) error { told = append(told, sig); return p.Signal(sig) },
			RetireSignal: retireSignal, AbortSignal: abortSignal, KillTimeout: 5 * time.Second,
		})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		time.Sleep(2 * time.Second)
		sup.Restart(ctx, "restart")
		time.Sleep(2 * time.Second)
		cancel()
		assert.NoError(t, <-result)
		assert.Equal(t, []os.Signal{retireSignal, stopSignal}, told)
		require.Len(t, s.groups, 2)
		assert.Equal(t, []os.Signal{os.Kill}, s.groups[0].told)
		assert.Equal(t, []os.Signal{os.Kill}, s.groups[1].told)
		assert.Contains(t, *heard, Event(LeftBehind{Worker{1, 0, 10}, []int{110}, retireSignal, true}))
		assert.Contains(t, *heard, Event(LeftKilled{Worker{1, 0, 10}, 5 * time.Second}))
	})
}

// If a group cannot be sent a signal, an event tells so. The group is killed all the same.
func TestGroupThatCannotBeSignalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("not permitted")
		s, heard := &leaders{fails: why}, &events{}
		sup := New(Config{
			Spawner: s, Observers: []Observer{heard}, Leftovers: s.leave,
			RetireSignal: retireSignal, AbortSignal: abortSignal, KillTimeout: 5 * time.Second,
		})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		time.Sleep(2 * time.Second)
		cancel()
		assert.NoError(t, <-result)
		assert.Contains(t, *heard, Event(SignalFailed{Worker{1, 0, 10}, stopSignal, why}))
		assert.Equal(t, []os.Signal{stopSignal, os.Kill}, s.groups[0].told)
		failed := 0
		for _, e := range *heard {
			if _, is := e.(SignalFailed); is {
				failed++
			}
		}
		assert.Equal(t, 1, failed, "KILL was sent")
	})
}

func TestLeaderWhoseGroupCannotBeSignalled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("not permitted")
		heard := &events{}
		var fails atomic.Bool
		sup := New(Config{
			Spawner: &leaders{}, Observers: []Observer{heard}, RetireSignal: retireSignal, AbortSignal: abortSignal,
			SignalGroup: func(p Process, sig os.Signal) error {
				if fails.Load() {
					return why
				}
				return p.Signal(sig)
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- sup.Run(ctx, stopSignal) }()
		time.Sleep(2 * time.Second)
		fails.Store(true)
		sup.Restart(ctx, "restart")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Contains(t, *heard, Event(SignalFailed{Worker{1, 0, 10}, retireSignal, why}))
		fails.Store(false)
		before := len(*heard)
		cancel()
		assert.NoError(t, <-result)
		for _, e := range (*heard)[before:] {
			_, is := e.(SignalFailed)
			assert.False(t, is, "these were sent: %v", e)
		}
	})
}
